#!/usr/bin/env php
<?php

// Makes a course, follows its generation, and saves it as Markdown and HTML in the current folder:
//   COURSEWRIGHT_URL=http://127.0.0.1:8080 COURSEWRIGHT_TOKEN=... php create_course.php "Introduction to Beekeeping"
// Needs PHP 8.1 or newer and no extension (https needs openssl).

declare(strict_types=1);

/** What the service refused. The code is stable, the message is for people. */
final class ApiError extends RuntimeException
{
    public readonly string $errorCode;
    public readonly array $details;

    public function __construct(array $error, public readonly int $retryAfter)
    {
        parent::__construct("{$error['code']}: {$error['message']} (request {$error['requestId']})");
        $this->errorCode = $error['code'];
        $this->details = $error['details'] ?? [];
    }
}

/** The plain JSON face of the API. */
final class Coursewright
{
    private string $api;

    public function __construct(string $url, private string $token)
    {
        $this->api = rtrim($url, '/') . '/api/v1/';
    }

    public function query(string $procedure, array $parameters): array
    {
        return $this->request('GET', $procedure . '?' . http_build_query($parameters));
    }

    public function mutate(string $procedure, array $input): array
    {
        return $this->request('POST', $procedure, json_encode($input, JSON_THROW_ON_ERROR));
    }

    private function request(string $method, string $path, string $body = ''): array
    {
        $context = stream_context_create(['http' => [
            'method' => $method,
            'header' => [
                "Authorization: Bearer {$this->token}",
                'Content-Type: application/json',
                'Accept-Language: en',
            ],
            'content' => $body,
            'timeout' => 60,
            'ignore_errors' => true, // the bodies of errors are wanted
        ]]);
        $stream = @fopen($this->api . $path, 'r', false, $context);
        if ($stream === false) {
            throw new RuntimeException(error_get_last()['message']);
        }
        $headers = stream_get_meta_data($stream)['wrapper_data'];
        $answer = json_decode(stream_get_contents($stream), true, 512, JSON_THROW_ON_ERROR);
        if (preg_match('~^HTTP/\S+ 2~', $headers[0])) {
            return $answer;
        }
        $waits = preg_filter('~^retry-after:\s*(\d+)~i', '$1', $headers);
        throw new ApiError($answer, (int) (reset($waits) ?: 30));
    }
}

/** Starts the generation, as soon as there is room for it. The key makes it safe to ask twice. */
function start(Coursewright $coursewright, string $courseId): void
{
    while (true) {
        try {
            $coursewright->mutate('generation.initiate', ['courseId' => $courseId, 'idempotencyKey' => $courseId]);
            return;
        } catch (ApiError $error) {
            if ($error->errorCode !== 'CONCURRENCY_LIMIT') {
                throw $error;
            }
            sleep($error->retryAfter);
        }
    }
}

/** Waits for the end, and says what happens until then. */
function follow(Coursewright $coursewright, string $courseId): array
{
    $said = '';
    while (true) {
        $state = $coursewright->query('generation.getStatus', ['courseId' => $courseId]);
        $lessons = "{$state['lessonsCompleted']}/{$state['lessonsTotal']} lessons";
        $line = "{$state['progress']} % {$state['phase']}, $lessons\n";
        if ($line !== $said) {
            echo $line;
        }
        $said = $line;
        if (in_array($state['status'], ['completed', 'failed', 'cancelled'], true)) {
            return $state;
        }
        sleep(1);
    }
}

function main(string $title): void
{
    $url = getenv('COURSEWRIGHT_URL') ?: 'http://127.0.0.1:8080';
    $coursewright = new Coursewright($url, (string) getenv('COURSEWRIGHT_TOKEN'));

    $courseId = $coursewright->mutate('courses.create', ['title' => $title])['id'];
    start($coursewright, $courseId);
    $state = follow($coursewright, $courseId);
    if ($state['status'] !== 'completed') {
        throw new RuntimeException("{$state['status']}: " . ($state['error']['message'] ?? ''));
    }

    $structure = $coursewright->query('generation.getResult', ['courseId' => $courseId])['structure'];
    echo "{$structure['course_title']}\n";
    foreach ($structure['sections'] as $section) {
        echo "{$section['section_number']}. {$section['section_title']}, ", count($section['lessons']), " lessons\n";
    }

    foreach (['markdown', 'html'] as $format) {
        $file = $coursewright->query('courses.export', ['courseId' => $courseId, 'format' => $format]);
        file_put_contents($file['fileName'], $file['content']);
        echo "saved {$file['fileName']}\n";
    }
}

if ($argc !== 2) {
    fwrite(STDERR, "usage: create_course.php TITLE\n");
    exit(2);
}
try {
    main($argv[1]);
} catch (Exception $error) {
    fwrite(STDERR, $error->getMessage() . "\n");
    exit(1);
}

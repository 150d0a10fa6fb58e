#!/usr/bin/env bash
# Makes a course, follows its generation by server-sent events, and saves it as Markdown and HTML in the current folder:
#   COURSEWRIGHT_URL=http://127.0.0.1:8080 COURSEWRIGHT_TOKEN=... ./create-course.sh "Introduction to Beekeeping"
# Needs curl 7.76 or newer, and python3 for reading and writing JSON.
set -euo pipefail

title=${1:?usage: create-course.sh TITLE}
url=${COURSEWRIGHT_URL:-http://127.0.0.1:8080}
api=${url%/}/api/v1

# request PROCEDURE [OPTION OF CURL]...: the token goes in like a file, because others can read the arguments.
request() {
    curl --silent --show-error --fail-with-body --header 'Accept-Language: en' \
        --header @<(printf 'Authorization: Bearer %s\n' "${COURSEWRIGHT_TOKEN:-}") "${@:2}" "$api/$1"
}
query() { request "$1" --get "${@:2}"; }
mutate() { request "$1" --header 'Content-Type: application/json' --data "$2"; }

# object [NAME VALUE]...: a JSON object of texts.
object() { python3 -c 'import json, sys; print(json.dumps(dict(zip(sys.argv[1::2], sys.argv[2::2]))))' "$@"; }
# field NAME: a field of the JSON object on standard input.
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1" 2>/dev/null; }

# fail ANSWER: says the error and ends; without an answer curl has said why. The code is stable, the message for people.
fail() {
    local code
    if code=$(field code <<<"$1"); then
        echo "$code: $(field message <<<"$1") (request $(field requestId <<<"$1"))" >&2
    fi
    exit 1
}

answer=$(mutate courses.create "$(object title "$title")") || fail "$answer"
course=$(field id <<<"$answer")

# The key makes it safe to ask twice.
until answer=$(mutate generation.initiate "$(object courseId "$course" idempotencyKey "$course")"); do
    [ "$(field code <<<"$answer")" = CONCURRENCY_LIMIT ] || fail "$answer"
    sleep 30
done

# A stream may break: the next one goes on after the last event that was seen, and the status tells the end.
last_event=
while :; do
    while IFS= read -r line; do
        case $line in
            'data: {"courseId"'*)
                data=${line#data: }
                echo "$(field progress <<<"$data") % $(field phase <<<"$data")"
                ;;
            'id: '*) last_event=${line#id: } ;;
        esac
    done < <(request generation.onProgress --no-buffer --get --data-urlencode "courseId=$course" \
        ${last_event:+--header "Last-Event-ID: $last_event"})
    answer=$(query generation.getStatus --data-urlencode "courseId=$course") || fail "$answer"
    case $(field status <<<"$answer") in
        completed) break ;;
        failed | cancelled)
            echo "$(field status <<<"$answer"): $(field error <<<"$answer")" >&2
            exit 1
            ;;
    esac
    sleep 1
done

answer=$(query generation.getResult --data-urlencode "courseId=$course") || fail "$answer"
python3 -c 'import json, sys
structure = json.load(sys.stdin)["structure"]
print(structure["course_title"])
for section in structure["sections"]:
    print("{section_number}. {section_title},".format(**section), len(section["lessons"]), "lessons")' <<<"$answer"

for format in markdown html; do
    answer=$(query courses.export --data-urlencode "courseId=$course" --data "format=$format") || fail "$answer"
    file=$(field fileName <<<"$answer")
    field content <<<"$answer" >"$file"
    echo "saved $file"
done

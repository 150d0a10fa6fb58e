// Drives a running service with the published tRPC client, unchanged: node test/drive.mjs URL TOKEN
import assert from "node:assert/strict";

import {
  createTRPCClient,
  httpBatchLink,
  httpBatchStreamLink,
  httpLink,
  httpSubscriptionLink,
  TRPCClientError,
} from "@trpc/client";
import { EventSource } from "eventsource";

const [url, token] = process.argv.slice(2);
const trpc = `${url}/trpc`;
const headers = { authorization: `Bearer ${token}` };
const single = createTRPCClient({ links: [httpLink({ url: trpc, headers })] });
const batched = createTRPCClient({ links: [httpBatchLink({ url: trpc, headers })] });
const streamed = createTRPCClient({ links: [httpBatchStreamLink({ url: trpc, headers })] });
const stream = createTRPCClient({
  links: [httpSubscriptionLink({ url: trpc, EventSource, connectionParams: { token } })],
});

/** The events of a course until its generation ends. */
function follow(courseId, lastEventId) {
  return new Promise((resolve, reject) => {
    const events = [];
    const subscription = stream.generation.onProgress.subscribe(
      { courseId, ...(lastEventId === undefined ? {} : { lastEventId }) },
      {
        onData: (event) => {
          events.push(event);
          if (["completed", "failed", "cancelled"].includes(event.data.status)) {
            subscription.unsubscribe();
            resolve(events);
          }
        },
        onError: reject,
      },
    );
  });
}

async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof TRPCClientError, String(error));
    return error;
  }
  assert.fail("it was not refused");
}

// httpLink: queries and mutations, one request each.
const answer = await single.generation.test.query({ message: "hello" });
assert.equal(answer.echo, "hello");
const course = await single.courses.create.mutate({ title: "Introduction to Beekeeping" });
assert.match(course.slug, /^introduction-to-beekeeping/);

const early = await refused(single.generation.getResult.query({ courseId: course.id }));
assert.equal(early.data.code, "PRECONDITION_FAILED");
assert.equal(early.data.httpStatus, 412);
const invalid = await refused(single.courses.create.mutate({ title: "" }));
assert.equal(invalid.data.code, "BAD_REQUEST");

// httpBatchLink: calls that are made at once travel together, and one that fails does not spoil the others.
const [test, status, missing] = await Promise.allSettled([
  batched.generation.test.query({ message: "batch" }),
  batched.generation.getStatus.query({ courseId: course.id }),
  batched.generation.getStatus.query({ courseId: "00000000-0000-7000-8000-000000000000" }),
]);
assert.equal(test.value.echo, "batch");
assert.equal(status.value.progress, 0);
assert.equal(missing.reason.data.code, "NOT_FOUND");

// httpBatchStreamLink: the same, each answer as soon as it is there; queries and mutations travel apart.
const [line, lineStatus, lineMissing, made] = await Promise.allSettled([
  streamed.generation.test.query({ message: "lines" }),
  streamed.generation.getStatus.query({ courseId: course.id }),
  streamed.generation.getStatus.query({ courseId: "00000000-0000-7000-8000-000000000000" }),
  streamed.courses.create.mutate({ title: "Made over a stream" }),
]);
assert.equal(line.value.echo, "lines");
assert.equal(lineStatus.value.progress, 0);
assert.ok(lineMissing.reason instanceof TRPCClientError);
assert.equal(lineMissing.reason.data.code, "NOT_FOUND");
assert.match(made.value?.slug ?? String(made.reason), /^made-over-a-stream/);
const unread = await refused(
  createTRPCClient({ links: [httpBatchStreamLink({ url: trpc, headers: { authorization: "Bearer no" } })] }).courses.list.query({}),
);
assert.equal(unread.data.code, "UNAUTHORIZED");

const started = await batched.generation.initiate.mutate({ courseId: course.id, idempotencyKey: "drive-1" });
assert.equal(started.status, "queued");
const again = await batched.generation.initiate.mutate({ courseId: course.id, idempotencyKey: "drive-1" });
assert.equal(again.jobId, started.jobId, "the same key gives the same answer");

// httpSubscriptionLink: progress over server-sent events.
const events = await follow(course.id);
assert.equal(events.at(-1).data.status, "completed");
assert.equal(events.at(-1).data.progress, 100);
const percentages = events.map((event) => event.data.progress);
assert.deepEqual(percentages, [...percentages].sort((a, b) => a - b), "it never falls");

// From an event in the middle on, the rest comes again.
const middle = Math.floor(events.length / 2);
const replayed = await follow(course.id, events[middle].id);
assert.deepEqual(
  replayed.map((event) => event.id),
  events.slice(middle + 1).map((event) => event.id),
);

const result = await batched.generation.getResult.query({ courseId: course.id });
const before = result.structure.sections;
assert.ok(before.flatMap((section) => section.lessons).length >= 10);

const remade = await single.generation.regenerateSection.mutate({
  courseId: course.id,
  sectionNumber: 1,
  instruction: "More practice, shorter lessons.",
});
assert.equal(remade.status, "queued");
const last = await follow(course.id, events.at(-1).id);
assert.equal(last.at(-1).data.status, "completed");
const after = (await single.generation.getResult.query({ courseId: course.id })).structure.sections;
assert.equal(after.length, before.length);
const unnumbered = (section) => ({ ...section, lessons: section.lessons.map((lesson) => ({ ...lesson, lesson_number: 0 })) });
assert.deepEqual(after.slice(1).map(unnumbered), before.slice(1).map(unnumbered), "the other sections stay as they are");
assert.notDeepEqual(unnumbered(after[0]), unnumbered(before[0]));

console.log(`drove ${events.length + last.length} events`);
process.exit(0);

// Makes a course and follows it to its end:
//   COURSEWRIGHT_URL=http://127.0.0.1:8080 COURSEWRIGHT_TOKEN=... node example/create-course.mjs "Introduction to Beekeeping"
import { EventSource } from "eventsource";

import { createCoursewright, isCoursewrightError } from "../dist/index.js";

const title = process.argv[2] ?? "Introduction to Beekeeping";
const coursewright = createCoursewright({
  url: process.env.COURSEWRIGHT_URL ?? "http://127.0.0.1:8080",
  token: process.env.COURSEWRIGHT_TOKEN,
  EventSource,
  language: "en",
});

try {
  const course = await coursewright.courses.create.mutate({ title });
  const started = await coursewright.generation.initiate.mutate({ courseId: course.id });
  console.log(started.message, started.jobId);

  await new Promise((resolve, reject) => {
    const subscription = coursewright.generation.onProgress.subscribe(
      { courseId: course.id },
      {
        onData: ({ data }) => {
          console.log(`${data.progress} % ${data.message}`);
          if (["completed", "failed", "cancelled"].includes(data.status)) {
            subscription.unsubscribe();
            resolve(data.status);
          }
        },
        onError: reject,
      },
    );
  });

  const result = await coursewright.generation.getResult.query({ courseId: course.id });
  for (const section of result.structure.sections) {
    console.log(`${section.section_number}. ${section.section_title}`);
    for (const lesson of section.lessons) {
      console.log(`   ${lesson.lesson_number}. ${lesson.lesson_title}`);
    }
  }
} catch (error) {
  if (isCoursewrightError(error)) {
    console.error(error.data?.errorCode, error.message, error.data?.details ?? "");
    process.exitCode = 1;
  } else {
    throw error;
  }
}

// Compiles only while the declarations say what the service does. Never run.
import { createCoursewright, isCoursewrightError, type CoursewrightErrorData } from "../src/index.js";

const coursewright = createCoursewright({ url: "http://127.0.0.1:8080", token: async () => "token", language: "ru" });

export async function use(): Promise<void> {
  const answer = await coursewright.generation.test.query();
  const echo: string | null | undefined = answer.echo;
  const course = await coursewright.courses.create.mutate({ title: "Introduction to Beekeeping" });
  const started = await coursewright.generation.initiate.mutate({ courseId: course.id });
  const job: string = started.jobId;
  const state = await coursewright.generation.getStatus.query({ courseId: course.id });
  const percentage: number = state.progress;
  coursewright.generation.onProgress.subscribe(
    { courseId: course.id },
    {
      onData: ({ id, data }) => {
        const event: string = id;
        const progress: number = data.progress;
        return [event, progress];
      },
    },
  );
  const result = await coursewright.generation.getResult.query({ courseId: course.id });
  const titles: string[] = result.structure.sections.map((section) => section.section_title);
  await coursewright.generation.regenerateSection.mutate({ courseId: course.id, sectionNumber: 1 });
  console.log(echo, job, percentage, titles);
}

export function explain(error: unknown): CoursewrightErrorData | null | undefined {
  return isCoursewrightError(error) ? error.data : undefined;
}

// Must not compile: every line names something that the service does not have.
import { createCoursewright } from "../src/index.js";

const coursewright = createCoursewright({ url: "http://127.0.0.1:8080" });

// @ts-expect-error a field of another name
void coursewright.generation.initiate.mutate({ courseid: "01a2010a-6abb-7328-8525-406d6ef2fe4f" });
// @ts-expect-error a number where a text is wanted
void coursewright.courses.create.mutate({ title: 5 });
// @ts-expect-error a procedure that is not there
void coursewright.generation.begin.mutate({});
// @ts-expect-error a query that is called as a mutation
void coursewright.generation.getStatus.mutate({ courseId: "01a2010a-6abb-7328-8525-406d6ef2fe4f" });
// @ts-expect-error a field that the answer does not have
void coursewright.generation.test.query().then((answer) => answer.eco);

// The JavaScript part of scripts/check-exports: FOLDER, with the packages of one course unpacked in folders of their names.
// SCORM lessons talk to the platform of `scorm-again`; cmi5 lessons to a platform of ours, which hands their statements to a
// learning record store; GIFT is read by the parser of a question editor, Markdown by the reference parser of CommonMark.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { readFile, readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";

const folder = process.argv[2];
const require = createRequire(path.join(process.env.READERS, "package.json"));
const { chromium } = createRequire(import.meta.url)(process.env.PLAYWRIGHT);
const MEDIA_TYPES = { ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".xml": "text/xml" };
const SHARE_TO_PASS = 0.7;

// The first lesson and the last: in a short course the same.
const pages = (await readdir(path.join(folder, "scorm12"))).filter((name) => name.endsWith(".html")).sort();
const [first, last] = [pages[0], pages.at(-1)];

// What we have been told: statements of this session, ids of all of them, the learner's state by its id, and what was wrong with it.
const store = { statements: [], kept: [], state: new Map(), faults: [], tokens: 0 };

const body = async (request) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString("utf8");
};

const REGISTRATION = "0198a000-0000-7000-8000-00000000c001";
const ACTOR = { objectType: "Agent", account: { homePage: "https://lms.example.org", name: "learner" } };
const TOKEN = "dG9rZW46c2VjcmV0"; // token:secret
const AUTHORIZATION = `Basic ${TOKEN}`;
const ACTIVITY = "https://lms.example.org/activities/1";
const SESSION = "https://w3id.org/xapi/cmi5/context/extensions/sessionid";
const launchData = (mode) => ({
  contextTemplate: { contextActivities: { grouping: [{ id: "https://example.org/publisher/1" }] }, extensions: { [SESSION]: "session-1" } },
  launchMode: mode, moveOn: "Passed", masteryScore: SHARE_TO_PASS, returnURL: `${origin()}/closed`,
});

// cmi5: the store answers only those who show the token that it gave, and takes only what the specification allows.
const answerStore = async (request, url) => {
  if (url.pathname === "/fetch") {
    store.tokens += 1;
    return [200, { "auth-token": TOKEN }];
  }
  const expect = (condition, fault) => { if (!condition) store.faults.push(fault); };
  expect(request.headers.authorization === AUTHORIZATION, `${url}: not signed in`);
  expect(/^1\.0\.[0-3]$/.test(request.headers["x-experience-api-version"] ?? ""), `${url}: no version`);
  if (url.pathname === "/xapi/activities/state") {
    expect(url.searchParams.get("registration") === REGISTRATION, `${url}: registration`);
    expect(url.searchParams.get("activityId") === ACTIVITY, `${url}: activity`);
    assert.deepEqual(JSON.parse(url.searchParams.get("agent")), ACTOR);
    const id = url.searchParams.get("stateId");
    if (request.method === "PUT") {
      store.state.set(id, await body(request));
      return [204];
    }
    if (id === "LMS.LaunchData") return [200, launchData(store.mode)];
    return store.state.has(id) ? [200, JSON.parse(store.state.get(id))] : [404];
  }
  if (url.pathname === "/xapi/agents/profile") {
    store.preferencesRead = true;
    return [404];
  }
  if (url.pathname === "/xapi/statements" && request.method === "POST") {
    const text = await body(request);
    const { authorization, "content-type": type, "x-experience-api-version": version } = request.headers;
    const kept = await fetch(`${process.env.STORE}/xAPI/statements`, {
      method: "POST", body: text, headers: { authorization, "content-type": type, "x-experience-api-version": version },
    });
    const answer = await kept.text();
    expect(kept.status === 200, `the record store says ${kept.status} ${answer} to ${text}`);
    store.statements.push(...JSON.parse(text));
    store.kept.push(...JSON.parse(text).map(({ id }) => id));
    return [kept.status, JSON.parse(answer)];
  }
  return [404];
};

const PLAYER = `<!DOCTYPE html><meta charset="utf-8"><title>Player</title><script src="/scorm-again.js"></script>
<iframe id="lesson" name="lesson" width="1000" height="700"></iframe>`;

const server = createServer(async (request, response) => {
  const url = new URL(request.url, origin());
  try {
    if (url.pathname === "/fetch" || url.pathname.startsWith("/xapi/")) {
      const [status, json] = await answerStore(request, url);
      response.writeHead(status, { "Content-Type": "application/json" }).end(json === undefined ? "" : JSON.stringify(json));
    } else if (url.pathname === "/player" || url.pathname === "/closed" || url.pathname === "/favicon.ico") {
      response.writeHead(200, { "Content-Type": MEDIA_TYPES[".html"] }).end(url.pathname === "/player" ? PLAYER : "closed");
    } else if (url.pathname === "/scorm-again.js") {
      const library = path.join(process.env.READERS, "node_modules/scorm-again/dist/scorm-again.js");
      const bytes = await readFile(library);
      response.writeHead(200, { "Content-Type": MEDIA_TYPES[".js"] }).end(bytes);
    } else {
      const file = path.join(folder, path.normalize(url.pathname));
      const bytes = await readFile(file);
      response.writeHead(200, { "Content-Type": MEDIA_TYPES[path.extname(file)] }).end(bytes);
    }
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
function origin() { return `http://127.0.0.1:${server.address().port}`; }

const problems = [];
const context = await chromium.launchPersistentContext(process.env.PROFILE, {
  executablePath: process.env.CHROMIUM, headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const page = context.pages()[0] ?? await context.newPage();
page.setDefaultTimeout(10_000);
page.on("console", (message) => {
  // The store has no state and no preferences at first, and says so with 404.
  if (message.type() === "error" && !message.text().includes("404")) problems.push(`console: ${message.text()} (${message.location().url})`);
});
page.on("pageerror", (error) => problems.push(String(error)));

const ready = (frame) => frame.waitForFunction(() => document.documentElement.dataset.ready === "ready");
// Answers every question of a lesson, rightly or wrongly.
const answer = async (frame, rightly) => {
  const questions = frame.locator(".question");
  const count = await questions.count();
  assert.ok(count > 0, "the lesson has a quiz");
  for (let index = 0; index < count; index += 1) {
    const question = questions.nth(index);
    const chosen = question.locator(rightly ? "input[data-correct]" : "input:not([data-correct])");
    for (let option = 0; option < await chosen.count(); option += 1) await chosen.nth(option).check();
    await question.locator(".check").click();
    await question.locator(rightly ? ".verdict.is-right" : ".verdict.is-wrong").waitFor();
  }
  return count;
};

// Again: what was answered before is cleared by the same button.
const answerAnew = async (view, rightly) => {
  for (const button of await view.locator(".question .check").all()) {
    if (await button.evaluate((element) => element.textContent === document.body.dataset.again)) await button.click();
  }
  return answer(view, rightly);
};

const SCORM = {
  scorm12: {
    object: "API", platform: "Scorm12API", get: "lmsGetValue",
    status: ["cmi.core.lesson_status"], begun: ["incomplete"], passed: ["passed"], failed: ["failed"],
    raw: "cmi.core.score.raw", location: "cmi.core.lesson_location",
  },
  scorm2004: {
    object: "API_1484_11", platform: "Scorm2004API", get: "lmsGetValue",
    status: ["cmi.completion_status", "cmi.success_status"], begun: ["incomplete", "unknown"], passed: ["completed", "passed"], failed: ["completed", "failed"],
    raw: "cmi.score.raw", location: "cmi.location",
  },
};

// A lesson in a platform's frame; `saved` is what the platform kept of the last visit.
const openInPlatform = async (edition, lesson, saved) => {
  const { object, platform } = SCORM[edition];
  await page.goto(`${origin()}/player`);
  await page.evaluate(({ object, platform, saved }) => {
    const api = new window[platform]({ autocommit: false, logLevel: 4 });
    api.loadFromJSON(saved ?? { cmi: {} }, "");
    window[object] = api;
    // The platform's own word for what it refused.
    window.refused = [];
    for (const name of ["lmsSetValue", "lmsInitialize", "lmsCommit", "lmsFinish"]) {
      const original = api[name].bind(api);
      api[name] = (...values) => {
        const result = original(...values);
        if (String(result) !== "true") window.refused.push(`${name}(${values}): error ${api.lmsGetLastError()}`);
        return result;
      };
      for (const alias of Object.keys(api)) if (api[alias] === original) api[alias] = api[name];
    }
  }, { object, platform, saved });
  await page.evaluate((address) => { document.getElementById("lesson").src = address; }, `/${edition}/${lesson}`);
  await page.waitForFunction(() => document.getElementById("lesson").contentDocument?.documentElement?.dataset.ready === "ready");
  return page.frame("lesson");
};
const cmi = (edition, names) => page.evaluate(({ object, names }) => {
  const find = (value, name) => name.split(".").reduce((inner, part) => inner?.[part], value);
  return names.map((name) => String(find({ cmi: window[object].cmi }, name) ?? ""));
}, { object: SCORM[edition].object, names });
const leave = async () => {
  await page.evaluate(() => { document.getElementById("lesson").src = "about:blank"; });
  await page.waitForFunction(() => document.getElementById("lesson").contentDocument?.URL === "about:blank");
};

for (const edition of Object.keys(SCORM)) {
  const names = SCORM[edition];
  let lesson = await openInPlatform(edition, first);
  assert.deepEqual(await cmi(edition, names.status), names.begun, `${edition}: begun`);
  const count = await answer(lesson, true);
  assert.deepEqual(await cmi(edition, names.status), names.passed, `${edition}: passed`);
  assert.deepEqual(await cmi(edition, [names.raw]), ["100"], `${edition}: score`);
  // Written out, as the platform keeps them: SCORM 1.2 lets nobody read single ones.
  const kept = await page.evaluate((object) => JSON.parse(JSON.stringify(window[object].cmi)), names.object);
  const interactions = Object.values(kept.interactions.childArray ?? kept.interactions);
  assert.equal(interactions.length, count, `${edition}: interactions`);
  assert.ok(interactions.every(({ result }) => result === "correct"), `${edition}: ${JSON.stringify(interactions)}`);
  await leave();
  assert.deepEqual(await page.evaluate(() => window.refused), [], `${edition}: the platform refused nothing`);
  const saved = await page.evaluate((object) => JSON.parse(JSON.stringify(window[object].renderCMIToJSONObject())), names.object);

  lesson = await openInPlatform(edition, first, saved);
  assert.equal(await lesson.locator(".verdict.is-right").count(), count, `${edition}: the answers come back`);
  assert.notEqual((await cmi(edition, [names.location]))[0], "", `${edition}: the place comes back`);
  await answerAnew(lesson, false);
  await leave();
  assert.deepEqual(await cmi(edition, names.status), names.passed, `${edition}: who has passed is not failed by trying again`);
  assert.deepEqual(await cmi(edition, [names.raw]), ["100"], `${edition}: the score stays`);

  lesson = await openInPlatform(edition, last);
  await answer(lesson, false);
  assert.deepEqual(await cmi(edition, names.status), names.failed, `${edition}: failed`);
  assert.deepEqual(await cmi(edition, [names.raw]), ["0"], `${edition}: score of nothing`);
  console.log(`${edition}: taken in scorm-again, ${count} questions`);

  // Without a platform a lesson is a page like others.
  await page.goto(`${origin()}/${edition}/${first}`);
  await ready(page);
  await answer(page, true);
}

// cmi5, as often as the learner comes back.
const launch = async (lesson, mode) => {
  store.mode = mode;
  const address = new URL(`${origin()}/cmi5/${lesson}`);
  for (const [name, value] of Object.entries({
    endpoint: `${origin()}/xapi/`, fetch: `${origin()}/fetch`, actor: JSON.stringify(ACTOR), registration: REGISTRATION, activityId: ACTIVITY,
  })) address.searchParams.set(name, value);
  await page.goto(address.href);
  await ready(page);
};
const verbs = () => store.statements.map(({ verb }) => verb.id.split("/").pop());
const close = async () => {
  await page.locator("#close").click();
  await page.waitForURL("**/closed");
};
await launch(first, "Normal");
await answer(page, false);
await page.locator(".question .check").first().click();
assert.ok(store.preferencesRead, "cmi5: preferences are read");
const repeated = await page.locator(".question").first().locator("input").count();
assert.ok(repeated > 0);
await close();
assert.deepEqual(verbs(), ["initialized", "completed", "failed", "terminated"], "cmi5: a failed session");
store.statements = [];
await launch(first, "Normal");
await answerAnew(page, false);
await answerAnew(page, true);
await close();
assert.deepEqual(verbs(), ["initialized", "passed", "terminated"], "cmi5: one verdict a session, and completed only once");
const passed = store.statements[1];
assert.equal(passed.result.score.scaled, 1);
assert.equal(passed.context.registration, REGISTRATION);
assert.equal(passed.context.extensions[SESSION], "session-1", "cmi5: the platform's context is kept");
const categories = (statement) => statement.context.contextActivities.category.map(({ id }) => id.split("/").pop());
assert.deepEqual(categories(passed), ["cmi5", "moveon"]);
assert.deepEqual(categories(store.statements[0]), ["cmi5"]);
assert.equal(passed.context.extensions["https://w3id.org/xapi/cmi5/context/extensions/masteryscore"], SHARE_TO_PASS);
store.statements = [];
await launch(first, "Review");
await close();
assert.deepEqual(verbs(), ["initialized", "terminated"], "cmi5: nothing is recorded in a review");
// Closing the page without the button is an end too; this learner was never here before.
store.statements = [];
store.state.clear();
await launch(last, "Normal");
await answer(page, false);
await page.goto("about:blank");
for (let tries = 0; tries < 100 && !verbs().includes("terminated"); tries += 1) await page.waitForTimeout(50);
assert.deepEqual(verbs(), ["initialized", "completed", "failed", "terminated"], "cmi5: leaving says how it went");
assert.deepEqual(store.faults, []);
const kept = await (await fetch(`${process.env.STORE}/xAPI/statements/?registration=${REGISTRATION}&limit=100`, {
  headers: { Authorization: AUTHORIZATION, "X-Experience-API-Version": "1.0.3" },
})).json();
assert.deepEqual(store.kept.filter((id) => !kept.statements.some((statement) => statement.id === id)), [], "cmi5: the record store has them all");
console.log(`cmi5: taken in the modes Normal and Review, ${store.kept.length} statements kept by ralph`);

// GIFT.
const { parse } = require("gift-pegjs");
for (const name of await readdir(folder)) {
  if (!name.endsWith("-gift.txt")) continue;
  const questions = parse(await readFile(path.join(folder, name), "utf8"));
  const choices = questions.filter(({ type }) => type === "MC");
  assert.equal(questions.filter(({ type }) => type === "Category").length + choices.length, questions.length, `${name}: only categories and choices`);
  for (const { title, choices: options, globalFeedback, stem } of choices) {
    assert.equal(stem.format, "html", title);
    assert.ok(globalFeedback?.text, `${title}: no explanation`);
    const whole = options.filter(({ isCorrect }) => isCorrect).length;
    const shares = options.map(({ weight }) => weight ?? 0).filter((weight) => weight > 0);
    const sum = shares.reduce((total, weight) => total + weight, 0);
    assert.ok(whole === 1 || Math.abs(sum - 100) < 0.01, `${title}: ${whole} right, ${sum} per cent`);
  }
  console.log(`${name}: ${choices.length} questions read by gift-pegjs`);
}

// Markdown: its front matter, a heading for each section and lesson, links that lead to headings, nothing of HTML.
const { Parser } = require("commonmark");
const yaml = require("yaml");
const named = path.join(folder, path.basename(folder));
const { structure } = JSON.parse(await readFile(`${named}.json`, "utf8"));
const [, frontMatter, markdown] = /^---\n(.*?)\n---\n(.*)$/s.exec(await readFile(`${named}.md`, "utf8"));
const properties = yaml.parse(frontMatter);
// Texts that an export may write with other spaces, as code or without characters that no file can hold.
const plain = (text) => text.replaceAll(/[\s\p{Cc}\p{Noncharacter_Code_Point}`]+/gu, "");
assert.equal(plain(properties.title), plain(structure.course_title));
assert.doesNotMatch(properties.title, /(?![\t\n\r])\p{Cc}/u);
assert.equal(properties.lessons, structure.sections.flatMap(({ lessons }) => lessons).length);
const headings = [];
const walker = new Parser().parse(markdown).walker();
for (let event = walker.next(), heading; event; event = walker.next()) {
  const { node, entering } = event;
  if (node.type === "heading") {
    if (entering) heading = "";
    else headings.push({ level: node.level, text: heading });
  }
  if (["text", "code"].includes(node.type)) heading += node.literal;
  assert.ok(node.type !== "html_inline" && node.type !== "image", `${node.type}: ${node.literal}`);
  assert.ok(node.type !== "html_block" || node.literal.trim() === "<!-- end list -->", node.literal);
}
for (const { section_title: section, lessons } of structure.sections) {
  assert.ok(headings.some(({ level, text }) => level === 2 && plain(text).endsWith(plain(section))), section);
  for (const { lesson_title: title } of lessons) assert.ok(headings.some(({ level, text }) => level === 3 && plain(text).endsWith(plain(title))), title);
}
console.log(`${path.basename(folder)}.md: ${headings.length} headings read by commonmark`);

await context.close();
server.close();
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}

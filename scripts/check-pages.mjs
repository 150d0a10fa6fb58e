// The browser part of scripts/check-pages: URL SCREENSHOT_FOLDER; the password of ann@example.org is in PASSWORD.
import assert from "node:assert/strict";
import path from "node:path";
import { contrast, skippedHeadings, wide } from "./browser-checks.mjs";

const { chromium } = (await import(process.env.PLAYWRIGHT)).default;
const [site, shots] = process.argv.slice(2);
const flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

const problems = [];
// What browsers say of a page that is answered with this status.
const refusal = /^Failed to load resource: the server responded with a status of 401/;
const open = async (name, options) => {
  const context = await chromium.launchPersistentContext(path.join(process.env.PROFILE, name), {
    executablePath: process.env.CHROMIUM, headless: true, args: flags, locale: "en-GB", ...options,
  });
  const page = context.pages()[0] ?? await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("console", (message) => {
    const isExpected = refusal.test(message.text()) && message.location().url.endsWith("/sign-in");
    if (["error", "warning"].includes(message.type()) && !isExpected) problems.push(`${name}: console ${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => problems.push(`${name}: ${error}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${site}/`)) problems.push(`${name}: request ${request.url()}`);
  });
  await page.goto(`${site}/board`);
  return { context, page };
};
const shot = (page, name, options = {}) => page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true, ...options });
const signIn = async (page, password = process.env.PASSWORD) => {
  await page.fill("#email", "ann@example.org");
  await page.fill("#password", password);
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
};
const renewed = (page) => page.waitForResponse((response) => response.request().headers()["hx-request"] === "true");
const states = (page) => page.locator(".job .badge").allTextContents();
const healthy = async (page, what) => {
  assert.deepEqual(await contrast(page), [], `contrast: ${what}`);
  assert.deepEqual(await skippedHeadings(page), [], `headings: ${what}`);
  assert.equal(await wide(page), 0, `sideways scrolling: ${what}`);
  const nameless = await page.evaluate(() => [...document.querySelectorAll("a, button, summary, input:not([type=hidden]), select")]
    .filter((element) => !(element.textContent.trim() || element.labels?.length || element.getAttribute("aria-label")))
    .map((element) => element.outerHTML));
  assert.deepEqual(nameless, [], `controls without a name: ${what}`);
};

// Desktop, light: from the locked door to a tried, cancelled and promoted job, and out again.
{
  const { context, page } = await open("desktop", { viewport: { width: 1280, height: 900 }, colorScheme: "light" });
  assert.equal(new URL(page.url()).pathname, "/sign-in", "the board is locked");
  await healthy(page, "sign-in");
  await shot(page, "desktop-light-sign-in");
  await signIn(page, "not this one");
  assert.ok(await page.locator("#fault").isVisible(), "a wrong password is told");
  await shot(page, "desktop-light-sign-in-wrong");
  await signIn(page);
  assert.equal(new URL(page.url()).pathname, "/board");
  const cookie = (await context.cookies()).find((found) => found.name === "coursewright_session");
  assert.ok(cookie.httpOnly && cookie.sameSite === "Lax", "scripts and other sites do not get the cookie");
  assert.equal(await page.evaluate(() => document.cookie), "");
  const before = await states(page);
  assert.deepEqual([...new Set(before)].sort(), ["Done", "Given up", "Waiting"]);
  await healthy(page, "board");
  await shot(page, "desktop-light-board");

  // The list is renewed by itself: the focus stays, and so does an open question.
  await page.locator(".total.pending").focus();
  const waiting = page.locator(".job.pending").first();
  await waiting.locator("summary").click();
  const button = waiting.getByRole("button", { name: "Cancel the generation" });
  assert.ok(await button.isVisible(), "cancelling is asked about");
  await shot(page, "desktop-light-question");
  await button.focus();
  await (await renewed(page)).finished();
  await page.waitForTimeout(300);
  assert.ok(await button.isVisible(), "the question stays while the list is renewed");
  const title = await waiting.locator("h3").textContent();
  await button.click();
  await page.locator(".notice").waitFor();
  assert.equal(new URL(page.url()).searchParams.get("done"), "cancelled");
  assert.equal(await page.locator(".job.cancelled h3").textContent(), title, "the job is cancelled");

  // Choosing narrows the list at once, and the address says so.
  await page.selectOption("select[name=state]", "dead");
  await page.waitForURL((address) => address.searchParams.get("state") === "dead");
  assert.deepEqual([...new Set(await states(page))], ["Given up"]);
  await page.locator(".job h3 a").first().click();
  await page.locator("pre.error").waitFor();
  await healthy(page, "job");
  await shot(page, "desktop-light-job");
  await page.getByRole("button", { name: /^Try again/ }).click();
  await page.locator(".notice").waitFor();
  await page.getByRole("button", { name: /^Start next/ }).click();
  await page.locator(".notice").waitFor();
  await (await renewed(page)).finished();
  await shot(page, "desktop-light-job-retried");
  await page.goBack();
  await page.goBack();

  await page.goto(`${site}/board`);
  await page.click("#sign-out");
  await page.waitForURL(`${site}/sign-in`);
  await page.goto(`${site}/board`);
  assert.equal(new URL(page.url()).pathname, "/sign-in", "signing out locks the board");
  await context.close();
}

// A phone, in the dark: everything within the width, with the keyboard's order as it is seen.
{
  const { context, page } = await open("phone", { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true, colorScheme: "dark" });
  await healthy(page, "sign-in, phone, dark");
  await shot(page, "phone-dark-sign-in");
  await signIn(page);
  await healthy(page, "board, phone, dark");
  await shot(page, "phone-dark-board");
  await page.locator(".job.pending summary").first().tap();
  assert.ok(await page.locator(".question").first().isVisible());
  assert.equal(await wide(page), 0, "sideways scrolling, question open");
  await shot(page, "phone-dark-question", { fullPage: false });
  await page.locator(".job h3 a").first().tap();
  await page.locator("article").waitFor();
  await healthy(page, "job, phone, dark");
  await shot(page, "phone-dark-job");
  await context.close();
}

// In Russian, wide and dark.
{
  const { context, page } = await open("russian", { viewport: { width: 1280, height: 900 }, colorScheme: "dark", locale: "ru-RU" });
  await signIn(page);
  assert.equal(await page.getAttribute("html", "lang"), "ru");
  await healthy(page, "board, Russian, dark");
  await shot(page, "desktop-dark-russian-board");
  await page.locator(".job.dead h3 a, .job.succeeded h3 a").first().click();
  await page.locator("article").waitFor();
  await healthy(page, "job, Russian, dark");
  await shot(page, "desktop-dark-russian-job");
  await context.close();
}

// Without scripts everything can be done all the same.
{
  const { context, page } = await open("plain", { viewport: { width: 1100, height: 800 }, javaScriptEnabled: false });
  await signIn(page);
  await page.selectOption("select[name=state]", "pending");
  await page.click("#show");
  await page.waitForURL((address) => address.searchParams.get("state") === "pending");
  await page.locator(".job.pending").first().getByRole("button", { name: /^Start next/ }).click();
  await page.locator(".notice").waitFor();
  await page.locator(".job.pending summary").first().click();
  await page.getByRole("button", { name: "Cancel the generation" }).first().click();
  await page.locator(".notice").waitFor();
  await shot(page, "plain-board");
  await page.click("#sign-out");
  await page.waitForURL(`${site}/sign-in`);
  await context.close();
}

assert.deepEqual(problems, [], "the browser's complaints");
console.log(`the pages work; screenshots in ${shots}`);

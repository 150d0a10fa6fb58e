// The browser part of scripts/check-html: COURSE.html SCREENSHOT_FOLDER.
import assert from "node:assert/strict";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { contrast, skippedHeadings, wide } from "./browser-checks.mjs";

const { chromium } = (await import(process.env.PLAYWRIGHT)).default;
const [file, shots] = process.argv.slice(2);
const address = pathToFileURL(file).href;
const flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

const problems = [];
const open = async (name, options) => {
  const context = await chromium.launchPersistentContext(path.join(process.env.PROFILE, name), {
    executablePath: process.env.CHROMIUM, headless: true, args: flags, ...options,
  });
  const page = context.pages()[0] ?? await context.newPage();
  page.setDefaultTimeout(10_000);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(`${name}: console ${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => problems.push(`${name}: ${error}`));
  page.on("request", (request) => {
    if (request.url().split("#")[0] !== address) problems.push(`${name}: request ${request.url()}`);
  });
  await page.goto(address, { waitUntil: "load" });
  return { context, page };
};
const shot = (page, name, options = {}) => page.screenshot({ path: path.join(shots, `${name}.png`), ...options });
const settle = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
const show = async (page, selector) => {
  await page.locator(selector).first().evaluate((element) => element.scrollIntoView({ block: "start", behavior: "instant" }));
  await settle(page);
};

// Desktop, light: reading, a quiz, progress, the theme.
{
  const { context, page } = await open("desktop", { viewport: { width: 1360, height: 900 }, colorScheme: "light" });
  await shot(page, "desktop-light-cover");
  assert.deepEqual(await contrast(page), [], "contrast, light");
  const lesson = page.locator(".lesson:has(.quiz)").first();
  assert.equal(await lesson.count(), 1, "a lesson with a quiz");
  const id = await lesson.getAttribute("id");
  await page.locator(`.toc a[href="#${id}"]`).click();
  await page.waitForFunction((wanted) => document.querySelector(`.toc a[href="#${wanted}"]`).getAttribute("aria-current") === "true", id);
  await show(page, `#${id}`);
  await shot(page, "desktop-light-lesson");
  if (await lesson.locator(".example").count()) {
    await show(page, `#${id} .example`);
    await shot(page, "desktop-light-example");
  }

  const questions = lesson.locator(".question");
  const total = await questions.count();
  for (let index = 0; index < total; index++) {
    const question = questions.nth(index);
    const button = question.locator("button.check");
    assert.ok(await question.locator(".answer").isHidden(), "the answer is hidden before the check");
    await button.click();
    assert.notEqual(await question.locator(".verdict").textContent(), "", "an empty answer is noticed");
    const inputs = question.locator("input");
    if (index === 0) {
      // Wrong first, with the keyboard alone.
      const wrong = question.locator("input:not([data-correct])").first();
      await wrong.focus();
      await page.keyboard.press("Space");
      await button.focus();
      await page.keyboard.press("Enter");
      assert.ok(await question.locator(".verdict.is-wrong").isVisible(), "a wrong answer is told");
      assert.ok(await question.locator(".answer .prose").isVisible(), "the explanation opens");
      await show(page, `#${id} .quiz`);
      await shot(page, "desktop-light-quiz-wrong");
      await button.click();
      assert.ok(await question.locator(".answer").isHidden(), "trying again hides the answer");
    }
    for (let option = 0; option < await inputs.count(); option++) {
      if ((await inputs.nth(option).getAttribute("data-correct")) !== null) await inputs.nth(option).check();
    }
    await button.click();
    assert.ok(await question.locator(".verdict.is-right").isVisible(), `question ${index + 1} is right`);
  }
  const score = await lesson.locator(".score").textContent();
  assert.equal(score.match(/\d+/g)?.join("/"), `${total}/${total}`, "the score");
  await show(page, `#${id} .exercises`);
  await shot(page, "desktop-light-exercises");
  await show(page, `#${id} .quiz`);
  await shot(page, "desktop-light-quiz");
  assert.deepEqual(await contrast(page), [], "contrast, light, answered");

  await lesson.locator("[data-done]").check();
  assert.ok(await page.locator(`.toc a[href="#${id}"] .tick`).isVisible(), "the finished lesson is ticked");
  await page.locator("#theme").click();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark", "the theme button");
  await settle(page);
  await show(page, `#${id} .lesson-foot`);
  await shot(page, "desktop-dark-foot");
  await show(page, `#${id}`);
  await shot(page, "desktop-dark-lesson");
  assert.deepEqual(await contrast(page), [], "contrast, dark");
  await page.reload();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark", "the theme is remembered");
  assert.ok(await page.locator(`#${id} [data-done]`).isChecked(), "progress is remembered");
  await show(page, "#top");
  await shot(page, "desktop-dark-cover");
  await show(page, `#${id} .quiz`);
  await shot(page, "desktop-dark-quiz");
  await show(page, "#about");
  await shot(page, "desktop-dark-about");

  // Structure: what the browser made of the file.
  const broken = await page.evaluate(() => [...document.querySelectorAll('a[href^="#"]')].map((link) => link.getAttribute("href"))
    .filter((href) => !document.getElementById(decodeURIComponent(href.slice(1)))));
  assert.deepEqual(broken, [], "links inside the page have targets");
  assert.deepEqual(await skippedHeadings(page), [], "headings that skip a level");
  await page.pdf({ path: path.join(shots, "print.pdf"), format: "A4", preferCSSPageSize: true });
  await context.close();
}

// A phone: nothing scrolls sideways, the contents fold.
{
  const { context, page } = await open("phone", { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true });
  assert.equal(await wide(page), 0, "sideways scrolling on a phone");
  assert.ok(await page.locator("#menu nav").isHidden(), "the contents are folded");
  await shot(page, "phone-cover");
  await page.locator("#menu > summary").click();
  assert.ok(await page.locator("#menu nav").isVisible(), "the contents unfold");
  await shot(page, "phone-menu");
  await page.locator(".toc ol a").first().click();
  assert.ok(await page.locator("#menu nav").isHidden(), "choosing a lesson folds the contents");
  await page.evaluate(() => document.querySelectorAll("details").forEach((details) => { if (details.id !== "menu") details.open = true; }));
  assert.equal(await wide(page), 0, "sideways scrolling on a phone, everything open");
  await show(page, ".lesson:has(.quiz)");
  await shot(page, "phone-lesson");
  await show(page, ".lesson .quiz");
  await shot(page, "phone-quiz");
  await context.close();
}

// Without scripts everything can still be read.
{
  const { context, page } = await open("plain", { viewport: { width: 1200, height: 900 }, javaScriptEnabled: false });
  assert.ok(await page.locator("#menu nav").isVisible(), "contents without scripts");
  assert.ok(await page.locator(".question .answer summary").first().isVisible(), "answers without scripts");
  assert.ok(await page.locator("button.check").first().isHidden(), "no dead buttons");
  await page.locator(".question .answer summary").first().click();
  await page.locator(".question").first().scrollIntoViewIfNeeded();
  await shot(page, "plain-quiz");
  await context.close();
}

assert.deepEqual(problems, [], "the browser's complaints");
console.log(`${file}: the page works; screenshots in ${shots}`);

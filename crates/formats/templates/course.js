
"use strict";
(() => {
  const root = document.documentElement;
  // Private windows and files opened from a disk may refuse storage: then nothing is remembered, and all else works.
  const recall = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
  const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* not remembered */ } };

  const theme = recall("coursewright:theme");
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  root.classList.add("js");

  document.addEventListener("DOMContentLoaded", () => {
    const words = document.body.dataset;
    const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
    const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

    // Light and dark.
    document.getElementById("theme").addEventListener("click", () => {
      const shown = root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
      root.dataset.theme = shown === "dark" ? "light" : "dark";
      remember("coursewright:theme", root.dataset.theme);
    });
    document.getElementById("print").addEventListener("click", () => print());

    // The contents fold away on a narrow screen.
    const menu = document.getElementById("menu");
    const narrow = matchMedia("(max-width: 59.99rem)");
    const foldMenu = () => { menu.open = !narrow.matches; };
    foldMenu();
    narrow.addEventListener("change", foldMenu);
    menu.addEventListener("click", (event) => { if (narrow.matches && event.target.closest("a")) menu.open = false; });
    menu.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && narrow.matches && menu.open) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    });

    // Finished lessons.
    const links = new Map(all(".toc ol a").map((link) => [link.hash.slice(1), link]));
    const boxes = all("[data-done]");
    let finished;
    try { finished = new Set(JSON.parse(recall(words.key)) || []); } catch { finished = new Set(); }
    const showProgress = () => {
      let done = 0;
      for (const box of boxes) {
        box.checked = finished.has(box.dataset.done);
        done += box.checked ? 1 : 0;
        links.get(box.dataset.done).querySelector(".tick").hidden = !box.checked;
      }
      document.getElementById("progress").textContent = fill(words.progress, { done, all: boxes.length });
      document.getElementById("fill").style.width = `${(100 * done) / (boxes.length || 1)}%`;
      const open = boxes.find((box) => !box.checked);
      const begin = document.getElementById("begin");
      if (done > 0 && open) {
        begin.hash = open.dataset.done;
        begin.textContent = words.resume;
      }
    };
    for (const box of boxes) {
      box.addEventListener("change", () => {
        if (box.checked) finished.add(box.dataset.done); else finished.delete(box.dataset.done);
        remember(words.key, JSON.stringify([...finished]));
        showProgress();
      });
    }
    showProgress();

    // The lesson being read is marked in the contents.
    let current = null;
    const lessons = all(".lesson");
    const markCurrent = () => {
      const line = innerHeight / 3;
      const reading = lessons.findLast((lesson) => lesson.getBoundingClientRect().top < line);
      const link = reading ? links.get(reading.id) : null;
      if (link === current) return;
      if (current) current.removeAttribute("aria-current");
      current = link;
      if (!link) return;
      link.setAttribute("aria-current", "true");
      if (!narrow.matches) {
        const place = link.getBoundingClientRect();
        const frame = menu.getBoundingClientRect();
        if (place.top < frame.top || place.bottom > frame.bottom) menu.scrollTop += place.top - frame.top - frame.height / 3;
      }
    };
    let planned = false;
    addEventListener("scroll", () => {
      if (planned) return;
      planned = true;
      requestAnimationFrame(() => { planned = false; markCurrent(); });
    }, { passive: true });
    markCurrent();

    // Quizzes.
    for (const quiz of all(".quiz")) {
      const questions = all(".question", quiz);
      const results = new Map();
      for (const question of questions) {
        const inputs = all("input", question);
        const button = question.querySelector(".check");
        const verdict = question.querySelector(".verdict");
        const answer = question.querySelector(".answer");
        const clear = () => {
          for (const input of inputs) {
            input.checked = false;
            input.disabled = false;
            input.parentElement.classList.remove("is-right", "is-wrong");
          }
          verdict.textContent = "";
          verdict.className = "verdict";
          answer.classList.remove("shown");
          answer.open = false;
          button.textContent = words.check;
          results.delete(question);
          inputs[0].focus();
        };
        const check = () => {
          if (!inputs.some((input) => input.checked)) {
            verdict.className = "verdict";
            verdict.textContent = words.unanswered;
            return;
          }
          const right = inputs.every((input) => input.checked === input.hasAttribute("data-correct"));
          for (const input of inputs) {
            input.disabled = true;
            if (input.hasAttribute("data-correct")) input.parentElement.classList.add("is-right");
            else if (input.checked) input.parentElement.classList.add("is-wrong");
          }
          verdict.className = right ? "verdict is-right" : "verdict is-wrong";
          verdict.textContent = right ? words.right : words.wrong;
          answer.classList.add("shown");
          answer.open = true;
          button.textContent = words.again;
          results.set(question, right);
        };
        button.addEventListener("click", () => {
          if (results.has(question)) clear(); else check();
          const score = { right: [...results.values()].filter(Boolean).length, all: questions.length };
          quiz.querySelector(".score").textContent = results.size === questions.length ? fill(words.score, score) : "";
        });
      }
    }

    // On paper every hint is open. Newer browsers do this from the style sheet alone.
    let opened = [];
    addEventListener("beforeprint", () => {
      opened = all("details:not([open])");
      for (const details of opened) details.open = true;
    });
    addEventListener("afterprint", () => {
      for (const details of opened) details.open = false;
    });
  });
})();

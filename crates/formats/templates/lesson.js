"use strict";
// The lesson itself: asks the quiz, remembers where the learner was, and tells the platform through `coursewright`,
// which the script before this one defines. Without a platform everything works and nothing is remembered.
(() => {
  const words = document.body.dataset;
  const platform = globalThis.coursewright;
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
  const questions = all(".question");
  const done = document.getElementById("done");
  const close = document.getElementById("close");

  // By question: the letters that were chosen when it was last checked, and whether they were right.
  const answers = questions.map(() => null);
  let finished = false;

  const position = () => {
    const line = innerHeight / 3;
    const reading = all("main section[id], .opening").findLast((part) => part.getBoundingClientRect().top < line);
    return reading ? reading.id : "";
  };
  const save = () => platform.save(position(), JSON.stringify({ version: 1, finished, answers: answers.map((answer) => answer && answer.letters) }));

  const finish = () => {
    if (finished) return;
    finished = true;
    done.checked = true;
    done.disabled = true;
    platform.complete();
  };

  const showScore = () => {
    if (questions.length === 0 || answers.includes(null)) return null;
    const right = answers.filter((answer) => answer.right).length;
    document.querySelector(".score").textContent = words.score.replace("{right}", right).replace("{all}", questions.length);
    return right;
  };

  const show = (index) => {
    const question = questions[index];
    const answer = answers[index];
    const verdict = question.querySelector(".verdict");
    for (const input of all("input", question)) {
      const correct = input.hasAttribute("data-correct");
      input.checked = answer.letters.includes(input.value);
      input.disabled = true;
      input.parentElement.classList.toggle("is-right", correct);
      input.parentElement.classList.toggle("is-wrong", !correct && input.checked);
    }
    verdict.className = answer.right ? "verdict is-right" : "verdict is-wrong";
    verdict.textContent = answer.right ? words.right : words.wrong;
    question.querySelector(".answer").hidden = false;
    question.querySelector(".check").textContent = words.again;
  };

  const judge = (question, letters) => all("input", question).every((input) => letters.includes(input.value) === input.hasAttribute("data-correct"));

  const check = (index) => {
    const question = questions[index];
    const inputs = all("input", question);
    const letters = inputs.filter((input) => input.checked).map((input) => input.value).join("");
    if (!letters) {
      question.querySelector(".verdict").className = "verdict";
      question.querySelector(".verdict").textContent = words.unanswered;
      return;
    }
    answers[index] = { letters, right: judge(question, letters) };
    show(index);
    platform.answer(index, {
      chosen: letters,
      correct: inputs.filter((input) => input.hasAttribute("data-correct")).map((input) => input.value).join(""),
      right: answers[index].right,
    });
    const right = showScore();
    if (right !== null) {
      platform.score(right, questions.length);
      finish();
    }
    save();
  };

  const clear = (index) => {
    const question = questions[index];
    const verdict = question.querySelector(".verdict");
    answers[index] = null;
    for (const input of all("input", question)) {
      input.checked = false;
      input.disabled = false;
      input.parentElement.classList.remove("is-right", "is-wrong");
    }
    verdict.className = "verdict";
    verdict.textContent = "";
    question.querySelector(".answer").hidden = true;
    question.querySelector(".check").textContent = words.check;
    document.querySelector(".score").textContent = "";
    question.querySelector("input").focus();
    save();
  };

  const restore = ({ location, data }) => {
    let saved = null;
    try { saved = JSON.parse(data); } catch { /* nothing was saved, or another program saved it */ }
    if (saved && saved.version === 1) {
      finished = saved.finished === true;
      done.checked = finished;
      done.disabled = finished;
      (saved.answers || []).slice(0, questions.length).forEach((letters, index) => {
        if (typeof letters !== "string" || !letters) return;
        answers[index] = { letters, right: judge(questions[index], letters) };
        show(index);
      });
      showScore();
    }
    const part = location ? document.getElementById(location) : null;
    if (part) part.scrollIntoView();
  };

  const begin = async () => {
    // A platform that does not answer must not keep anybody from learning.
    restore(await platform.start().catch((error) => { console.error(error); return {}; }));
    questions.forEach((question, index) => {
      question.querySelector(".check").addEventListener("click", () => {
        if (answers[index]) clear(index); else check(index);
      });
    });
    // Shown only where there is no quiz: a quiz finishes its lesson with its last answer.
    done.addEventListener("change", () => { if (done.checked) { finish(); save(); } });
    if (platform.canClose()) {
      close.hidden = false;
      close.addEventListener("click", async () => { save(); await platform.end(); });
    }
    addEventListener("pagehide", () => { save(); platform.leave(); });
    document.documentElement.dataset.ready = "ready";
  };
  begin();
})();

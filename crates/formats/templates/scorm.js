"use strict";
// Tells a SCORM platform how the learner gets on. `data-runtime` of the page says which SCORM: "scorm12" or "scorm2004".
(() => {
  // As many windows as the ADL examples climb before they give up.
  const WINDOWS_MAX = 500;
  const dialects = {
    scorm12: {
      object: "API", initialize: "LMSInitialize", get: "LMSGetValue", set: "LMSSetValue", commit: "LMSCommit", finish: "LMSFinish",
      location: "cmi.core.lesson_location", time: "cmi.core.session_time", exit: "cmi.core.exit",
    },
    scorm2004: {
      object: "API_1484_11", initialize: "Initialize", get: "GetValue", set: "SetValue", commit: "Commit", finish: "Terminate",
      location: "cmi.location", time: "cmi.session_time", exit: "cmi.exit",
    },
  };
  const is2004 = document.body.dataset.runtime === "scorm2004";
  const dialect = dialects[document.body.dataset.runtime];
  const mastery = Number(document.body.dataset.mastery);

  const findAbove = (start) => {
    let seen = start;
    for (let count = 0; seen && count < WINDOWS_MAX; count += 1) {
      // A window of another origin throws: no platform is to be found behind it.
      try { if (seen[dialect.object]) return seen[dialect.object]; } catch { return null; }
      if (seen.parent === seen) return null;
      seen = seen.parent;
    }
    return null;
  };
  const findApi = () => findAbove(window) || (window.opener ? findAbove(window.opener) : null);

  const began = performance.now();
  let api = null;
  let finished = false;
  let passed = false;
  const get = (name) => (api ? String(api[dialect.get](name)) : "");
  const set = (name, value) => { if (api) api[dialect.set](name, String(value)); };
  const commit = () => { if (api) api[dialect.commit](""); };

  const two = (number) => String(number).padStart(2, "0");
  const sessionTime = () => {
    const seconds = Math.floor((performance.now() - began) / 1000);
    if (is2004) return `PT${seconds}S`;
    return `${String(Math.floor(seconds / 3600)).padStart(4, "0")}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  };

  globalThis.coursewright = {
    async start() {
      const found = findApi();
      if (found && String(found[dialect.initialize]("")) === "true") api = found;
      if (is2004) {
        finished = get("cmi.completion_status") === "completed";
        passed = get("cmi.success_status") === "passed";
        if (!finished) set("cmi.completion_status", "incomplete");
      } else {
        const status = get("cmi.core.lesson_status");
        finished = ["passed", "completed", "failed"].includes(status);
        passed = status === "passed";
        if (!finished) set("cmi.core.lesson_status", "incomplete");
      }
      commit();
      return { location: get(dialect.location), data: get("cmi.suspend_data") };
    },

    save(location, data) {
      set(dialect.location, location);
      set("cmi.suspend_data", data);
      commit();
    },

    answer(index, { chosen, correct, right }) {
      const count = Number(get("cmi.interactions._count")) || 0;
      const name = `cmi.interactions.${count}`;
      const letters = (text) => text.toLowerCase().split("").join(is2004 ? "[,]" : ",");
      set(`${name}.id`, `question-${index + 1}`);
      set(`${name}.type`, "choice");
      set(`${name}.correct_responses.0.pattern`, letters(correct));
      set(`${name}.${is2004 ? "learner_response" : "student_response"}`, letters(chosen));
      set(`${name}.result`, right ? "correct" : is2004 ? "incorrect" : "wrong");
    },

    score(right, all) {
      const share = right / all;
      // Nobody who has passed is failed by trying again; and platforms judge by the score too.
      if (passed && share < mastery) return;
      passed = share >= mastery;
      const prefix = is2004 ? "cmi.score" : "cmi.core.score";
      set(`${prefix}.min`, 0);
      set(`${prefix}.max`, 100);
      set(`${prefix}.raw`, Math.round(share * 100));
      if (is2004) {
        set("cmi.score.scaled", share.toFixed(4));
        set("cmi.success_status", passed ? "passed" : "failed");
      } else {
        set("cmi.core.lesson_status", passed ? "passed" : "failed");
      }
      finished = true;
      commit();
    },

    complete() {
      if (is2004) {
        set("cmi.completion_status", "completed");
        set("cmi.progress_measure", 1);
      } else if (!finished) {
        // SCORM 1.2 has one status for both: a quiz has set it already.
        set("cmi.core.lesson_status", "completed");
      }
      finished = true;
      commit();
    },

    canClose: () => false,
    async end() { this.leave(); },

    leave() {
      if (!api) return;
      set(dialect.time, sessionTime());
      // Anything else would begin a new attempt next time, without the answers.
      set(dialect.exit, "suspend");
      commit();
      api[dialect.finish]("");
      api = null;
    },
  };
})();

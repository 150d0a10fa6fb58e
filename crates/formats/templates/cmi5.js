"use strict";
// Tells a cmi5 platform how the learner gets on: statements of xAPI 1.0.3 as the cmi5 specification (Quartz) has them.
(() => {
  const VERSION = "1.0.3";
  const CATEGORY = "https://w3id.org/xapi/cmi5/context/categories/cmi5";
  const MOVE_ON = "https://w3id.org/xapi/cmi5/context/categories/moveon";
  const MASTERY = "https://w3id.org/xapi/cmi5/context/extensions/masteryscore";
  const VERBS = {
    initialized: "http://adlnet.gov/expapi/verbs/initialized",
    completed: "http://adlnet.gov/expapi/verbs/completed",
    passed: "http://adlnet.gov/expapi/verbs/passed",
    failed: "http://adlnet.gov/expapi/verbs/failed",
    terminated: "http://adlnet.gov/expapi/verbs/terminated",
  };
  const STATE_ID = "coursewright";

  const launch = new URLSearchParams(location.search);
  const endpoint = (launch.get("endpoint") || "").replace(/\/?$/, "/");
  const began = performance.now();
  let actor = null;
  let authorization = "";
  let launchData = null;
  let mastery = Number(document.body.dataset.mastery);
  // What was reported already in this registration: cmi5 allows each of the two once.
  let reported = { completed: false, passed: false };
  let state = { location: "", data: "" };
  let over = false;
  // A session may say `passed` or `failed` once (9.3), and a quiz may be tried again: that it was failed is said at the end.
  let failed = null;
  // Statements leave one after the other, in the order in which things happened; those that have not left yet.
  const waiting = [];
  let queue = Promise.resolve();

  const request = (path, parameters, options = {}) => {
    const url = new URL(path, endpoint);
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    return fetch(url, {
      ...options,
      headers: { "Authorization": authorization, "X-Experience-API-Version": VERSION, ...options.headers },
    });
  };
  const stateParameters = (stateId) => ({
    activityId: launch.get("activityId"), agent: JSON.stringify(actor), registration: launch.get("registration"), stateId,
  });
  const json = { "Content-Type": "application/json" };
  // `crypto.randomUUID` is there on https only, and platforms in a house's own network may have none.
  const uuid = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  };
  const duration = () => `PT${((performance.now() - began) / 1000).toFixed(2)}S`;
  const records = () => launchData !== null && launchData.launchMode === "Normal";

  const statement = (verb, result, { counts = false } = {}) => {
    const context = structuredClone(launchData.contextTemplate || {});
    context.registration = launch.get("registration");
    context.contextActivities = context.contextActivities || {};
    const categories = [].concat(context.contextActivities.category || []);
    if (!categories.some((category) => category.id === CATEGORY)) categories.push({ id: CATEGORY });
    if (counts) categories.push({ id: MOVE_ON });
    context.contextActivities.category = categories;
    if (verb === "passed" || verb === "failed") context.extensions = { ...context.extensions, [MASTERY]: mastery };
    return {
      id: uuid(),
      actor,
      verb: { id: VERBS[verb], display: { "en-US": verb } },
      object: { id: launch.get("activityId"), objectType: "Activity" },
      timestamp: new Date().toISOString(),
      context,
      ...(result ? { result } : {}),
    };
  };
  // `keepalive` lets a request arrive although its page is closing.
  const tell = (method, path, parameters, body) => request(path, parameters, { method, headers: json, body: JSON.stringify(body), keepalive: true });
  const post = (statements) => tell("POST", "statements", {}, statements);
  const send = (...statements) => {
    waiting.push(...statements);
    const leave = () => (waiting.length > 0 ? post(waiting.splice(0)) : null);
    // Browsers end what a closing page has begun with an error, although it arrives.
    queue = queue.then(leave).catch((error) => { if (!over) console.error(error); });
    return queue;
  };
  // The last statements of a session, once.
  const ending = () => {
    if (over || launchData === null) return [];
    over = true;
    return [failed, statement("terminated", { duration: duration() })].filter(Boolean);
  };

  globalThis.coursewright = {
    async start() {
      if (!launch.get("fetch") || !launch.get("endpoint")) return state;
      actor = JSON.parse(launch.get("actor"));
      const token = await (await fetch(launch.get("fetch"), { method: "POST" })).json();
      // The address gives its token once: after a reload there is none, and nothing more may be told.
      if (!token["auth-token"]) return state;
      authorization = `Basic ${token["auth-token"]}`;
      launchData = await (await request("activities/state", stateParameters("LMS.LaunchData"))).json();
      if (typeof launchData.masteryScore === "number") mastery = launchData.masteryScore;
      // The specification wants the preferences read; this page has nothing that they could change.
      await request("agents/profile", { agent: JSON.stringify(actor), profileId: "cmi5LearnerPreferences" });
      const stored = await request("activities/state", stateParameters(STATE_ID));
      if (stored.ok) {
        const before = await stored.json();
        state = { location: before.location || "", data: before.data || "" };
        reported = { ...reported, ...before.reported };
      }
      await send(statement("initialized"));
      return state;
    },

    save(place, data) {
      state = { location: place, data };
      // Nobody waits for this, and a page that is closing hears no answer.
      if (records() && !over) tell("PUT", "activities/state", stateParameters(STATE_ID), { ...state, reported }).catch(() => {});
    },

    answer() { /* Statements on single answers are not needed by any rule of cmi5. */ },

    score(right, all) {
      if (!records() || reported.passed || over) return;
      const scaled = right / all;
      const success = scaled >= mastery;
      const result = { score: { scaled, raw: right, min: 0, max: all }, success, duration: duration() };
      const verdict = statement(success ? "passed" : "failed", result, { counts: true });
      reported.passed = success;
      failed = success ? null : verdict;
      if (success) send(verdict);
    },

    complete() {
      if (!records() || reported.completed || over) return;
      reported.completed = true;
      send(statement("completed", { completion: true, duration: duration() }, { counts: true }));
    },

    canClose: () => launchData !== null && typeof launchData.returnURL === "string",
    async end() {
      const last = ending();
      if (last.length > 0) await send(...last);
      location.assign(launchData.returnURL);
    },
    leave() {
      // At once and together: whatever would wait for an answer before it would never be sent.
      const last = [...waiting.splice(0), ...ending()];
      if (last.length > 0) post(last).catch(() => {});
    },
  };
})();

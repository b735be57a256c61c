// Keeps a page fresh, while somebody sees it and fills in nothing: as soon as a stream says that a
// part of the queue has changed that stands on it, or every few seconds where there is no stream.
// A refresh that fails leaves the rows, says since when they are not fresh, and is tried again.
// Shows the times of a page in the viewer's own zone, too.
"use strict";
const pollMs = 5000;
const paceMs = 1000;
const streamAgainMs = 30000;
const slowestMs = 30000;
const unansweredMs = 10000;
let wanted = false;
let flying = false;
let began = 0;
let took = 0;
let streaming = false;
let streamAsked = 0;
let failures = 0;
let fault = "";
let freshAt = new Date();
let findings = null;
let tag = "";
let ahead = 0;

function localTimes() {
  for (const time of document.querySelectorAll("time[datetime]:not([data-local])")) {
    const local = new Date(time.dateTime);
    time.dataset.local = "";
    if (time.matches(".exact")) {
      if (local.getTimezoneOffset()) time.textContent += ", here " + local.toLocaleString();
    } else time.title = local.toLocaleString() + " here, " + time.title;
  }
}

// The clock of the viewer may go wrong: ages are those by the clock of the dashboard.
function readClock() {
  ahead = Date.now() - Date.parse(document.getElementById("live").dataset.now);
}

// Says a number of seconds by its two largest units, as the dashboard does.
function lengthOf(seconds) {
  const parts = [];
  let rest = Math.floor(seconds);
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"]]) {
    if (rest >= size) parts.push(Math.floor(rest / size) + unit);
    rest %= size;
  }
  if (rest || !parts.length) parts.push(rest + "s");
  return parts.slice(0, 2).join("");
}

// Counts the ages on, so that no answer is needed for that.
function countAges() {
  const now = Date.now() - ahead;
  for (const time of document.querySelectorAll("main time.age")) {
    if (time.closest("[role=status]")) continue;
    const away = (Date.parse(time.dateTime) - now) / 1000;
    const text = away > 0 ? "in " + lengthOf(away) : lengthOf(-away) + " ago";
    if (Math.abs(away) >= 1 && time.textContent !== text) time.textContent = text;
  }
}

// Announces to screen readers that the health has changed: not that a wait has become a second longer.
function announceHealth() {
  const health = document.querySelector("[data-findings]");
  if (!health) return;
  const before = findings;
  findings = health.dataset.findings;
  if (before === null || before === findings) return;
  const sentences = [...health.querySelectorAll("li, b")].map((each) => each.textContent);
  document.getElementById("news").textContent = "The health has changed. " + sentences.join(" ");
}

// The result of an act is shown once, and not again after a reload.
function forgetResult() {
  const address = new URL(location);
  if (!address.searchParams.has("done")) return;
  address.searchParams.delete("done");
  history.replaceState(null, "", address);
}

function isPaused() {
  const pause = document.getElementById("pause");
  return Boolean(pause) && !pause.checked;
}

// Why a refresh must wait: it would take away what somebody fills in, or a row from below a tick.
function heldBy(live) {
  const focus = document.activeElement;
  if (live.contains(focus) && focus.matches("input:not([type=checkbox]), select, textarea")) {
    return "a field has the keyboard";
  }
  if (live.querySelector("details[open] form")) return "a form is open";
  return live.querySelector("td input:checked") ? "a box is ticked" : "";
}

function isStale() {
  return failures > 0 || (flying && performance.now() - began > unansweredMs);
}

// What the dot says: live, held, stale or off.
function showState(live) {
  const root = document.documentElement;
  const held = heldBy(live);
  const state = isPaused() ? "off" : isStale() ? "stale" : held ? "held" : "live";
  root.dataset.live = state;
  const words = document.getElementById("live-state");
  const text = { off: "off", stale: "stale", held: "held: " + held, live: "" }[state];
  if (words && words.textContent !== text) words.textContent = text;
  const bar = document.getElementById("stale");
  const since = "Not fresh since " + freshAt.toLocaleTimeString() + ": " + fault;
  const shown = failures > 0 ? since + " Trying again." : "";
  if (bar.textContent !== shown) bar.textContent = shown;
  bar.hidden = !shown;
}

// A failure is followed by longer and longer pauses.
function pauseMs() {
  const again = failures > 0 ? paceMs * 2 ** (failures - 1) : paceMs;
  return Math.min(slowestMs, Math.max(again, 4 * took));
}

// What a refresh takes is a burden on the database: a slow page is asked for less often.
function tick() {
  const live = document.getElementById("live");
  const stream = document.getElementById("stream");
  const now = performance.now();
  if (!document.hidden) countAges();
  if (!live || !live.dataset.parts) return;
  showState(live);
  if (stream && !streaming && !document.hidden && now - streamAsked > streamAgainMs) {
    streamAsked = now;
    htmx.trigger(stream, "connect");
  }
  if (!streaming && now - began > pollMs) wanted = true;
  if (!wanted || flying || document.hidden || isPaused() || heldBy(live)) return;
  if (now - began < pauseMs()) return;
  wanted = false;
  flying = true;
  fault = "";
  began = now;
  htmx.trigger(live, "refresh");
}

function onChanged(event) {
  const live = document.getElementById("live");
  const changed = event.detail.data.split(" ");
  if (live && live.dataset.parts.split(" ").some((part) => changed.includes(part))) {
    wanted = true;
    tick();
  }
}

// The page is sent again only if it differs from what is here.
function askForChanges(event) {
  const { sourceElement, request } = event.detail.ctx;
  if (sourceElement.id === "live" && tag) request.headers["If-None-Match"] = tag;
}

// Reads an answer to a refresh: anything but the page itself leaves the rows as they are.
function onAnswer(event) {
  if (event.target.id !== "live") return;
  const { response, text } = event.detail.ctx;
  if (response.status === 304) return;
  const page = new DOMParser().parseFromString(text, "text/html");
  if (response.status === 200 && page.getElementById("live")) {
    tag = response.raw.headers.get("ETag") || "";
    return;
  }
  const sentence = page.querySelector("#live .lead");
  fault = sentence ? sentence.textContent : "The answer was " + response.status + ".";
}

function keepRows(event) {
  if (event.target.id === "live" && fault) event.preventDefault();
}

function onLost(event) {
  if (event.target.id === "live") fault = "The dashboard can't be reached.";
}

function onEnd(event) {
  if (event.target.id !== "live") return;
  flying = false;
  took = performance.now() - began;
  if (fault) {
    failures++;
    wanted = true;
  } else {
    failures = 0;
    freshAt = new Date();
  }
  tick();
}

// The library ends a stream when a page is hidden, but none whose answer comes after that.
function refuseHidden(event) {
  if (!document.hidden) return;
  event.preventDefault();
  streamAsked = -Infinity;
}

function setStreaming(value) {
  return () => {
    streaming = value;
    document.documentElement.dataset.streaming = value ? "yes" : "no";
  };
}

// The box in the head of a table chooses all of its rows, or none.
function chooseAll(event) {
  if (!event.target.matches("input.all")) return;
  for (const each of event.target.closest("table").querySelectorAll("td input[type=checkbox]")) {
    each.checked = event.target.checked;
  }
}

// A narrow screen shows a part of the navigation: the part where one is.
function showWhere() {
  const list = document.querySelector("nav ul");
  const current = list.querySelector("[aria-current]");
  if (current) list.scrollLeft = current.offsetLeft - (list.clientWidth - current.offsetWidth) / 2;
}

function showScripted() {
  for (const each of document.querySelectorAll("[data-script]")) each.hidden = false;
}

function showPause() {
  const paused = isPaused();
  document.documentElement.dataset.paused = paused ? "yes" : "no";
  sessionStorage.setItem("paused", paused ? "yes" : "no");
  tick();
}

// What is unfolded stays so.
htmx.config.morphIgnore.push("open");
document.addEventListener("DOMContentLoaded", () => {
  localTimes();
  readClock();
  announceHealth();
  forgetResult();
  showScripted();
  showWhere();
  const pause = document.getElementById("pause");
  if (pause) {
    pause.checked = sessionStorage.getItem("paused") !== "yes";
    pause.addEventListener("change", showPause);
    showPause();
  }
});
document.addEventListener("changed", onChanged);
document.addEventListener("htmx:sse:before:connection", refuseHidden);
document.addEventListener("htmx:sse:after:connection", setStreaming(true));
document.addEventListener("htmx:sse:error", setStreaming(false));
document.addEventListener("htmx:sse:close", setStreaming(false));
document.addEventListener("htmx:config:request", askForChanges);
document.addEventListener("htmx:after:swap", localTimes);
document.addEventListener("htmx:after:swap", readClock);
document.addEventListener("htmx:after:swap", announceHealth);
document.addEventListener("htmx:after:swap", showScripted);
document.addEventListener("change", chooseAll);
document.addEventListener("htmx:after:request", onAnswer);
document.addEventListener("htmx:before:swap", keepRows);
document.addEventListener("htmx:error", onLost);
document.addEventListener("htmx:finally:request", onEnd);
document.addEventListener("visibilitychange", () => {
  wanted = true;
  tick();
});
setInterval(tick, 500);

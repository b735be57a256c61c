// Keeps a page fresh, while somebody sees it and nothing in it has the keyboard: as soon as a
// stream says that a part of the queue has changed that stands on it, or every few seconds where
// there is no stream. Shows the times of a page in the viewer's own zone, too.
"use strict";
const pollMs = 5000;
const paceMs = 1000;
const streamAgainMs = 30000;
let wanted = false;
let flying = false;
let began = 0;
let took = 0;
let streaming = false;
let streamAsked = 0;

function localTimes() {
  for (const time of document.querySelectorAll("time[datetime]:not([data-local])")) {
    const local = new Date(time.dateTime);
    time.dataset.local = "";
    if (time.matches(".exact")) {
      if (local.getTimezoneOffset()) time.textContent += ", here " + local.toLocaleString();
    } else time.title = local.toLocaleString() + " here, " + time.title;
  }
}

function isPaused() {
  const pause = document.getElementById("pause");
  return Boolean(pause) && !pause.checked;
}

function mayRefresh(live) {
  const busy = live.contains(document.activeElement)
    || live.querySelector("details[open], td input:checked");
  return !document.hidden && !busy && !isPaused();
}

// What a refresh takes is a burden on the database: a slow page is asked for less often.
function tick() {
  const live = document.getElementById("live");
  const stream = document.getElementById("stream");
  const now = performance.now();
  if (!live || !live.dataset.parts) return;
  if (stream && !streaming && !document.hidden && now - streamAsked > streamAgainMs) {
    streamAsked = now;
    htmx.trigger(stream, "connect");
  }
  if (!streaming && now - began > pollMs) wanted = true;
  if (!wanted || flying || !mayRefresh(live)) return;
  if (now - began < Math.max(paceMs, 4 * took)) return;
  wanted = false;
  flying = true;
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
}

document.addEventListener("DOMContentLoaded", () => {
  localTimes();
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
document.addEventListener("htmx:after:swap", localTimes);
document.addEventListener("htmx:after:swap", showScripted);
document.addEventListener("change", chooseAll);
document.addEventListener("htmx:finally:request", (event) => {
  if (event.target.id !== "live") return;
  flying = false;
  took = performance.now() - began;
});
document.addEventListener("visibilitychange", () => {
  wanted = true;
  tick();
});
setInterval(tick, 500);

// Keeps a page fresh: every few seconds, while somebody sees it and nothing in it has the
// keyboard. Shows the exact times of a page in the viewer's own zone, too.
"use strict";
const every = 5000;

function localTimes() {
  for (const time of document.querySelectorAll("time[datetime]:not([data-local])")) {
    const local = new Date(time.dateTime);
    time.dataset.local = "";
    time.title = local.toLocaleString() + " here, " + time.title;
  }
}

function refresh() {
  const live = document.getElementById("live");
  const busy = live && live.contains(document.activeElement);
  const opened = live && live.querySelector("details[open]");
  const paused = document.getElementById("pause");
  if (!live || busy || opened || document.hidden || (paused && paused.checked)) return;
  htmx.trigger(live, "refresh");
}

document.addEventListener("DOMContentLoaded", () => {
  localTimes();
  for (const each of document.querySelectorAll("[data-script]")) each.hidden = false;
});
document.addEventListener("htmx:after:swap", localTimes);
setInterval(refresh, every);

// The page: which view the address asks for, the theme, and whether the server answers.
import { ApiError } from "./api.js";
import { empty, h, setText } from "./dom.js";
import { eventsView } from "./events.js";
import { queuesView, workersView } from "./fleet.js";
import { jobView } from "./job.js";
import { jobsView } from "./jobs.js";
import { poolView, poolsView } from "./pools.js";

// A view gets the page's services and the rest of the address; it lives until page.signal.
const views = [
  [/^#\/jobs\/([^/]+)$/, jobView, "jobs"],
  [/^#\/jobs$/, jobsView, "jobs"],
  [/^#\/queues$/, queuesView, "queues"],
  [/^#\/workers$/, workersView, "workers"],
  [/^#\/pools\/([^/]+)$/, poolView, "pools"],
  [/^#\/pools$/, poolsView, "pools"],
  [/^#\/events$/, eventsView, "events"],
];

const main = document.getElementById("main"), live = document.getElementById("live"), trouble = document.getElementById("trouble");
let current = null;

function state(name, error) {
  live.dataset.state = name;
  setText(live.lastElementChild, { live: "live", ended: "ended", offline: "offline", connecting: "connecting" }[name]);
  if (name !== "offline") return fail(null);
  fail(error instanceof ApiError ? error : new ApiError(0, { message: "The coordinator does not answer. This page tries again by itself." }));
}

function fail(error) {
  trouble.hidden = !error;
  if (error) trouble.replaceChildren(h("b", {}, error.reason ? `${error.reason}: ` : "Offline: "), error.message, error.hint ? h("span", { class: "muted" }, ` ${error.hint}`) : "");
}

// `load` now and every so many seconds, while the page is seen; its failure is shown, and it goes on.
function repeat(load, period, signal) {
  let timer = null, busy = false;
  const run = async () => {
    clearTimeout(timer);
    if (!busy && !document.hidden) {
      busy = true;
      try {
        await load();
        if (!signal.aborted) state("live");
      } catch (error) {
        if (!signal.aborted) state("offline", error);
      }
      busy = false;
    }
    if (!signal.aborted) timer = setTimeout(run, period * 1000);
  };
  document.addEventListener("visibilitychange", run, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  run();
  return run;
}

function show() {
  const address = location.hash || "#/jobs";
  current?.abort();
  current = new AbortController();
  fail(null);
  const page = { main, signal: current.signal, state, repeat: (load, period) => repeat(load, period, page.signal), title: (text) => { document.title = text ? `${text} · seer` : "seer"; } };
  for (const [form, view, section] of views) {
    const match = address.match(form);
    if (!match) continue;
    for (const link of document.querySelectorAll("nav a[data-section]")) {
      if (link.dataset.section === section) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    main.replaceChildren(h("p", { class: "empty", "aria-busy": "true" }, "Loading …"));
    view(page, ...match.slice(1).map(decodeURIComponent));
    return;
  }
  page.title("Not found");
  main.replaceChildren(empty("There is nothing here", h("a", { href: "#/jobs" }, "Go to the jobs")));
}

const themeKey = "seer.theme";
function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  const dark = name ? name === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.getElementById("theme").setAttribute("aria-label", dark ? "Switch to light" : "Switch to dark");
  return dark;
}
document.getElementById("theme").addEventListener("click", () => {
  const next = theme(localStorage.getItem(themeKey)) ? "light" : "dark";
  localStorage.setItem(themeKey, next);
  theme(next);
});
theme(localStorage.getItem(themeKey));

addEventListener("hashchange", () => {
  show();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
});
addEventListener("online", show);
show();

// All jobs: state, progress, what is left.
import { get, watch } from "./api.js";
import { empty, h, keyedRows, setText } from "./dom.js";
import { ago, id, num, percent, seconds, short, word } from "./format.js";

const tones = { RUNNING: "run", STARTING: "run", SUCCEEDED: "good", FAILED: "bad", PAUSED: "warn", PAUSING: "warn", RESTARTING: "warn" };

export function stateChip(state) {
  const name = (state || "JOB_STATE_QUEUED").replace("JOB_STATE_", "");
  return h("span", { class: "chip", "data-tone": tones[name] }, word(name, ""));
}

export const isOver = (job) => /SUCCEEDED|FAILED|CANCELLED/.test(job.state);
export const isRunning = (job) => job.state === "JOB_STATE_RUNNING";
export const totalSteps = (job) => num(job.progress?.totalSteps) || num(job.spec?.optim?.steps);
export const leftSeconds = (job) => (isRunning(job) && num(job.progress?.stepSeconds) > 0
  ? Math.max(0, totalSteps(job) - num(job.progress.step)) * num(job.progress.stepSeconds) : NaN);

// Productive over all but the time in the queue.
export function goodput(job) {
  let all = 0, productive = 0;
  for (const share of job.timeShares || []) {
    if (share.timeClass !== "queue") all += num(share.seconds);
    if (share.timeClass === "productive") productive = num(share.seconds);
  }
  return all > 0 ? productive / all : NaN;
}

function makeRow(job) {
  return h("tr", {},
    h("th", { scope: "row" }, h("a", { class: "name", href: `#/jobs/${encodeURIComponent(id(job.name))}` }), h("span", { class: "sub" })),
    h("td", {}), h("td", {}, h("progress", { max: 1 }), h("span", { class: "sub number" })),
    h("td", { class: "right" }), h("td", { class: "right optional" }), h("td", { class: "right optional" }),
    h("td", { class: "right optional" }), h("td", { class: "right" }), h("td", { class: "right optional" }));
}

function showRow(row, job) {
  const p = job.progress || {}, total = totalSteps(job), step = num(p.step);
  const [name, state, progress, loss, images, stall, good, eta, made] = row.children;
  setText(name.firstChild, job.spec?.metadata?.name || id(job.name));
  setText(name.lastChild, job.wait?.message || (isOver(job) && !/SUCCEEDED/.test(job.state) && job.stateMessage) || id(job.name));
  if (state.dataset.state !== job.state) {
    state.dataset.state = job.state;
    state.replaceChildren(stateChip(job.state));
  }
  progress.firstChild.value = total > 0 ? step / total : 0;
  progress.firstChild.setAttribute("aria-label", `step ${step} of ${total}`);
  setText(progress.lastChild, total > 0 ? `${step} / ${total}` : "");
  setText(loss, step > 0 && p.loss !== undefined ? num(p.loss).toFixed(3) : "–");
  setText(images, isRunning(job) && p.imagesPerSecond ? short(num(p.imagesPerSecond)) : "–");
  setText(stall, job.dataStallRatio !== undefined ? percent(num(job.dataStallRatio)) : step > 0 ? percent(0) : "–");
  setText(good, percent(goodput(job), 0));
  setText(eta, isOver(job) ? "–" : seconds(leftSeconds(job)));
  setText(made, ago(job.createTime));
}

export function jobsView(page) {
  page.title("Jobs");
  const body = h("tbody", {}), more = h("button", { class: "quiet", type: "button", hidden: true }, "Show older jobs");
  const count = h("span", { class: "muted" });
  const filter = h("select", { "aria-label": "Which jobs" },
    h("option", { value: "" }, "All jobs"), h("option", { value: "live" }, "Not ended"), h("option", { value: "bad" }, "Failed"));
  const sections = {
    live: "states=JOB_STATE_QUEUED&states=JOB_STATE_STARTING&states=JOB_STATE_RUNNING&states=JOB_STATE_PAUSING&states=JOB_STATE_PAUSED&states=JOB_STATE_RESTARTING&",
    bad: "states=JOB_STATE_FAILED&", "": "",
  };
  const table = h("div", { class: "table" }, h("table", {}, h("caption", { class: "unseen" }, "Jobs, newest first"),
    h("thead", {}, h("tr", {}, ...["Job", "State", "Progress"].map((t) => h("th", { scope: "col" }, t)),
      h("th", { scope: "col", class: "right" }, "Loss"), h("th", { scope: "col", class: "right optional" }, "Images/s"),
      h("th", { scope: "col", class: "right optional" }, "Data stall"), h("th", { scope: "col", class: "right optional" }, "Goodput"),
      h("th", { scope: "col", class: "right" }, "Left"), h("th", { scope: "col", class: "right optional" }, "Made"))), body));
  const none = empty("No jobs yet", "Submit one with ", h("code", {}, "seer job submit recipes/photos-200mf.yaml"));
  const layout = [h("div", { class: "head" }, h("h1", {}, "Jobs"), count, h("div", { class: "tools" }, filter)), table, none,
    h("p", {}, more)];
  let pages = 1, shown = false;

  const load = async () => {
    const jobs = [];
    let token = "";
    for (let i = 0; i < pages; ++i) {
      const answer = await get(`/v1/jobs?${sections[filter.value]}pageSize=100&pageToken=${encodeURIComponent(token)}`, page.signal);
      jobs.push(...(answer.jobs || []));
      token = answer.nextPageToken || "";
      if (!token) break;
    }
    if (page.signal.aborted) return;
    if (!shown) page.main.replaceChildren(...layout);
    shown = true;
    more.hidden = !token;
    table.hidden = jobs.length === 0;
    none.hidden = jobs.length > 0;
    setText(count, jobs.length ? `${jobs.length}${token ? "+" : ""}` : "");
    keyedRows(body, jobs, (job) => job.name, makeRow, showRow);
  };
  const now = page.repeat(load, 5);
  more.addEventListener("click", () => { ++pages; now(); });
  filter.addEventListener("change", () => { pages = 1; now(); });
  // A change of state is seen at once; progress is no event.
  let soon = null;
  watch("/v1/events:watch?newest=0", () => { soon ??= setTimeout(() => { soon = null; now(); }, 300); }, page.state, page.signal);
}

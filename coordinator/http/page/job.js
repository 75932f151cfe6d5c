// One job: what it does, how its training goes, where its time went, what each rank waits for.
import { get, watch } from "./api.js";
import { LineChart } from "./chart.js";
import { empty, h, keyedRows, setText } from "./dom.js";
import { eventRow, eventTable } from "./events.js";
import { ago, clock, count, id, num, percent, seconds, short } from "./format.js";
import { goodput, isOver, isRunning, leftSeconds, stateChip, totalSteps } from "./jobs.js";
import { contactSheet, poolFacts } from "./pools.js";

const classes = ["productive", "queue", "start", "data", "checkpoint", "redo", "hang", "preempt", "idle"];
const maxPoints = 1000;
const partColours = ["--c-data", "--accent", "--c-redo", "--c-checkpoint"];  // data, compute, wait, host

function charts() {
  const of = (name) => (p) => (p[name] === undefined ? 0 : Number(p[name]));
  return [
    new LineChart("Loss", [{ label: "loss", value: of("loss") }], { format: (v) => v.toFixed(3) }),
    new LineChart("Learning rate", [{ label: "learning rate", value: of("learningRate") }], { zero: true }),
    new LineChart("Assignment entropy", [{ label: "nats", value: of("assignmentEntropyNats") }], { unit: " nats" }),
    new LineChart("Prototypes in use", [{ label: "share", value: of("prototypesUsedRatio") }], { zero: true, format: (v) => percent(v, 0) }),
    new LineChart("Images per second", [{ label: "images/s", value: of("imagesPerSecond") }], { zero: true }),
    new LineChart("Data stall", [{ label: "share of a step", value: of("dataStallRatio") }], { zero: true, format: (v) => percent(v) }),
  ];
}

// The ledger: every second since the job was made, in exactly one class.
class TimeCard {
  constructor() {
    this.title = h("span", { class: "muted" });
    this.bar = h("div", { class: "stack", role: "img" });
    this.legend = h("ul", { class: "legend" });
    this.element = h("section", { class: "card wide" }, h("h2", {}, "Where its time went", this.title), this.bar, this.legend);
  }
  show(job) {
    const shares = classes.map((name) => [name, num((job.timeShares || []).find((s) => s.timeClass === name)?.seconds)]);
    const all = shares.reduce((sum, [, value]) => sum + value, 0);
    const good = goodput(job);
    setText(this.title, Number.isFinite(good) ? `goodput ${percent(good, 0)}` : "");
    const parts = shares.filter(([, value]) => value > 0);
    keyedRows(this.bar, parts, ([name]) => name, ([name]) => h("span", { "data-class": name }), (row, [name, value]) => {
      row.style.flexGrow = value / all;
      row.title = `${name}: ${seconds(value)}`;
    });
    this.bar.setAttribute("aria-label", parts.map(([name, value]) => `${name} ${percent(value / all)}`).join(", ") || "no time yet");
    keyedRows(this.legend, parts, ([name]) => name, ([name]) => h("li", {}, h("i", { "data-class": name }), h("span", {})),
      (row, [name, value]) => setText(row.lastChild, `${name} ${seconds(value)} (${percent(value / all, 0)})`));
  }
}

// A step's time, split, of each rank: who waits for whom.
class RankCard {
  constructor() {
    this.body = h("tbody", {});
    this.none = h("p", { class: "muted" }, "No attempt lives.");
    this.table = h("div", { class: "heat", tabindex: 0, role: "region", "aria-label": "Ranks" }, h("table", {}, h("thead", {}, h("tr", {},
      ...["Rank", "Worker", "Does"].map((t) => h("th", { scope: "col" }, t)),
      ...["Data", "Compute", "Wait", "Host"].map((t) => h("th", { scope: "col", class: "right" }, t)))), this.body));
    this.element = h("section", { class: "card wide" }, h("h2", {}, "Ranks", h("span", { class: "muted" }, "a step's time, and who waits for whom")), this.none, this.table);
  }
  show(job) {
    const ranks = job.ranks || [];
    this.none.hidden = ranks.length > 0;
    this.table.hidden = ranks.length === 0;
    const split = (rank) => { const a = rank.activity || {}; return [a.inputSeconds, a.computeSeconds, a.waitSeconds, a.hostSeconds].map(num); };
    const medians = [0, 1, 2, 3].map((part) => ranks.map((rank) => split(rank)[part]).sort((a, b) => a - b)[ranks.length >> 1]);
    keyedRows(this.body, ranks, (rank) => String(num(rank.rank)), () => h("tr", {}, h("th", { scope: "row" }), h("td", {}), h("td", {}), ...classes.slice(0, 4).map(() => h("td", { class: "cell" }))),
      (row, rank) => {
        const [name, worker, does, ...cells] = row.children;
        setText(name, String(num(rank.rank)));
        setText(worker, id(rank.worker));
        setText(does, rank.activity ? `${rank.activity.doing || rank.state}${rank.activity.detail ? `: ${rank.activity.detail}` : ""}` : rank.state || "");
        const parts = split(rank), step = Math.max(1e-9, parts.reduce((sum, value) => sum + value, 0));
        parts.forEach((value, i) => {
          setText(cells[i], rank.activity ? seconds(value) : "–");
          // A bar for its share of the step; red where a rank takes longer than the others.
          cells[i].classList.toggle("late", i !== 2 && value - medians[i] > 0.1 * step);
          const share = `${Math.round((value / step) * 100)}%`, colour = `color-mix(in srgb, var(${partColours[i]}) 28%, transparent)`;
          cells[i].style.background = `linear-gradient(to right, ${colour} ${share}, transparent ${share})`;
        });
      });
  }
}

class Tiles {
  constructor(names) {
    this.values = Object.fromEntries(names.map((name) => [name, [h("span", {}), h("small", {})]]));
    this.element = h("dl", { class: "tiles" }, names.map((name) => h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, ...this.values[name]))));
  }
  show(name, value, small = "") {
    setText(this.values[name][0], value);
    setText(this.values[name][1], small);
  }
}

export function jobView(page, key) {
  page.title(key);
  const title = h("h1", {}), chip = h("span", {}), note = h("p", { class: "note", hidden: true }), progress = h("progress", { max: 1 });
  const tiles = new Tiles(["Step", "Loss", "Images/s", "Left", "Goodput", "Data stall", "Checkpoint", "Attempt"]);
  const curves = charts(), time = new TimeCard(), ranks = new RankCard();
  const pool = h("section", { class: "card" }), sheet = h("section", { class: "card wide" }), facts = h("dl", { class: "facts" });
  const events = eventTable(), logs = h("pre", { class: "log", tabindex: 0, "aria-label": "Newest log lines" });
  const spec = h("pre", {}), path = `/v1/jobs/${encodeURIComponent(key)}`;
  const layout = [
    h("p", { class: "crumb" }, h("a", { href: "#/jobs" }, "Jobs"), " / ", h("span", { class: "muted" }, key)),
    h("div", { class: "head" }, title, chip, h("span", { class: "muted" })), note, h("p", {}, progress), tiles.element,
    h("div", { class: "charts" }, [0, 2, 3, 4, 1, 5].map((i) => curves[i].element)),
    h("div", { class: "grid" }, time.element, ranks.element,
      h("div", { class: "pair wide" }, pool, h("section", { class: "card" }, h("h2", {}, "Job"), facts, h("details", { class: "more" }, h("summary", {}, "Its whole specification"), spec))),
      sheet, h("section", { class: "card wide" }, h("h2", {}, "Events"), events.element), h("section", { class: "card wide" }, h("h2", {}, "Log", h("span", { class: "muted" }, "its newest lines")), logs)),
  ];
  let points = [], shown = false, poolShown = "";

  const addPoint = (p) => {
    if (!p || !num(p.step)) return;
    const point = { ...p, step: num(p.step) };
    points = points.filter((q) => q.step < point.step);
    points.push(point);
    if (points.length > 2 * maxPoints) points = points.filter((_, i) => i % 2 === points.length % 2 || i + 1 === points.length);
    curves.forEach((curve) => curve.show(points));
  };

  const show = (job) => {
    if (!shown) page.main.replaceChildren(...layout);
    const first = !shown;
    shown = true;
    const p = job.progress || {}, step = num(p.step), total = totalSteps(job), name = job.spec?.metadata?.name || id(job.name);
    page.title(name);
    setText(title, name);
    if (chip.dataset.state !== job.state) { chip.dataset.state = job.state; chip.replaceChildren(stateChip(job.state)); }
    const why = job.lastFailure && /FAILED|RESTARTING/.test(job.state)
      ? `${job.lastFailure.message || ""} ${job.lastFailure.nextStep || ""}` : job.wait?.message || job.stateMessage || job.storageWarning || "";
    note.hidden = !why || /SUCCEEDED/.test(job.state);
    note.className = job.state === "JOB_STATE_FAILED" ? "note bad" : "note";
    setText(note, why);
    progress.value = total ? step / total : 0;
    progress.setAttribute("aria-label", `step ${step} of ${total}`);
    tiles.show("Step", `${step}`, total ? `of ${total}` : "");
    tiles.show("Loss", step && p.loss !== undefined ? num(p.loss).toFixed(4) : "–", job.firstLoss ? `first ${num(job.firstLoss).toFixed(3)}` : "");
    tiles.show("Images/s", isRunning(job) && p.imagesPerSecond ? short(num(p.imagesPerSecond)) : "–", p.stepSeconds ? `${seconds(num(p.stepSeconds))} a step` : "");
    tiles.show("Left", isOver(job) ? "–" : seconds(leftSeconds(job)), isOver(job) ? `ended ${ago(job.endTime)}` : "");
    tiles.show("Goodput", percent(goodput(job), 0), "but for the queue");
    tiles.show("Data stall", percent(num(job.dataStallRatio)), "of training time");
    tiles.show("Checkpoint", num(job.lastCheckpointStep) ? `step ${job.lastCheckpointStep}` : "none", "newest committed");
    tiles.show("Attempt", String(num(job.attempt) || "–"), num(job.preemptions) ? count(num(job.preemptions), "preemption") : "");
    time.show(job);
    ranks.show(job);
    const data = job.spec?.data || {};
    const rows = [["Id", id(job.name)], ["Made", clock(job.createTime)], ["Started", clock(job.startTime)], ["Ended", clock(job.endTime)],
      ["Queue", job.spec?.scheduling?.queue || "default"], ["Ranks", String(num(job.spec?.distributed?.ranks))], ["Global batch", String(num(data.globalBatch))],
      ["Generations", (job.dataPlan || []).map((e) => `${e.generation} from step ${num(e.firstStep)}`).join(", ") || "–"]];
    for (const finding of job.findings || []) rows.push([`Rule ${finding.rule}`, finding.message]);
    if (facts.dataset.now !== JSON.stringify(rows)) {
      facts.dataset.now = JSON.stringify(rows);
      facts.replaceChildren(...rows.flatMap(([k, v]) => [h("dt", {}, k), h("dd", {}, v)]));
    }
    if (first) setText(spec, JSON.stringify(job.spec, null, 2));
    addPoint(p);
    const generation = num(job.dataPlan?.at(-1)?.generation), wanted = `${data.pool}/${generation}`;
    if (data.pool && poolShown !== wanted) {
      poolShown = wanted;
      poolFacts(pool, data.pool, generation, page);
      const augment = job.spec?.augment || {};
      contactSheet(sheet, page, {
        pool: data.pool, generation, seed: job.spec?.seed || "0",
        crops: (augment.crops || []).map((c) => ({ ...c, flipProbability: augment.flipProbability ?? 0.5, interpolation: augment.interpolation })),
      });
    }
    if (!data.pool) { pool.hidden = true; sheet.hidden = true; }
  };

  const begin = async () => {
    const curve = await get(`${path}/curve`, page.signal).catch(() => ({}));
    points = (curve.points || []).map((p) => ({ ...p, step: num(p.step) }));
    watch(`${path}:watch`, show, (state, error) => {
      if (error?.status === 404 && !shown) {
        page.main.replaceChildren(empty("There is no such job", h("a", { href: "#/jobs" }, "Go to the jobs")));
        return page.state("live");
      }
      page.state(state === "ended" ? "live" : state, error);
    }, page.signal);
    watch(`/v1/events:watch?newest=10000&job=${encodeURIComponent(key)}`, (event) => events.add(eventRow(event, false)), () => {}, page.signal);
    tail();
  };
  const lines = [];
  const tail = () => {
    logs.textContent = "no lines";
    watch(`${path}/logs?follow=true&tail=200`, (line) => {
      lines.push(`${new Date(line.time).toLocaleTimeString()} rank ${num(line.rank)}  ${line.text || ""}`);
      if (lines.length > 500) lines.shift();
      const atEnd = logs.scrollTop + logs.clientHeight >= logs.scrollHeight - 8;
      logs.textContent = lines.join("\n");
      if (atEnd) logs.scrollTop = logs.scrollHeight;
    }, () => {}, page.signal);
  };
  begin();
}

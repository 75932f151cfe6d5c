// Queues and workers.
import { get, watch } from "./api.js";
import { empty, h, keyedRows, setText } from "./dom.js";
import { ago, id, num } from "./format.js";

// A list that is loaded anew every few seconds, as a table of `columns`: [title, class, item -> text or element].
function listView(page, { title, path, field, columns, none }) {
  page.title(title);
  const body = h("tbody", {});
  const table = h("div", { class: "table" }, h("table", {}, h("caption", { class: "unseen" }, title),
    h("thead", {}, h("tr", {}, columns.map(([name, kind]) => h("th", { scope: "col", class: kind }, name)))), body));
  const layout = [h("div", { class: "head" }, h("h1", {}, title)), table, none];
  let shown = false;
  const now = page.repeat(async () => {
    const items = [];
    let token = "";
    do {
      const answer = await get(`${path}?pageSize=1000&pageToken=${encodeURIComponent(token)}`, page.signal);
      items.push(...(answer[field] || []));
      token = answer.nextPageToken || "";
    } while (token);
    if (page.signal.aborted) return;
    if (!shown) page.main.replaceChildren(...layout);
    shown = true;
    table.hidden = items.length === 0;
    none.hidden = items.length > 0;
    keyedRows(body, items, (item) => item.name, () => h("tr", {}, columns.map(([, kind], i) => h(i ? "td" : "th", { class: kind, scope: i ? null : "row" }))), (row, item) => {
      columns.forEach(([, , value], i) => {
        const shownValue = value(item);
        if (typeof shownValue === "string") setText(row.children[i], shownValue);
        else row.children[i].replaceChildren(shownValue);
      });
    });
  }, 5);
  let soon = null;
  watch("/v1/events:watch?newest=0", () => { soon ??= setTimeout(() => { soon = null; now(); }, 300); }, page.state, page.signal);
}

const whole = (value) => (value === undefined ? "no limit" : String(num(value)));

export const queuesView = (page) => listView(page, {
  title: "Queues", path: "/v1/queues", field: "queues", none: empty("No queues"),
  columns: [
    ["Queue", "", (q) => id(q.name)],
    ["Running", "right", (q) => String(num(q.jobsRunning))],
    ["Waiting", "right", (q) => String(num(q.jobsWaiting))],
    ["Devices in use", "right", (q) => String(num(q.devicesInUse))],
    ["Borrowed", "right optional", (q) => String(num(q.devicesBorrowed))],
    ["Quota", "right", (q) => whole(q.quotaDevices)],
    ["May borrow", "right optional", (q) => whole(q.borrowDevices)],
    ["Weight", "right optional", (q) => String(num(q.weight))],
  ],
});

function workerState(w) {
  if (w.state === "WORKER_STATE_LOST") return h("span", { class: "chip", "data-tone": "bad" }, "lost");
  if (w.cordon) return h("span", { class: "chip", "data-tone": "warn", title: w.cordon.reason || null }, w.cordon.draining ? "draining" : "cordoned");
  return h("span", { class: "chip", "data-tone": "good" }, "up");
}

export const workersView = (page) => listView(page, {
  title: "Workers", path: "/v1/workers", field: "workers",
  none: empty("No workers have registered", "Start one with ", h("code", {}, "seer-worker --coordinator HOST:PORT")),
  columns: [
    ["Worker", "", (w) => h("span", {}, h("span", { class: "name" }, id(w.name)), h("span", { class: "sub" }, w.hostname || ""))],
    ["State", "", workerState],
    ["Devices", "right", (w) => `${num(w.devicesInUse)} / ${num(w.devices)} ${w.deviceKind || ""}`],
    ["Jobs", "", (w) => h("span", {}, (w.jobs || []).flatMap((job, i) => [i ? ", " : "", h("a", { href: `#/jobs/${id(job)}` }, id(job))]))],
    ["Faults", "right optional", (w) => String((w.faults || []).length)],
    ["Heartbeat", "right", (w) => ago(w.heartbeatTime)],
    ["Address", "optional", (w) => w.address || ""],
    ["Version", "optional", (w) => w.version || ""],
  ],
});

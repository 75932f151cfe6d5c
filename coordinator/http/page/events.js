// What happened, newest first, as it happens.
import { watch } from "./api.js";
import { empty, h } from "./dom.js";
import { clock, id, num, word } from "./format.js";

const most = 500;

export function eventRow(event, withJob = true) {
  const change = event.toState ? `${word(event.fromState || "", "")} → ${word(event.toState, "")}` : "";
  return h("tr", {},
    h("td", { class: "right number optional" }, event.number),
    h("td", {}, clock(event.createTime)),
    withJob ? h("td", {}, h("a", { href: `#/jobs/${id(event.job)}` }, id(event.job))) : null,
    h("td", {}, word(event.type, ""), change ? h("span", { class: "sub" }, change) : null),
    h("td", { class: "text" }, event.message || "", event.reason ? h("span", { class: "sub" }, event.reason) : null),
    h("td", { class: "right optional" }, num(event.attempt) ? `attempt ${event.attempt}` : ""));
}

export function eventTable(withJob = false) {
  const body = h("tbody", {});
  const titles = ["Number", "Time", ...(withJob ? ["Job"] : []), "Event", "What", "Attempt"];
  const element = h("div", { class: withJob ? "table" : "heat", tabindex: withJob ? null : 0, role: withJob ? null : "region", "aria-label": withJob ? null : "Events" }, h("table", {}, h("caption", { class: "unseen" }, "Events, newest first"),
    h("thead", {}, h("tr", {}, titles.map((t) => h("th", { scope: "col", class: t === "Number" || t === "Attempt" ? "right optional" : "" }, t)))), body));
  return {
    element,
    add(row) {
      body.prepend(row);
      if (body.childElementCount > most) body.lastChild.remove();
    },
  };
}

export function eventsView(page) {
  page.title("Events");
  const table = eventTable(true), none = empty("Nothing has happened yet", "Events come here as they happen.");
  page.main.replaceChildren(h("div", { class: "head" }, h("h1", {}, "Events")), none);
  watch(`/v1/events:watch?newest=${most}`, (event) => {
    if (none.isConnected) none.replaceWith(table.element);
    table.add(eventRow(event));
  }, page.state, page.signal);
}

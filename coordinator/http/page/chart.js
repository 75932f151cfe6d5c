// Line charts as SVG: a cursor for the pointer and the arrow keys, a sentence for screen readers.
import { announce, h, svg } from "./dom.js";
import { short } from "./format.js";

const width = 640, height = 200, left = 52, right = 10, top = 10, bottom = 24;

function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((value) => value >= raw) || raw;
  const out = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) out.push(at);
  return { values: out, digits: Math.max(0, -Math.floor(Math.log10(step))) };
}

// `lines`: [{label, value: point -> number}], at most two on one axis.
export class LineChart {
  constructor(title, lines, { unit = "", format = short, zero = false } = {}) {
    Object.assign(this, { title, lines, unit, format, zero, points: [], at: -1 });
    this.picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", tabindex: 0 });
    this.tip = h("div", { class: "tip", hidden: true });
    this.now = h("span", { class: "muted number" });
    this.element = h("section", { class: "card" }, h("h2", {}, title, this.now),
      h("div", { class: "chart" }, this.picture, this.tip),
      lines.length > 1 ? h("ul", { class: "legend" }, lines.map((line, i) =>
        h("li", {}, h("i", { "data-class": i ? "second" : "first" }), line.label))) : null);
    this.picture.addEventListener("pointermove", (event) => this.point(event));
    this.picture.addEventListener("pointerleave", () => this.move(-1));
    this.picture.addEventListener("blur", () => this.move(-1));
    this.picture.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.picture);
  }

  show(points) {
    this.points = points;
    this.draw();
  }

  draw() {
    const box = this.picture.getBoundingClientRect();
    const w = Math.max(200, box.width || width), hgt = Math.max(100, box.height || height);
    this.picture.setAttribute("viewBox", `0 0 ${w} ${hgt}`);
    const points = this.points;
    const values = this.lines.map((line) => points.map((p) => line.value(p)));
    const all = values.flat().filter(Number.isFinite);
    if (all.length === 0) {
      this.now.textContent = "";
      this.picture.replaceChildren(svg("text", { x: w / 2, y: hgt / 2, "text-anchor": "middle" }, "no points yet"));
      this.picture.setAttribute("aria-label", `${this.title}: no points yet`);
      return;
    }
    let low = Math.min(...all, this.zero ? 0 : Infinity), high = Math.max(...all);
    if (high - low < Math.abs(high) * 1e-6 + 1e-12) { high += Math.abs(high) * 0.1 + 1e-6; low = this.zero ? 0 : low - Math.abs(low) * 0.1 - 1e-6; }
    const first = points[0].step, last = Math.max(points.at(-1).step, first + 1);
    this.x = (step) => left + ((step - first) / (last - first)) * (w - left - right);
    this.y = (value) => top + (1 - (value - low) / (high - low)) * (hgt - top - bottom);
    this.values = values;
    this.size = [w, hgt];
    const parts = [];
    const marks = ticks(low, high, 4);
    // So many digits that no two of them read alike.
    const label = (value) => (this.format === short && Math.abs(value) < 1e4 ? value.toFixed(Math.min(6, marks.digits)) : this.format(value));
    for (const value of marks.values) {
      const y = this.y(value);
      parts.push(svg("line", { class: "gridline", x1: left, x2: w - right, y1: y, y2: y }),
        svg("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, label(value)));
    }
    parts.push(svg("text", { x: left, y: hgt - 6 }, `step ${short(first)}`),
      svg("text", { x: w - right, y: hgt - 6, "text-anchor": "end" }, short(points.at(-1).step)));
    values.forEach((line, i) => {
      const path = line.map((value, at) => (Number.isFinite(value)
        ? `${at && Number.isFinite(line[at - 1]) ? "L" : "M"}${this.x(points[at].step).toFixed(1)} ${this.y(value).toFixed(1)}` : "")).join("");
      if (i === 0 && this.lines.length === 1) {
        parts.push(svg("path", { class: "under", d: `${path}L${this.x(points.at(-1).step).toFixed(1)} ${hgt - bottom}L${this.x(first).toFixed(1)} ${hgt - bottom}Z` }));
      }
      parts.push(svg("path", { class: i ? "curve second" : "curve", d: path }));
    });
    this.cursor = svg("g", {});
    parts.push(this.cursor);
    this.picture.replaceChildren(...parts);
    this.now.textContent = this.lines.map((_, i) => this.format(values[i].at(-1)) + this.unit).join(" · ");
    this.picture.setAttribute("aria-label", this.lines.map((line, i) => {
      const known = values[i].filter(Number.isFinite);
      return `${line.label}: now ${this.format(known.at(-1))}${this.unit}, from ${this.format(Math.min(...known))} to ${this.format(Math.max(...known))}, over ${points.length} points up to step ${points.at(-1).step}`;
    }).join(". ") + ". Arrow keys move along the curve.");
    this.move(Math.min(this.at, points.length - 1));
  }

  point(event) {
    if (!this.x || this.points.length === 0) return;
    const box = this.picture.getBoundingClientRect(), x = ((event.clientX - box.left) / box.width) * this.size[0];
    let best = 0;
    this.points.forEach((p, i) => { if (Math.abs(this.x(p.step) - x) < Math.abs(this.x(this.points[best].step) - x)) best = i; });
    this.move(best);
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -1e9, End: 1e9 }[event.key];
    if (step === undefined || this.points.length === 0) return;
    event.preventDefault();
    const from = this.at < 0 ? this.points.length - 1 : this.at;
    this.move(Math.max(0, Math.min(this.points.length - 1, from + step)));
    announce(this.words(this.at));
  }

  words(at) {
    return `step ${this.points[at].step}: ` + this.lines.map((line, i) =>
      `${this.lines.length > 1 ? line.label + " " : ""}${this.format(this.values[i][at])}${this.unit}`).join(", ");
  }

  move(at) {
    this.at = at;
    if (!this.cursor) return;
    this.tip.hidden = at < 0;
    if (at < 0) return this.cursor.replaceChildren();
    const x = this.x(this.points[at].step);
    this.cursor.replaceChildren(svg("line", { class: "cursor", x1: x, x2: x, y1: top, y2: this.size[1] - bottom }),
      ...this.values.map((line, i) => (Number.isFinite(line[at]) ? svg("circle", { class: i ? "dot second" : "dot", cx: x, cy: this.y(line[at]), r: 4 }) : null)).filter(Boolean));
    this.tip.textContent = this.words(at);
    const half = x / this.size[0];
    this.tip.style.left = half < 0.5 ? `calc(${half * 100}% + 10px)` : "auto";
    this.tip.style.right = half < 0.5 ? "auto" : `calc(${(1 - half) * 100}% + 10px)`;
  }
}

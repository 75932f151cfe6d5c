// Pools: how large, how new, what was refused, what the crops look like.
import { get, read } from "./api.js";
import { empty, h, setText } from "./dom.js";
import { ago, bytes, clock, count, id, num, percent, short, word } from "./format.js";

const sum = (counts) => Object.values(counts || {}).reduce((all, value) => all + num(value), 0);

export function poolsView(page) {
  page.title("Pools");
  page.repeat(async () => {
    const { pools = [] } = await get("/v1/pools?pageSize=1000", page.signal);
    if (page.signal.aborted) return;
    const head = h("div", { class: "head" }, h("h1", {}, "Pools"));
    if (pools.length === 0) {
      return page.main.replaceChildren(head, empty("No pools yet", "Make one with ", h("code", {}, "seer pool create photos && seer pool ingest photos ~/Pictures")));
    }
    page.main.replaceChildren(head, h("div", { class: "table" }, h("table", {}, h("caption", { class: "unseen" }, "Pools"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Pool"), ...["Generation", "Images", "Size"].map((t) => h("th", { scope: "col", class: "right" }, t)),
        ...["Refused", "Bad"].map((t) => h("th", { scope: "col", class: "right optional" }, t)), h("th", { scope: "col", class: "right" }, "Refreshed"))),
      h("tbody", {}, pools.map((pool) => h("tr", {}, h("th", { scope: "row" }, h("a", { class: "name", href: `#/pools/${encodeURIComponent(id(pool.name))}` }, id(pool.name))),
        h("td", { class: "right" }, String(num(pool.generation))), h("td", { class: "right" }, short(num(pool.images))), h("td", { class: "right" }, bytes(num(pool.sizeBytes))),
        h("td", { class: "right optional" }, short(sum(pool.refused))), h("td", { class: "right optional" }, short(num(pool.quarantined))), h("td", { class: "right" }, ago(pool.updateTime))))))));
  }, 30);
}

// The pool's numbers into `card`; `used`: the generation that a job reads.
export async function poolFacts(card, name, used, page) {
  const title = h("h2", {}, "Pool ", h("a", { href: `#/pools/${encodeURIComponent(name)}` }, name));
  card.replaceChildren(title, h("p", { class: "muted" }, "Loading …"));
  try {
    const pool = await get(`/v1/pools/${encodeURIComponent(name)}`, page.signal), bad = num(pool.quarantined), images = num(pool.images);
    const newest = num(pool.generation);
    const rows = [
      ["Generation", used ? `${used}${newest > used ? `, newest ${newest}` : ", the newest"}` : String(newest)],
      ["Refreshes", newest > 1 ? `${newest - 1}, the last ${ago(pool.updateTime)}` : `none; filled ${ago(pool.updateTime)}`],
      ["Images", short(images)], ["Size", `${bytes(num(pool.sizeBytes))} in ${count(num(pool.shards), "shard")}`],
      ["Bad images", `${bad}${bad ? ` (${percent(bad / (images + bad), 2)})` : ""}`], ["Refused", short(sum(pool.refused))],
      ["Labelled", num(pool.labelledImages) ? `${short(num(pool.labelledImages))} in ${num(pool.classes)} classes` : "none"],
      ["Formats", Object.entries(pool.formats || {}).map(([k, v]) => `${k} ${short(num(v))}`).join(", ") || "–"],
    ];
    card.replaceChildren(title, h("dl", { class: "facts" }, rows.flatMap(([k, v]) => [h("dt", {}, k), h("dd", {}, v)])));
    return pool;
  } catch (error) {
    if (!page.signal.aborted) card.replaceChildren(title, h("p", { class: "muted" }, error.message));
    return null;
  }
}

function canvasOf(view, label) {
  const canvas = h("canvas", { width: view.width, height: view.height, role: "img", "aria-label": label });
  const rgb = Uint8Array.from(atob(view.rgb || ""), (c) => c.charCodeAt(0)), pixels = new ImageData(view.width, view.height);
  for (let from = 0, to = 0; from + 2 < rgb.length && to < pixels.data.length; from += 3, to += 4) {
    pixels.data.set(rgb.subarray(from, from + 3), to);
    pixels.data[to + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  if (view.width < 64) canvas.style.imageRendering = "pixelated";
  return canvas;
}

// The images that a job with this seed begins with, as its trunk sees them before photometry.
export async function contactSheet(card, page, { pool, generation, seed, crops }) {
  const title = h("h2", {}, crops?.length ? "Crops" : "Images", h("span", { class: "muted" }, "as they come from the data service")), sheet = h("div", { class: "sheet" });
  card.replaceChildren(title, sheet);
  try {
    const request = { seed, count: 12, ...(generation ? { generation: String(generation) } : {}), ...(crops?.length ? { crops } : {}) };
    for await (const image of read(`/v1/pools/${encodeURIComponent(pool)}:sample`, request, page.signal)) {
      const views = image.views || [], what = `image ${(image.imageId || "").slice(0, 12)}, ${num(image.width)} by ${num(image.height)} pixels`;
      sheet.append(h("figure", {}, h("div", { class: "views" }, views.map((view, i) => canvasOf(view, `view ${i + 1} of ${what}`))),
        h("figcaption", { title: image.imageId }, views.length ? what : image.problem || "cannot be shown")));
    }
    if (!sheet.childElementCount) sheet.append(h("p", { class: "muted" }, "no images"));
  } catch (error) {
    if (!page.signal.aborted) sheet.replaceChildren(h("p", { class: "muted" }, error.message));
  }
}

const bars = (counts) => {
  const entries = Object.entries(counts || {}).map(([k, v]) => [k, num(v)]), most = Math.max(1, ...entries.map(([, v]) => v));
  return h("dl", { class: "facts" }, entries.flatMap(([k, v]) => [h("dt", {}, word(k, "")), h("dd", {}, h("progress", { max: most, value: v, "aria-label": k }), h("span", { class: "sub" }, short(v)))]));
};

export async function poolView(page, name) {
  page.title(name);
  const facts = h("section", { class: "card" }), refused = h("section", { class: "card" }), bad = h("section", { class: "card" }), sheet = h("section", { class: "card wide" });
  page.main.replaceChildren(h("p", { class: "crumb" }, h("a", { href: "#/pools" }, "Pools"), " / ", h("span", { class: "muted" }, name)),
    h("div", { class: "head" }, h("h1", {}, name)), h("div", { class: "grid" }, facts, refused, bad, sheet));
  const pool = await poolFacts(facts, name, 0, page);
  if (!pool) return page.state("live");
  page.state("live");
  refused.replaceChildren(h("h2", {}, "Refused by the policy"), sum(pool.refused) ? bars(pool.refused) : h("p", { class: "muted" }, "nothing was refused"));
  bad.replaceChildren(h("h2", {}, "Bad images"), h("p", { class: "muted" }, num(pool.quarantined) ? "Loading …" : "all could be decoded"));
  if (num(pool.quarantined)) {
    const { images = [] } = await get(`/v1/pools/${encodeURIComponent(name)}/quarantine?pageSize=20`, page.signal).catch(() => ({}));
    bad.lastChild.replaceWith(h("dl", { class: "facts" }, images.flatMap((image) => [h("dt", {}, word(image.reason, "")), h("dd", { title: clock(image.time) }, image.source || "")])));
  }
  if (num(pool.images)) contactSheet(sheet, page, { pool: name, generation: 0, seed: "0" });
  else sheet.hidden = true;
}

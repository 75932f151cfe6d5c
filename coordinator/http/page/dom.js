// Elements out of values. Text is always text: nothing of the API is read as HTML.
const svgNamespace = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS(svgNamespace, tag), attributes, children);

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Rows that stay the same elements while their items change, so that focus and selection stay.
// `make(item)` gives a row; `show(row, item)` puts the item's values into it.
export function keyedRows(body, items, key, make, show) {
  const known = new Map([...body.children].map((row) => [row.dataset.key, row]));
  let before = null;
  for (const item of items) {
    const id = key(item);
    let row = known.get(id);
    known.delete(id);
    if (!row) {
      row = make(item);
      row.dataset.key = id;
    }
    const place = before ? before.nextSibling : body.firstChild;
    if (row !== place) body.insertBefore(row, place);
    show(row, item);
    before = row;
  }
  for (const row of known.values()) row.remove();
}

export function announce(text) {
  setText(document.getElementById("announce"), text);
}

export function empty(title, ...hint) {
  return h("div", { class: "empty" }, h("b", {}, title), h("span", {}, ...hint));
}

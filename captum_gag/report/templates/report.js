"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const make = (name, text = "", attributes = {}) => {
  const element = document.createElement(name);
  element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};
const shown = (value) => (value === null ? "–" : value.toFixed(4));

// Numbers before words, what is missing last, whatever the direction.
function compare(a, b, sign) {
  const missing = (value) => value === null || value === "";
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b), undefined, { numeric: true });
}

function turn(heads, head) {
  const next = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
  for (const other of heads) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", next);
  return next === "ascending" ? 1 : -1;
}

function valueOf(cell) {
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  return cell.textContent === "–" ? null : cell.textContent;
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const sign = turn(heads, head);
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(valueOf(a.cells[column]), valueOf(b.cells[column]), sign));
    table.tBodies[0].append(...rows);
  }));
}

for (const input of document.querySelectorAll("[data-filter]")) {
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    let left = 0;
    const rows = at(input.dataset.filter).tBodies[0].rows;
    for (const row of rows) left += !(row.hidden = !row.textContent.toLowerCase().includes(wanted));
    document.querySelector(`[data-count="${input.dataset.filter}"]`).textContent = `${left} of ${rows.length} rows`;
  });
}

// The scores of each image: made when wanted, a hundred rows at a time.
const cells = { column: null, sign: 1, limit: 100, heads: [] };
function showCells() {
  const metric = Number(at("cells-metric").value);
  const wanted = at("cells-filter").value.toLowerCase();
  let rows = data.images.map((image, i) => [image, ...data.methods.map((_, j) => data.scores[i][j][metric])]);
  rows = rows.filter((row) => row[0].toLowerCase().includes(wanted));
  if (cells.column !== null) rows.sort((a, b) => compare(a[cells.column], b[cells.column], cells.sign));
  at("cells").tBodies[0].replaceChildren(...rows.slice(0, cells.limit).map((row) => {
    const line = make("tr", "", { role: "row" });
    const named = (j) => ({ role: "cell", "data-label": data.methods[j] });
    line.append(make("th", row[0], { scope: "row", role: "rowheader" }));
    line.append(...row.slice(1).map((value, j) => make("td", shown(value), named(j))));
    return line;
  }));
  at("cells-count").textContent = `${Math.min(cells.limit, rows.length)} of ${rows.length} images`;
  at("cells-more").hidden = rows.length <= cells.limit;
}
cells.heads = ["image", ...data.methods].map((name, column) => {
  const head = make("th", "", { scope: "col", role: "columnheader" });
  const button = make("button", name, { type: "button" });
  button.addEventListener("click", () => {
    Object.assign(cells, { column, sign: turn(cells.heads, head) });
    showCells();
  });
  head.append(button);
  return head;
});
at("cells").tHead.rows[0].append(...cells.heads);
at("cells-metric").append(...data.metrics.map((name, k) => make("option", name, { value: k })));
at("cells-metric").addEventListener("change", showCells);
at("cells-filter").addEventListener("input", showCells);
at("cells-more").addEventListener("click", () => { cells.limit += 400; showCells(); });
at("per-image").addEventListener("toggle", showCells, { once: true });

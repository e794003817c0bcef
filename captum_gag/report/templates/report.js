"use strict";
const at = (id) => document.getElementById(id);
const make = (name, text = "", attributes = {}) => {
  const element = document.createElement(name);
  element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

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

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => {
    const text = button.nextElementSibling;
    text.hidden = false;
    text.select();
    document.execCommand("copy");
    text.hidden = true;
    button.textContent = button.textContent.replace("Copy as", "Copied as");
  });
}

for (const button of document.querySelectorAll("[data-save]")) {
  button.addEventListener("click", () => {
    const drawn = button.closest("figure").querySelector("svg").outerHTML;
    const url = URL.createObjectURL(new Blob([drawn], { type: "image/svg+xml" }));
    make("a", "", { href: url, download: "figure.svg" }).click();
    URL.revokeObjectURL(url);
  });
}

// The scores of each image: made when wanted, a hundred rows at a time.
const data = JSON.parse(at("data").textContent);
const shown = (value) => (value === null ? "–" : value.toFixed(4));
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

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
    const line = make("tr");
    line.append(make("th", row[0], { scope: "row" }), ...row.slice(1).map((value) => make("td", shown(value))));
    return line;
  }));
  at("cells-count").textContent = `${Math.min(cells.limit, rows.length)} of ${rows.length} images`;
  at("cells-more").hidden = rows.length <= cells.limit;
}
cells.heads = ["image", ...data.methods].map((name, column) => {
  const head = make("th", "", { scope: "col" });
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

// The gallery: one image is read and drawn at a time.
const picked = new Set(data.methods.slice(0, 5));
const image = at("image");
let drawing = 0;

function listImages() {
  const wanted = at("find").value.toLowerCase();
  const before = image.value;
  const named = data.shown.map((i, k) => ({ i, text: data.images[i] + (data.labels[k] ? ` (${data.labels[k]})` : "") }));
  const found = named.filter((each) => each.text.toLowerCase().includes(wanted));
  image.replaceChildren(...found.map((each) => make("option", each.text, { value: each.i })));
  if (found.some((each) => String(each.i) === before)) image.value = before;
  draw();
}

function step(by) {
  image.selectedIndex = Math.min(Math.max(image.selectedIndex + by, 0), image.length - 1);
  draw();
}

async function draw() {
  const mine = ++drawing;
  at("previous").disabled = image.selectedIndex <= 0;
  at("next").disabled = image.selectedIndex >= image.length - 1;
  if (image.value === "") {
    at("picked").textContent = "No image is called so.";
    at("maps").replaceChildren();
    at("curves").replaceChildren();
    return;
  }
  const item = JSON.parse(at(`image-${image.value}`).textContent);
  const sheet = new Image();
  if (item.pictures) {
    sheet.src = item.pictures;
    await sheet.decode();
  }
  if (mine !== drawing) return;
  const methods = data.methods.filter((method) => picked.has(method));
  const probability = item.probability === null ? "" : `, probability ${(100 * item.probability).toFixed(0)} %`;
  at("picked").textContent = `${item.image}${item.label ? `: ${item.label}${probability}` : ""}${item.why ? `. Shown: ${item.why}` : ""}`;
  const cards = methods.map((method) => card(item, sheet, method));
  at("maps").replaceChildren(...(item.pictures ? [photograph(item, sheet)] : []), ...cards);
  at("curves").replaceChildren(...Object.entries(item.curves).map(([name, curve]) => chart(name, curve, methods)));
}

function tile(sheet, place) {
  const canvas = make("canvas", "", { role: "img", width: data.side, height: data.side });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const [column, row] = [place % data.columns, Math.floor(place / data.columns)];
  context.drawImage(sheet, column * data.side, row * data.side, data.side, data.side, 0, 0, data.side, data.side);
  return [canvas, context];
}

function photograph(item, sheet) {
  const figure = make("figure");
  const [canvas] = tile(sheet, 0);
  canvas.setAttribute("aria-label", `Photograph ${item.image}`);
  figure.append(canvas, make("figcaption", data.photographs ? "photograph" : "no photograph"));
  return figure;
}

function card(item, sheet, method) {
  const figure = make("figure");
  const scores = data.metrics.map((name, k) => `${name} ${shown(data.scores[item.number][data.methods.indexOf(method)][k])}`);
  const place = item.methods.indexOf(method);
  if (place >= 0) {
    const [canvas, context] = tile(sheet, place + 1);
    const overlay = at("overlay").checked;
    colour(context, overlay ? tile(sheet, 0)[1] : null);
    canvas.setAttribute("aria-label", `Map of ${method}${overlay ? " over the photograph" : ""}: ${scores.join(", ")}`);
    figure.append(canvas);
  }
  const caption = make("figcaption");
  const list = make("ul");
  list.append(...scores.map((text) => make("li", text)));
  caption.append(make("strong", method), list);
  figure.append(caption);
  return figure;
}

function colour(context, photo) {
  const map = context.getImageData(0, 0, data.side, data.side);
  const under = photo && photo.getImageData(0, 0, data.side, data.side).data;
  for (let i = 0; i < map.data.length; i += 4) {
    const heat = data.colours[Math.round((map.data[i] / 255) * (data.colours.length - 1))];
    const grey = under ? (under[i] + under[i + 1] + under[i + 2]) / 3 : 0;
    for (let c = 0; c < 3; c++) map.data[i + c] = under ? 0.4 * grey + 0.6 * heat[c] : heat[c];
  }
  context.putImageData(map, 0, 0);
}

function chart(name, curve, methods) {
  const [width, height, left, bottom] = [360, 220, 42, 36];
  const svg = (tag, attributes, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    return element;
  };
  const lines = methods.filter((method) => method in curve.y);
  const values = lines.flatMap((method) => curve.y[method]).filter((value) => value !== null);
  const [low, high] = [Math.min(0, ...values), Math.max(1e-6, ...values)];
  const [start, end] = [curve.x[0], curve.x[curve.x.length - 1]];
  const x = (value) => left + ((value - start) / (end - start || 1)) * (width - left - 8);
  const y = (value) => 8 + ((high - value) / (high - low)) * (height - bottom - 8);
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height + 16 * Math.ceil(lines.length / 3)}`, role: "img" });
  drawn.setAttribute("aria-label", `${name}: ${curve.y_label} over ${curve.x_label}, for ${lines.join(", ")}`);
  drawn.append(svg("path", { d: `M${left} 8V${height - bottom}H${width - 8}`, class: "axis" }));
  for (const value of [low, high]) {
    drawn.append(svg("text", { x: left - 4, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(2)));
  }
  for (const [value, anchor] of [[start, "start"], [end, "end"]]) {
    drawn.append(svg("text", { x: x(value), y: height - bottom + 14, "text-anchor": anchor }, value));
  }
  drawn.append(svg("text", { x: width / 2, y: height - 8, "text-anchor": "middle" }, curve.x_label));
  lines.forEach((method, i) => {
    const style = data.lines[data.methods.indexOf(method) % data.lines.length];
    const stroke = { stroke: style.colour, "stroke-dasharray": style.dash, "stroke-width": 2, fill: "none" };
    const points = curve.y[method].map((value, k) => (value === null ? "" : `${x(curve.x[k])},${y(value)}`)).join(" ");
    const [column, row] = [12 + (i % 3) * 116, height + 8 + 16 * Math.floor(i / 3)];
    drawn.append(svg("polyline", { ...stroke, points }));
    drawn.append(svg("path", { ...stroke, d: `M${column} ${row}h20` }));
    drawn.append(svg("text", { x: column + 24, y: row + 4 }, method));
  });
  const figure = make("figure");
  figure.append(drawn, make("figcaption", `${name}: ${curve.y_label}`));
  return figure;
}

const boxes = data.methods.map((method) => {
  const label = make("label");
  const box = make("input", "", { type: "checkbox" });
  box.checked = picked.has(method);
  box.addEventListener("change", () => { picked[box.checked ? "add" : "delete"](method); draw(); });
  label.append(box, ` ${method}`);
  return { label, box, method };
});
at("methods").append(...boxes.map((each) => each.label));
for (const [id, wanted] of [["all", true], ["none", false]]) {
  at(id).addEventListener("click", () => {
    for (const { box, method } of boxes) { box.checked = wanted; picked[wanted ? "add" : "delete"](method); }
    draw();
  });
}
at("find").addEventListener("input", listImages);
at("overlay").addEventListener("change", draw);
image.addEventListener("change", draw);
at("previous").addEventListener("click", () => step(-1));
at("next").addEventListener("click", () => step(1));
for (const link of document.querySelectorAll("[data-image]")) {
  link.addEventListener("click", () => {
    for (const { box, method } of boxes) if (method === link.dataset.method) { box.checked = true; picked.add(method); }
    at("find").value = "";
    listImages();
    image.value = link.dataset.image;
    draw();
  });
}
listImages();

// One photograph beside its map after the other, so that the page can be used meanwhile.
async function drawThumbnails() {
  for (const canvas of document.querySelectorAll("[data-thumbnail]")) {
    const item = JSON.parse(at(`image-${canvas.dataset.thumbnail}`).textContent);
    const sheet = new Image();
    sheet.src = item.pictures;
    await sheet.decode();
    const [map, context] = tile(sheet, item.methods.indexOf(canvas.parentElement.dataset.method) + 1);
    colour(context, null);
    Object.assign(canvas, { width: 2 * data.side, height: data.side });
    canvas.getContext("2d").drawImage(tile(sheet, 0)[0], 0, 0);
    canvas.getContext("2d").drawImage(map, data.side, 0);
  }
}
drawThumbnails();

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
  const sheet = item.pictures ? await opened(item.pictures) : null;
  if (mine !== drawing) return;
  const methods = data.methods.filter((method) => picked.has(method));
  at("picked").textContent = `${item.image}${item.about ? `: ${item.about}` : ""}${item.why ? `. Shown: ${item.why}` : ""}`;
  const cards = methods.map((method) => card(item, sheet, method));
  const guide = item.guide ? [await slider(item.guide)] : [];
  if (mine !== drawing) return;
  at("maps").replaceChildren(...(item.pictures ? [photograph(item, sheet)] : []), ...guide, ...cards);
  at("curves").replaceChildren(...Object.entries(item.curves).map(([name, curve]) => chart(name, curve, methods)));
}

function photograph(item, sheet) {
  const figure = make("figure");
  const [canvas, context] = tile(sheet, 0, data.side);
  if (item.masked && at("outline").checked) outline(context, tile(sheet, item.methods.length + 1, data.side)[1]);
  canvas.setAttribute("aria-label", `Photograph ${item.image}`);
  figure.append(canvas, make("figcaption", data.photographs ? "photograph" : "no photograph"));
  return figure;
}

function card(item, sheet, method) {
  const figure = make("figure");
  const scores = data.metrics.map((name, k) => `${name} ${shown(data.scores[item.number][data.methods.indexOf(method)][k])}`);
  const place = item.methods.indexOf(method);
  if (place >= 0) {
    const [canvas, context] = tile(sheet, place + 1, data.side);
    const overlay = at("overlay").checked;
    colour(context, overlay ? tile(sheet, 0, data.side)[1] : null);
    if (item.masked && at("outline").checked) outline(context, tile(sheet, item.methods.length + 1, data.side)[1]);
    canvas.setAttribute("aria-label", `Map of ${method}${overlay ? " over the photograph" : ""}: ${scores.join(", ")}`);
    figure.append(canvas);
  }
  const caption = make("figcaption");
  const list = make("ul");
  list.append(...scores.map((text) => make("li", text)));
  const name = make("strong");
  name.append(key(method), method);
  caption.append(name, list);
  figure.append(caption);
  return figure;
}

const boxes = data.methods.map((method) => {
  const label = make("label");
  const box = make("input", "", { type: "checkbox" });
  box.checked = picked.has(method);
  box.addEventListener("change", () => { picked[box.checked ? "add" : "delete"](method); draw(); });
  label.append(box, " ", key(method), method);
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
at("outline").addEventListener("change", draw);
at("outline").parentElement.hidden = !data.masks;
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
// It opens on the first image that has maps.
listImages();
const first = data.mapped[0];
if (first !== undefined) {
  image.value = first;
  draw();
}

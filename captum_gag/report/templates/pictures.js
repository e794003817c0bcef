// Pictures: cut out of sheets of grey squares, and coloured.
async function opened(uri) {
  const sheet = new Image();
  sheet.src = uri;
  await sheet.decode();
  return sheet;
}

// The line that stands for a method wherever it is named.
function key(method) {
  const { colour, dash } = data.lines[data.methods.indexOf(method)];
  const drawn = svg("svg", { class: "key", viewBox: "0 0 24 8", "aria-hidden": "true" });
  drawn.append(svg("path", { d: "M1 4h22", stroke: colour, "stroke-dasharray": dash, "stroke-width": 3 }));
  return drawn;
}

function svg(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

function tile(sheet, place, side) {
  const canvas = make("canvas", "", { role: "img", width: side, height: side });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const [column, row] = [place % data.columns, Math.floor(place / data.columns)];
  context.drawImage(sheet, column * side, row * side, side, side, 0, 0, side, side);
  return [canvas, context];
}

function colour(context, photo) {
  const { width, height } = context.canvas;
  const map = context.getImageData(0, 0, width, height);
  const under = photo && photo.getImageData(0, 0, width, height).data;
  for (let i = 0; i < map.data.length; i += 4) {
    const heat = data.colours[Math.round((map.data[i] / 255) * (data.colours.length - 1))];
    const grey = under ? (under[i] + under[i + 1] + under[i + 2]) / 3 : 0;
    for (let c = 0; c < 3; c++) map.data[i + c] = under ? 0.4 * grey + 0.6 * heat[c] : heat[c];
  }
  context.putImageData(map, 0, 0);
}

// What stands on the page from the start, one sheet after the other, so that the page can be used meanwhile.
async function drawStrip() {
  for (const row of document.querySelectorAll("[data-strip]")) {
    const sheet = await opened(row.dataset.strip);
    [...row.querySelectorAll("canvas")].forEach((canvas, place) => {
      const [drawn, context] = tile(sheet, place, Number(row.dataset.side));
      if (place > 0) colour(context, null);
      Object.assign(canvas, { width: drawn.width, height: drawn.height });
      canvas.getContext("2d").drawImage(drawn, 0, 0);
    });
  }
}

async function drawThumbnails() {
  for (const canvas of document.querySelectorAll("[data-thumbnail]")) {
    const item = JSON.parse(at(`image-${canvas.dataset.thumbnail}`).textContent);
    const sheet = await opened(item.pictures);
    const methods = JSON.parse(canvas.dataset.methods);
    Object.assign(canvas, { width: (1 + methods.length) * data.side, height: data.side });
    canvas.getContext("2d").drawImage(tile(sheet, 0, data.side)[0], 0, 0);
    methods.forEach((method, place) => {
      const [map, context] = tile(sheet, item.methods.indexOf(method) + 1, data.side);
      colour(context, null);
      canvas.getContext("2d").drawImage(map, (1 + place) * data.side, 0);
    });
  }
}
drawStrip().then(drawThumbnails);

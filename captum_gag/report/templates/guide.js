// The outline of the object: white between black, where the mask begins.
function outline(context, mask) {
  const { width, height } = context.canvas;
  const inside = mask.getImageData(0, 0, width, height).data;
  const on = (x, y) => x >= 0 && y >= 0 && x < width && y < height && inside[4 * (y * width + x)] > 127;
  for (const [reach, paint] of [[2, "black"], [1, "white"]]) {
    context.fillStyle = paint;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        if (on(x, y) && !(on(x - 1, y) && on(x + 1, y) && on(x, y - 1) && on(x, y + 1))) context.fillRect(x, y, reach, reach);
      }
    }
  }
}

// GAG's map at percentile p, from mean magnitude and variance: their product with the guide, summed over the channels.
function guided({ width, height, parts, scale, level }, p) {
  const map = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [mean, rank] = [4 * (2 * y * width + x), 4 * (2 * y * width + width + x)];
      for (let c = 0; c < scale.length; c++) {
        const guide = parts[rank + c] >= p ? 1 : level[c][parts[rank + c]];
        map[y * width + x] += scale[c] * (parts[mean + c] / 255) ** 2 * guide;
      }
    }
  }
  const low = map.reduce((one, other) => Math.min(one, other));
  return map.map((value) => value - low);
}

async function partsOf(guide) {
  const sheet = await opened(guide.picture);
  const canvas = make("canvas", "", { width: sheet.width, height: sheet.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(sheet, 0, 0);
  const parts = context.getImageData(0, 0, sheet.width, sheet.height).data;
  return { ...guide, width: sheet.width / 2, height: sheet.height, parts };
}

let chosen = null;
async function slider(guide) {
  const known = await partsOf(guide);
  const figure = make("figure");
  const canvas = make("canvas", "", { role: "img", width: known.width, height: known.height });
  const context = canvas.getContext("2d");
  const input = make("input", "", { type: "range", min: 0, max: 99, step: 1, id: "percentile" });
  input.value = chosen ?? guide.percentile;
  const label = make("label", "", { for: "percentile" });
  const redraw = () => {
    const map = guided(known, Number(input.value));
    const top = Float32Array.from(map).sort()[Math.floor(0.995 * (map.length - 1))] || Math.max(...map) || 1;
    const picture = context.createImageData(known.width, known.height);
    map.forEach((value, i) => {
      const heat = data.colours[Math.round(Math.min(1, value / top) * (data.colours.length - 1))];
      picture.data.set([...heat, 255], 4 * i);
    });
    context.putImageData(picture, 0, 0);
    label.textContent = `GAG, percentile p = ${input.value}`;
    canvas.setAttribute("aria-label", `Map of GAG at percentile ${input.value}`);
  };
  input.addEventListener("input", () => { chosen = input.value; redraw(); });
  redraw();
  const caption = make("figcaption");
  caption.append(label, input);
  figure.append(canvas, caption);
  return figure;
}

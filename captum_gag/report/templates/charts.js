// The curves of an image, as SVG.
function chart(name, curve, methods) {
  const [width, height, left, bottom] = [360, 220, 42, 36];
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
    const style = data.lines[data.methods.indexOf(method)];
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

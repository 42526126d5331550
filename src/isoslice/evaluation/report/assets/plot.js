// The profile along Z, redrawn when the cursor moves; plots.py draws it first.

const PLOT = { width: 360, height: 240, left: 52, right: 12, top: 12, bottom: 40 };

function svg(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Largest of 1, 2, 5 times a power of ten that is no more than `most`. */
function roundLength(most) {
  const power = 10 ** Math.floor(Math.log10(most) + 1e-12);
  return [5, 2, 1].find((step) => step * power <= most * (1 + 1e-9)) * power;
}

function ticks(low, high) {
  let step = roundLength((high - low) / 2);
  while ((high - low) / roundLength(step * 0.99) <= 5) step = roundLength(step * 0.99);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}

/** Draw the profile through the cursor (z, y, x). */
function drawProfile(scene, volumes, cursor) {
  const { width, height, left, right, top, bottom } = PLOT;
  const depth = scene.shape[0], step = scene.voxelSize[0];
  const place = (z) => (scene.start[0] + z) * step;
  const margin = 0.05 * (scene.grey[1] - scene.grey[0]);
  const range = [scene.grey[0] - margin, scene.grey[1] + margin];
  const span = Math.max(place(depth - 1) - place(0), 1e-12);
  const across = (value) => left + ((value - place(0)) / span) * (width - left - right);
  const down = (value) => {
    const share = Math.min(Math.max((value - range[0]) / (range[1] - range[0]), 0), 1);
    return top + (1 - share) * (height - top - bottom);
  };
  const at = (volume, z) => valueAt(scene, volume, [z, cursor[1], cursor[2]]);
  const planes = Array.from({ length: depth }, (_, z) => z);
  const path = (points) => "M" + points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");

  const image = svg("svg", {
    class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": "Intensities along Z at the cursor, of every volume shown",
  });
  const text = (x, y, anchor, words, more = {}) =>
    image.append(svg("text", { x, y, "text-anchor": anchor, ...more }, words));
  for (const value of ticks(...range)) {
    image.append(svg("path", { class: "grid", d: `M${left} ${down(value)}H${width - right}` }));
    text(left - 6, down(value) + 3.5, "end", short(value));
  }
  for (const value of ticks(place(0), place(depth - 1))) {
    image.append(svg("path", { class: "grid", d: `M${across(value)} ${top}V${height - bottom}` }));
    text(across(value), height - bottom + 14, "middle", short(value));
  }
  const ours = volumes.find((v) => v.role === "restored" || v.role === "sample");
  const doubt = volumes.find((v) => v.role === "uncertainty");
  if (ours && doubt) {
    const edge = (sign) => (z) => [across(place(z)), down(at(ours, z) + sign * at(doubt, z))];
    const points = [...planes.map(edge(1)), ...planes.map(edge(-1)).reverse()];
    image.append(svg("path", { class: "band", d: `${path(points)}Z` }));
  }
  for (const volume of volumes) {
    if (volume.coloured || volume.role === "input") continue;
    const points = planes.map((z) => [across(place(z)), down(at(volume, z))]);
    image.append(svg("path", { class: `line ${volume.kind}`, d: path(points) }));
  }
  const input = volumes.find((v) => v.role === "input");
  if (input) {
    for (const z of scene.known) {
      const middle = { cx: across(place(z)).toFixed(1), cy: down(at(input, z)).toFixed(1), r: 2.6 };
      image.append(svg("circle", { class: "dot input", ...middle }));
    }
  }
  const here = across(place(cursor[0]));
  image.append(svg("path", { class: "marker", d: `M${here} ${top}V${height - bottom}` }));
  text((left + width - right) / 2, height - 6, "middle", `z (${scene.unit})`, { class: "label" });
  image.append(svg("text", {
    class: "label", "text-anchor": "middle",
    transform: `translate(12 ${top + (height - top - bottom) / 2}) rotate(-90)`,
  }, "intensity"));
  document.getElementById("profile").replaceChildren(image);
}

// Linked slices: one niivue for each volume, all at one cursor. niivue draws; the page listens.

const SLICE_NAMES = ["XY", "XZ", "YZ"];
/** Axes (of z, y, x) across, down and normal to each slice. */
const SLICE_AXES = [[2, 1, 0], [2, 0, 1], [1, 0, 2]];

/** Whether this browser can draw volumes. */
function hasWebGL2() {
  try {
    return Boolean(document.createElement("canvas").getContext("webgl2"));
  } catch {
    return false;
  }
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Layout of XY over XZ over YZ at one scale, in fractions of a canvas; with its aspect ratio. */
function columnLayout(scene) {
  const [z, y, x] = scene.shape.map((n, axis) => n * scene.voxelSize[axis]);
  const gap = 0.006 * (y + 2 * z), tall = y + 2 * z + 2 * gap, wide = Math.max(x, y);
  const place = (top, across, down) => [0, top / tall, across / wide, down / tall];
  const positions = [place(0, x, y), place(y + gap, x, z), place(y + z + 2 * gap, y, z)];
  return {
    aspect: wide / tall,
    tiles: positions.map((position, sliceType) => ({ sliceType, position })),
  };
}

/** Show a volume in its own canvas; returns the view, for moving its cursor. */
async function makeView(scene, volume, number, parent) {
  const canvas = element("canvas", { ariaHidden: "true" });
  const frame = element("div", { className: "frame" }, canvas);
  const value = element("output", { className: "value" });
  const name = element("span", { textContent: volume.name, title: volume.name });
  const title = element("h3", {}, name, value);
  const column = element("div", { className: "column" }, title, frame);
  column.dataset.volume = number;
  parent.append(column);
  const layout = columnLayout(scene);
  frame.style.aspectRatio = layout.aspect;

  const viewer = new niivue.Niivue({
    interactive: false, dragAndDropEnabled: false, isResizeCanvas: true, logLevel: "error",
    backColor: [0.035, 0.043, 0.055, 1], crosshairColor: [1, 0.71, 0.33, 0.85], crosshairWidth: 1,
    crosshairWidthUnit: "voxels", crosshairGap: 5, show3Dcrosshair: false, loadingText: "",
    isNearestInterpolation: true, isOrientationTextVisible: false, isSliceMM: true,
    isRadiologicalConvention: false, sagittalNoseLeft: true, tileMargin: 0, isColorbar: false,
    isRuler: false, thumbnail: "",
  });
  await viewer.attachToCanvas(canvas, false);
  const channel = (i) => scene.viridis.map((colour) => colour[i]);
  const stops = scene.viridis.map((_, i) => Math.round((i * 255) / (scene.viridis.length - 1)));
  viewer.addColormap("doubt", {
    R: channel(0), G: channel(1), B: channel(2), A: stops.map(() => 255), I: stops,
  });
  // niivue reads slope and intercept, so that its window is in intensities.
  const image = await niivue.NVImage.new(
    volume.file.buffer, `volume-${number}.nii`, volume.coloured ? "doubt" : "gray", 1, null,
    volume.window[0], volume.window[1], true, 0.02, false, false, "", 0, 1, NaN, NaN, false, null,
    0, null,
  );
  viewer.addVolume(image);
  viewer.setSliceType(viewer.sliceTypeMultiplanar);
  viewer.setCustomLayout(layout.tiles);
  const labels = SLICE_NAMES.map((slice, number) => {
    const [across, down] = SLICE_AXES[number].map((axis) => scene.towards[axis]);
    const name = across ? `${slice} → ${across} ↓ ${down}` : slice;
    const bar = element("span", { className: "bar" }, element("span"));
    const label = element("div", { className: "tile" }, element("b", { textContent: name }), bar);
    frame.append(label);
    return label;
  });
  return { viewer, canvas, frame, column, value, volume, labels };
}

/** Position in CSS pixels and name of the three slices on a canvas. */
function tiles(view) {
  const density = view.canvas.width / view.canvas.clientWidth;
  return view.viewer.screenSlices
    .map((tile, index) => ({ ...tile, index }))
    .filter((tile) => tile.axCorSag <= 2)
    .map((tile) => ({
      index: tile.index, slice: tile.axCorSag,
      box: tile.leftTopWidthHeight.map((n) => n / density), density,
    }));
}

/** Put names and scale bars over the slices. */
function label(scene, view, zoom) {
  for (const tile of tiles(view)) {
    const [left, top, width, height] = tile.box;
    const label = view.labels[tile.slice], bar = label.lastElementChild;
    Object.assign(label.style, {
      left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px`,
    });
    const axis = SLICE_AXES[tile.slice][0];
    const wide = (scene.shape[axis] * scene.voxelSize[axis]) / zoom;
    const length = roundLength(wide / 3);
    bar.style.width = `${(100 * length) / wide}%`;
    bar.firstElementChild.textContent = `${short(length)} ${scene.unit}`;
  }
}

/** The voxel (z, y, x) at a point of a canvas, and its slice; null outside of slices. */
function voxelAt(scene, view, clientX, clientY) {
  const edge = view.canvas.getBoundingClientRect();
  const x = clientX - edge.left, y = clientY - edge.top;
  for (const tile of tiles(view)) {
    const [left, top, width, height] = tile.box;
    if (x < left || y < top || x > left + width || y > top + height) continue;
    const found = view.viewer.screenXY2TextureFrac(x * tile.density, y * tile.density, tile.index, false);
    if (found[0] < 0) return null;
    return { at: toVoxel(scene, found), slice: tile.slice };
  }
  return null;
}

/** niivue counts in fractions, X first, Y and Z upwards. */
function toVoxel(scene, [x, y, z]) {
  const inside = (share, n) => Math.min(Math.max(Math.floor(share * n), 0), n - 1);
  const [depth, height, width] = scene.shape;
  return [inside(1 - z, depth), inside(1 - y, height), inside(x, width)];
}

function toFraction(scene, [z, y, x]) {
  const [depth, height, width] = scene.shape;
  return [(x + 0.5) / width, 1 - (y + 0.5) / height, 1 - (z + 0.5) / depth];
}

/** Move a view to a cursor; when zoomed, centre it as far as the volume's edges allow. */
function moveView(scene, view, cursor, zoom) {
  const fraction = toFraction(scene, cursor);
  view.viewer.scene.crosshairPos = fraction;
  const pan = fraction.map((share, i) => {
    const n = scene.shape[2 - i], step = scene.voxelSize[2 - i] / scene.voxelSize[2];
    const centre = Math.min(Math.max(share, 0.5 / zoom), 1 - 0.5 / zoom);
    // niivue shows (edge - pan) / zoom, in units of length that begin in the middle of voxel 0.
    return ((n / 2 - 0.5) - (centre * n - 0.5) * zoom) * step;
  });
  // The crosshair keeps its width on the screen.
  if (view.viewer.opts.crosshairWidth !== 1 / zoom) view.viewer.setCrosshairWidth(1 / zoom);
  view.viewer.setPan2Dxyzmm([...pan, zoom]);
  view.value.textContent = short(valueAt(scene, view.volume, cursor));
}

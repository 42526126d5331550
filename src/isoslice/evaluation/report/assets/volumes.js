// Volumes: decoded from the page, or computed from others. Voxels are in the order X, Y, Z.

const HEADER = 352;

/** Bytes of a gzipped base64 text. */
async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Measured planes before and after plane z, and the fraction of the way between them. */
function around(known, z) {
  let i = 0;
  while (i < known.length - 2 && known[i + 1] <= z) i += 1;
  const low = known[i], high = known[Math.min(i + 1, known.length - 1)];
  const t = high > low ? Math.min(Math.max((z - low) / (high - low), 0), 1) : 0;
  return [low, high, t];
}

/** Interpolate each plane from the measured ones around it. */
function mixed(source, scene, weight) {
  const [depth, height, width] = scene.shape, plane = height * width;
  const out = new Uint8Array(source.length);
  for (let z = 0; z < depth; z += 1) {
    const [low, high, t] = around(scene.known, z), share = weight(t);
    const a = low * plane, b = high * plane, to = z * plane;
    for (let i = 0; i < plane; i += 1) {
      out[to + i] = Math.round(source[a + i] * (1 - share) + source[b + i] * share);
    }
  }
  return out;
}

const OPERATIONS = {
  nearest: (scene, volume, [source]) => mixed(source.voxels, scene, (t) => (t > 0.5 ? 1 : 0)),
  linear: (scene, volume, [source]) => mixed(source.voxels, scene, (t) => t),
  difference: (scene, volume, [a, b]) => {
    const step = (a.window[1] - a.window[0]) / (volume.window[1] - volume.window[0]);
    return a.voxels.map((value, i) => Math.min(255, Math.round(Math.abs(value - b.voxels[i]) * step)));
  },
};

/** All volumes of the scene with their `voxels` (bytes) and `file` (a NIfTI image). */
async function loadVolumes(scene) {
  const volumes = scene.volumes.map((volume) => ({ ...volume }));
  let header = null;
  for (const [i, volume] of volumes.entries()) {
    if (volume.made) continue;
    volume.file = await unpack(document.getElementById(`voxels-${i}`).textContent);
    volume.voxels = volume.file.subarray(HEADER);
    header = volume.file.slice(0, HEADER);
  }
  for (const volume of volumes) {
    if (!volume.made) continue;
    const sources = volume.made.of.map((i) => volumes[i]);
    volume.voxels = OPERATIONS[volume.made.by](scene, volume, sources);
    volume.file = new Uint8Array(HEADER + volume.voxels.length);
    volume.file.set(header);
    // Slope and intercept are those of its own window.
    const numbers = new DataView(volume.file.buffer), [low, high] = volume.window;
    numbers.setFloat32(112, (high - low) / 255, true);
    numbers.setFloat32(116, low, true);
    volume.file.set(volume.voxels, HEADER);
  }
  return volumes;
}

/** The value of a voxel, in intensities. */
function valueAt(scene, volume, [z, y, x]) {
  const level = volume.voxels[(z * scene.shape[1] + y) * scene.shape[2] + x];
  return volume.window[0] + (level * (volume.window[1] - volume.window[0])) / 255;
}

/** A number with four digits, without needless zeros. */
function short(value) {
  return String(Number(value.toPrecision(4)));
}

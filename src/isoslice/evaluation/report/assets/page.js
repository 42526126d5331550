// The before/after slider, and linked views where WebGL2 works.

const byId = (id) => document.getElementById(id);
const scene = JSON.parse(byId("scene").textContent);
const AXES = ["z", "y", "x"];

/** Before and after: one still picture over another. */
function startComparison() {
  const section = byId("compare");
  if (!section) return;
  const wipe = byId("wipe"), share = byId("share");
  const [under, over] = wipe.querySelectorAll("img");
  const picture = (number) => document.querySelector(
    `.pictures [data-volume="${number}"] img[data-slice="${byId("slice").value}"]`);
  const show = () => {
    for (const [image, which, tag] of [[over, "before", ".left"], [under, "after", ".right"]]) {
      const source = picture(byId(which).value);
      image.src = source.src;
      image.alt = source.alt;
      wipe.style.aspectRatio = source.style.aspectRatio;
      const [wide, high] = source.style.aspectRatio.split("/").map(Number);
      section.style.setProperty("--ratio", wide / high);
      wipe.querySelector(".bar")?.remove();
      wipe.append(source.closest("figure").querySelector(".bar").cloneNode(true));
      wipe.querySelector(tag).textContent = scene.volumes[byId(which).value].name;
    }
  };
  const slide = () => {
    wipe.style.setProperty("--share", `${share.value}%`);
    const names = ["before", "after"].map((id) => scene.volumes[byId(id).value].name);
    share.setAttribute("aria-valuetext", `${share.value} % ${names[0]}, rest ${names[1]}`);
  };
  for (const id of ["before", "after", "slice"]) byId(id).addEventListener("change", () => { show(); slide(); });
  share.addEventListener("input", slide);
  const drag = (event) => {
    const edge = wipe.getBoundingClientRect();
    share.value = Math.round((100 * (event.clientX - edge.left)) / edge.width);
    slide();
  };
  wipe.addEventListener("pointerdown", (event) => { wipe.setPointerCapture(event.pointerId); drag(event); });
  wipe.addEventListener("pointermove", (event) => { if (event.buttons) drag(event); });
  section.hidden = false;
  show();
  slide();
}

function makeSlider(parent, name, max, value, changed, min = 0, step = 1) {
  const input = element("input", { type: "range", id: `slide-${name}`, min, max, step, value });
  const output = element("output");
  parent.append(element("label", { htmlFor: input.id, textContent: name }), input, output);
  input.addEventListener("input", () => changed(Number(input.value)));
  return { input, output };
}

/** Linked views with one cursor and one zoom. */
async function startViews() {
  const live = byId("live"), volumes = await loadVolumes(scene), views = [];
  const state = { cursor: [...scene.at], zoom: 1, views, volumes, ready: false };
  live.hidden = false;
  live.classList.add("loading");
  for (const [number, volume] of volumes.entries()) {
    views.push(await makeView(scene, volume, number, live));
  }

  const sliders = AXES.map(() => null);
  for (const axis of [2, 1, 0]) {
    sliders[axis] = makeSlider(byId("sliders"), AXES[axis].toUpperCase(), scene.shape[axis] - 1,
      scene.at[axis], (value) => move(state.cursor.map((old, i) => (i === axis ? value : old))));
  }
  const zoomer = makeSlider(byId("sliders"), "Zoom", 8, 1, (value) => zoom(value), 1, 0.5);

  function describe() {
    const [z] = state.cursor, place = (i) => (scene.start[i] + state.cursor[i]) * scene.voxelSize[i];
    AXES.forEach((_, i) => {
      const words = `${short(place(i))} ${scene.unit}`;
      sliders[i].input.value = state.cursor[i];
      sliders[i].input.setAttribute("aria-valuetext", words);
      sliders[i].output.textContent = words;
    });
    zoomer.input.value = state.zoom;
    zoomer.output.textContent = `${short(state.zoom)}×`;
    if (!scene.known.length) return "";
    const far = Math.min(...scene.known.map((plane) => Math.abs(plane - z)));
    const plane = scene.start[0] + z, planes = `${far} ${far === 1 ? "plane" : "planes"}`;
    if (!scene.points) {
      return far === 0 ? `Plane ${plane} is restored; a measured plane lies there, or next to it.`
        : `Plane ${plane} is restored, ${planes} from the nearest measured one.`;
    }
    return far === 0 ? `Plane ${plane} is measured.`
      : `Plane ${plane} is not measured: ${planes} from the nearest that is.`;
  }

  let waiting = false;
  function refresh() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      byId("where").textContent = describe();
      for (const view of views) {
        if (view.column.hidden) continue;
        moveView(scene, view, state.cursor, state.zoom);
        label(scene, view, state.zoom);
      }
      drawProfile(scene, volumes, state.cursor);
    });
  }
  function move(cursor) {
    state.cursor = cursor.map((i, axis) => Math.min(Math.max(i, 0), scene.shape[axis] - 1));
    refresh();
  }
  function zoom(value) {
    state.zoom = Math.min(Math.max(value, 1), 8);
    refresh();
  }
  state.move = move;

  for (const view of views) {
    const jump = (event) => {
      const found = voxelAt(scene, view, event.clientX, event.clientY);
      if (!found) return;
      const fixed = SLICE_AXES[found.slice][2];
      move(found.at.map((i, axis) => (axis === fixed ? state.cursor[axis] : i)));
    };
    // On touch screens taps move the cursor; dragging scrolls the page.
    view.canvas.addEventListener("click", jump);
    view.canvas.addEventListener("pointermove", (event) => {
      if (event.buttons === 1 && event.pointerType === "mouse" && state.zoom === 1) jump(event);
    });
    view.canvas.addEventListener("wheel", (event) => {
      const found = voxelAt(scene, view, event.clientX, event.clientY);
      if (!found || document.activeElement !== live) return;
      event.preventDefault();
      const fixed = SLICE_AXES[found.slice][2];
      move(state.cursor.map((i, axis) => (axis === fixed ? i + Math.sign(event.deltaY) : i)));
    }, { passive: false });
    new ResizeObserver(refresh).observe(view.canvas);
  }

  const steps = {
    ArrowLeft: [0, 0, -1], ArrowRight: [0, 0, 1], ArrowUp: [0, -1, 0], ArrowDown: [0, 1, 0],
    PageUp: [-1, 0, 0], PageDown: [1, 0, 0],
  };
  live.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = steps[event.key];
    if (step) move(state.cursor.map((i, axis) => i + step[axis] * (event.shiftKey ? 10 : 1)));
    else if (event.key === "Home") { zoom(1); move(scene.at); }
    else if (event.key === "+" || event.key === "=") zoom(state.zoom + 0.5);
    else if (event.key === "-") zoom(state.zoom - 0.5);
    else if (event.key.toLowerCase() === "m" && scene.known.length) {
      const next = scene.known.find((z) => z > state.cursor[0]) ?? scene.known[0];
      move([next, state.cursor[1], state.cursor[2]]);
    } else return;
    event.preventDefault();
  });

  for (const button of document.querySelectorAll("button.go")) {
    button.disabled = false;
    button.addEventListener("click", () => {
      move(button.dataset.at.split(" ").map(Number));
      live.scrollIntoView({ block: "nearest" });
    });
  }
  startTools(live, views, refresh);
  byId("cursor").hidden = false;
  live.classList.remove("loading");
  document.documentElement.classList.add("is-live");
  byId("why-still").textContent = "Click into a slice to move all of them there.";
  refresh();
  state.ready = true;
  return state;
}

/** Controls of which volumes are shown, and whether as linked views or still pictures. */
function startTools(live, views, refresh) {
  const toggles = byId("toggles"), still = byId("still");
  document.querySelectorAll(".tools[hidden]").forEach((tools) => { tools.hidden = false; });
  const count = () => {
    const left = views.filter((view) => !view.column.hidden).length;
    document.querySelector(".stage").style.setProperty("--n", left);
  };
  for (const [number, view] of views.entries()) {
    const box = element("input", { type: "checkbox", checked: true, id: `toggle-${number}` });
    toggles.append(element("label", {}, box, element("span", { textContent: view.volume.name })));
    box.addEventListener("change", () => {
      if (views.every((other) => other === view ? !box.checked : other.column.hidden)) box.checked = true;
      for (const column of document.querySelectorAll(`.column[data-volume="${number}"]`)) {
        column.hidden = !box.checked;
      }
      count();
      refresh();
    });
  }
  still.addEventListener("click", () => {
    const on = document.documentElement.classList.toggle("is-still");
    still.setAttribute("aria-pressed", on);
    refresh();
  });
}

startComparison();
if (hasWebGL2() && "DecompressionStream" in window) {
  startViews().then((state) => { window.isosliceReport = state; }, (error) => {
    byId("live").hidden = true;
    byId("why-still").textContent = `The linked views did not start (${error.message}): these are pictures.`;
  });
} else {
  byId("why-still").textContent = "This browser has no WebGL2, which the linked views need: these are pictures.";
}

// One exam in space and slice by slice. `exam` is what planewise/own_exams/exam_page.py wrote; Plotly is on the page.
"use strict";

const box = document.getElementById("exam");
const slider = document.getElementById("slice");
// on a phone the slice stands below the space
const narrow = window.matchMedia("(max-width: 700px)").matches;
const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
// where the 3D view, the slice and the legend stand in the drawing, as shares of its width and height
const place = narrow
  ? { space: { x: [0, 1], y: [0.56, 1] }, slice: { x: [0, 1], y: [0.15, 0.55] }, names: { x: 0, y: 0.14 } }
  : { space: { x: [0, 0.58], y: [0.1, 1] }, slice: { x: [0.59, 1], y: [0.1, 1] }, names: { x: 0, y: 0.07 } };
const paper = { paper_bgcolor: theme("--back"), plot_bgcolor: theme("--back"), font: { color: theme("--text") } };

// whether a key belongs to the part of the page that has the focus, or to the browser
function taken(event) {
  return event.altKey || event.ctrlKey || event.metaKey || event.target.closest?.("input, button, summary, a, .wide") != null;
}

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// pixels (j, i) as rows of grey levels
function rows(values, shape) {
  return Array.from({ length: shape[1] }, (_, j) => values.subarray(j * shape[0], (j + 1) * shape[0]));
}

// one patient coordinate of every pixel of a picture, from its affine
function positions(affine, axis, shape) {
  const [alongI, alongJ, , origin] = affine[axis];
  return Array.from({ length: shape[1] }, (_, j) =>
    Float32Array.from({ length: shape[0] }, (_, i) => alongI * i + alongJ * j + origin));
}

function picture(entry) {
  if (!entry.levels) {
    entry.levels = rows(bytes(entry.pixels), entry.shape);
    [entry.x, entry.y, entry.z] = [0, 1, 2].map((axis) => positions(entry.affine, axis, entry.shape));
  }
  return entry;
}

function surface(entry, name, more) {
  const { x, y, z, levels } = picture(entry);
  return {
    type: "surface", x, y, z, surfacecolor: levels, cmin: 0, cmax: 255, colorscale: "Greys", reversescale: false,
    showscale: false, hoverinfo: "name", name, contours: { x: { highlight: false }, y: { highlight: false },
      z: { highlight: false } }, lighting: { ambient: 1, diffuse: 0, specular: 0, fresnel: 0 }, ...more,
  };
}

const grey = [[0, "rgb(0,0,0)"], [1, "rgb(255,255,255)"]];
const traces = [];
function add(trace) {
  traces.push(trace);
  return traces.length - 1;
}

// a name in the legend stands for everything of that name, in space and on the slice
const stack = add(surface(exam.slices[exam.start], "short axis", { colorscale: grey, showlegend: true }));
for (const plane of exam.planes) {
  const closed = [...plane.corners, plane.corners[0]];
  add({
    type: "scatter3d", mode: "lines", name: plane.name, legendgroup: plane.name, hoverinfo: "name", showlegend: false,
    line: { color: plane.colour, width: 5, dash: plane.dash },
    x: closed.map((corner) => corner[0]), y: closed.map((corner) => corner[1]), z: closed.map((corner) => corner[2]),
  });
}
const flat = add({
  type: "heatmap", z: picture(exam.slices[exam.start]).levels, zmin: 0, zmax: 255, colorscale: grey, showscale: false,
  hoverinfo: "skip", dx: exam.spacing[0], dy: exam.spacing[1],
});
const marks = exam.slices[exam.start].marks.map((mark) => add({
  type: "scatter", mode: "lines", name: mark.name, x: mark.x, y: mark.y, hoverinfo: "name", legendgroup: mark.name, showlegend: true,
  line: { color: mark.colour, width: 2, dash: mark.dash },
}));

// where the edges of a slice point to: left, right, top, bottom
function edges(slice) {
  const [wide, high] = [0, 1].map((axis) => slice.shape[axis] * exam.spacing[axis]);
  const at = [[0.04, 0.5], [0.96, 0.5], [0.5, 0.04], [0.5, 0.96]];
  return slice.edges.map((text, edge) => ({
    text, x: at[edge][0] * wide, y: at[edge][1] * high, xref: "x", yref: "y", showarrow: false,
    font: { size: 14, color: "#ffffff" }, bgcolor: "rgba(0,0,0,.45)",
  }));
}

function named(number) {
  document.getElementById("which").textContent = exam.slices[number].name;
  slider.value = number;
  box.dataset.slice = number;
}

function show(number) {
  const slice = picture(exam.slices[number]);
  const lines = (axis) => slice.marks.map((mark) => mark[axis]);
  // in one step, because each one draws everything again; the flat picture has no x and y of its own
  Plotly.update(box, {
    x: [slice.x, undefined, ...lines("x")], y: [slice.y, undefined, ...lines("y")],
    z: [slice.z, slice.levels, ...marks.map(() => undefined)],
    surfacecolor: [slice.levels, undefined, ...marks.map(() => undefined)],
  }, { annotations: edges(slice) }, [stack, flat, ...marks]);
  named(number);
}

// the patient's directions stand around what is drawn, just inside the axes
const drawn = [0, 1, 2].map((axis) => {
  const ends = [...exam.planes.flatMap((plane) => plane.corners.map((corner) => corner[axis])),
    ...exam.slices.flatMap((slice) => [0, slice.shape[0] - 1].flatMap((i) => [0, slice.shape[1] - 1].map((j) =>
      slice.affine[axis][0] * i + slice.affine[axis][1] * j + slice.affine[axis][3])))];
  return [Math.min(...ends) - 12, Math.max(...ends) + 12];
});
const middle = drawn.map(([low, high]) => (low + high) / 2);
const towards = [[0, 0, "L"], [0, 1, "R"], [1, 0, "P"], [1, 1, "A"], [2, 0, "F"], [2, 1, "H"]].map(([axis, end, text]) =>
  ({ text, at: middle.map((value, other) => (other === axis ? drawn[axis][end] : value)) }));
add({
  type: "scatter3d", mode: "text", hoverinfo: "skip", showlegend: false, text: towards.map(({ text }) => text),
  x: towards.map(({ at }) => at[0]), y: towards.map(({ at }) => at[1]), z: towards.map(({ at }) => at[2]),
  // readable on the page as well as on the slice
  textfont: { size: 16, color: "#a04bf0" },
});
const side = (axis) => ({
  title: { text: "" }, showticklabels: false, dtick: 50, range: [drawn[axis][0] - 8, drawn[axis][1] + 8],
  showbackground: false, showspikes: false, gridcolor: theme("--lines"), zeroline: false,
});
Plotly.newPlot(box, traces, {
  ...paper,
  // at the top is room for Plotly's buttons, which would hide the slice
  margin: { l: 0, r: 0, t: 36, b: 8 },
  scene: {
    domain: place.space, aspectmode: "data", dragmode: "orbit", camera: { eye: narrow ? { x: 1.15 * exam.eye.x, y: 1.15 * exam.eye.y, z: 1.15 * exam.eye.z } : exam.eye },
    xaxis: side(0), yaxis: side(1), zaxis: side(2),
  },
  annotations: edges(exam.slices[exam.start]),
  // a finger on the slice scrolls the page
  dragmode: false,
  xaxis: { domain: place.slice.x, visible: false, constrain: "domain", constraintoward: "left", fixedrange: true },
  yaxis: {
    domain: place.slice.y, visible: false, autorange: "reversed", scaleanchor: "x", constrain: "domain", constraintoward: "top",
    fixedrange: true,
  },
  legend: {
    ...place.names, xanchor: "left", yanchor: "top", bgcolor: "rgba(0,0,0,0)", font: { size: 13 }, orientation: "h",
    tracegroupgap: 0, groupclick: "togglegroup",
  },
}, { responsive: true, displaylogo: false, scrollZoom: "gl3d" }).then(() => {
  slider.max = exam.slices.length - 1;
  slider.addEventListener("input", () => show(Number(slider.value)));
  const move = (step) => show(Math.min(Math.max(Number(slider.value) + step, 0), exam.slices.length - 1));
  // over the slice, the wheel moves through the stack, and at its ends the page; in space, it zooms if Ctrl is pressed
  box.addEventListener("wheel", (event) => {
    if (event.ctrlKey) return;
    event.stopPropagation();
    const frame = box.getBoundingClientRect();
    const over = narrow ? event.clientY - frame.top > (1 - place.space.y[0]) * frame.height
      : event.clientX - frame.left > place.space.x[1] * frame.width;
    const next = Number(slider.value) + Math.sign(event.deltaY);
    if (!over || next < 0 || next > Number(slider.max)) return;
    event.preventDefault();
    move(Math.sign(event.deltaY));
  }, { passive: false, capture: true });
  const steps = { ArrowRight: 1, ArrowLeft: -1 };
  document.addEventListener("keydown", (event) => {
    if (!(event.key in steps) || taken(event)) return;
    event.preventDefault();
    move(steps[event.key]);
  });
  [document.getElementById("first").textContent, document.getElementById("last").textContent] = exam.ends;
  named(exam.start);
  box.dataset.state = "ready";
});

if (exam.curves.length) {
  const curve = document.getElementById("curve");
  curve.hidden = false;
  // phases are named as in the files; a letter has about 7 pixels
  const count = exam.curves[0].ml.length;
  const names = exam.moments.length ? exam.moments : Array.from({ length: count }, (_, phase) => String(phase + 1));
  const most = Math.max(Math.floor((curve.clientWidth - 66) / (7 * Math.max(...names.map((name) => name.length)) + 16)), 1);
  const step = Math.ceil(count / most);
  const ticks = names.map((_, phase) => phase).filter((phase) => phase % step === 0);
  const byHand = exam.corrected.flatMap((phase) => exam.curves.map(({ ml }) => ({ phase, ml: ml[phase] })));
  const marked = byHand.length === 0 ? [] : [{
    type: "scatter", mode: "markers", name: "from a corrected mask (*)", x: byHand.map(({ phase }) => phase),
    y: byHand.map(({ ml }) => ml), hoverinfo: "skip",
    marker: { symbol: "diamond-open", size: 14, color: theme("--text"), line: { width: 2 } },
  }];
  Plotly.newPlot(curve, [...exam.curves.map(({ name, colour, ml }) => ({
    type: "scatter", mode: "lines+markers", name, y: ml, x: ml.map((_, phase) => phase), text: names,
    line: { color: colour }, hovertemplate: "%{text}: %{y:.0f} ml",
  })), ...marked], {
    ...paper, margin: { l: 56, r: 10, t: 30, b: 44 }, legend: { orientation: "h", x: 0.5, xanchor: "center", y: -0.14 }, title: { text: "Volume over the cardiac cycle", font: { size: 14 } },
    xaxis: { gridcolor: theme("--lines"), tickvals: ticks, ticktext: ticks.map((phase) => names[phase]), tickangle: 0 },
    yaxis: { title: { text: "ml" }, gridcolor: theme("--lines"), rangemode: "tozero" },
  }, { responsive: true, displayModeBar: false });
}

// One exam in space and slice by slice. `exam` is what planewise/reports/exam_page.py wrote; Plotly is on the page.
"use strict";

const box = document.getElementById("exam");
const slider = document.getElementById("slice");
// on a phone the slice stands below the space
const narrow = window.matchMedia("(max-width: 700px)").matches;
const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const paper = { paper_bgcolor: theme("--back"), plot_bgcolor: theme("--back"), font: { color: theme("--text") } };

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

const stack = add(surface(exam.slices[0], "short axis", { colorscale: grey, showlegend: true }));
for (const mesh of exam.meshes) {
  const points = new Float32Array(bytes(mesh.vertices).buffer);
  const corners = new Uint32Array(bytes(mesh.faces).buffer);
  const every = (values, start) => values.filter((_, index) => index % 3 === start);
  add({
    type: "mesh3d", name: mesh.name, color: mesh.colour, opacity: mesh.opacity, showlegend: true, hoverinfo: "name",
    x: every(points, 0), y: every(points, 1), z: every(points, 2),
    i: every(corners, 0), j: every(corners, 1), k: every(corners, 2), flatshading: false,
  });
}
for (const plane of exam.planes) {
  const closed = [...plane.corners, plane.corners[0]];
  add({
    type: "scatter3d", mode: "lines", name: plane.name, hoverinfo: "name", showlegend: true,
    line: { color: plane.colour, width: 5, dash: plane.dash },
    x: closed.map((corner) => corner[0]), y: closed.map((corner) => corner[1]), z: closed.map((corner) => corner[2]),
  });
  if (plane.cut) {
    add(surface(plane.cut, `${plane.name}: the stack cut there`, { colorscale: grey, showlegend: true, visible: "legendonly" }));
  }
}
const flat = add({
  type: "heatmap", z: picture(exam.slices[0]).levels, zmin: 0, zmax: 255, colorscale: grey, showscale: false,
  hoverinfo: "skip", dx: exam.spacing[0], dy: exam.spacing[1],
});
const marks = exam.slices[0].marks.map((mark) => add({
  type: "scatter", mode: "lines", name: mark.name, x: mark.x, y: mark.y, hoverinfo: "name", showlegend: false,
  line: { color: mark.colour, width: 2, dash: mark.dash },
}));

function show(number) {
  const slice = picture(exam.slices[number]);
  Plotly.restyle(box, { x: [slice.x], y: [slice.y], z: [slice.z], surfacecolor: [slice.levels] }, [stack]);
  Plotly.restyle(box, { z: [slice.levels] }, [flat]);
  if (marks.length) {
    Plotly.restyle(box, { x: slice.marks.map((mark) => mark.x), y: slice.marks.map((mark) => mark.y) }, marks);
  }
  // where the edges of the picture point to: left, right, top, bottom
  const [wide, high] = [0, 1].map((axis) => slice.shape[axis] * exam.spacing[axis]);
  const at = [[0.04, 0.5], [0.96, 0.5], [0.5, 0.04], [0.5, 0.96]];
  Plotly.relayout(box, {
    annotations: slice.edges.map((text, edge) => ({
      text, x: at[edge][0] * wide, y: at[edge][1] * high, xref: "x", yref: "y", showarrow: false,
      font: { size: 14, color: "#ffffff" }, bgcolor: "rgba(0,0,0,.45)",
    })),
  });
  document.getElementById("which").textContent = slice.name;
  box.dataset.slice = number;
}

const side = (text) => ({ title: { text, font: { size: 11 } }, tickfont: { size: 9 }, showbackground: false, showspikes: false, gridcolor: theme("--lines"), zeroline: false });
Plotly.newPlot(box, traces, {
  ...paper,
  // at the top is room for Plotly's buttons, which would hide the slice
  margin: { l: 0, r: 0, t: 36, b: 8 },
  scene: {
    domain: narrow ? { x: [0, 1], y: [0.55, 1] } : { x: [0, 0.6], y: [0, 1] },
    aspectmode: "data", dragmode: "orbit", camera: { eye: exam.eye },
    xaxis: side("left to right of the patient (mm)"), yaxis: side("back to front (mm)"), zaxis: side("feet to head (mm)"),
  },
  xaxis: { domain: narrow ? [0.02, 0.98] : [0.62, 0.99], visible: false, constrain: "domain", constraintoward: "left" },
  yaxis: {
    domain: narrow ? [0.12, 0.53] : [0.36, 1], visible: false, autorange: "reversed", scaleanchor: "x", constrain: "domain",
    constraintoward: "top",
  },
  legend: {
    x: narrow ? 0.02 : 0.62, y: narrow ? 0.1 : 0.33, xanchor: "left", yanchor: "top", bgcolor: "rgba(0,0,0,0)",
    font: { size: 12 }, orientation: narrow ? "h" : "v",
  },
}, { responsive: true, displaylogo: false, scrollZoom: false }).then(() => {
  slider.max = exam.slices.length - 1;
  slider.addEventListener("input", () => show(Number(slider.value)));
  // the wheel scrolls through the stack over the slice, and zooms in space
  box.addEventListener("wheel", (event) => {
    const frame = box.getBoundingClientRect();
    const over = narrow ? event.clientY - frame.top > 0.47 * frame.height : event.clientX - frame.left > 0.6 * frame.width;
    if (!over) return;
    event.preventDefault();
    event.stopPropagation();
    slider.value = Number(slider.value) + Math.sign(event.deltaY);
    show(Number(slider.value));
  }, { passive: false, capture: true });
  const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 };
  document.addEventListener("keydown", (event) => {
    if (event.target === slider || !(event.key in steps)) return;
    event.preventDefault();
    slider.value = Number(slider.value) + steps[event.key];
    show(Number(slider.value));
  });
  [document.getElementById("first").textContent, document.getElementById("last").textContent] = exam.ends;
  slider.value = exam.start;
  show(exam.start);
  box.dataset.state = "ready";
});

if (exam.curves.length) {
  const curve = document.getElementById("curve");
  curve.hidden = false;
  Plotly.newPlot(curve, exam.curves.map(({ name, colour, ml }) => ({
    type: "scatter", mode: "lines+markers", name, y: ml, x: ml.map((_, phase) => phase + 1),
    line: { color: colour }, hovertemplate: "%{y:.0f} ml",
  })), {
    ...paper, margin: { l: 56, r: 10, t: 30, b: 44 }, title: { text: "volume over the cycle", font: { size: 14 } },
    xaxis: { title: { text: "phase" }, gridcolor: theme("--lines"), dtick: Math.ceil(exam.curves[0].ml.length / 12) },
    yaxis: { title: { text: "ml" }, gridcolor: theme("--lines"), rangemode: "tozero" },
  }, { responsive: true, displayModeBar: false });
}

if (exam.cine) {
  const { width, height, frames } = exam.cine;
  const section = document.getElementById("cine");
  const [play, chosen, moment] = ["play", "phase", "moment"].map((id) => document.getElementById(id));
  const drawing = section.querySelector("svg");
  const make = (kind, values) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
    Object.entries(values).forEach(([name, value]) => made.setAttribute(name, value));
    return drawing.appendChild(made);
  };
  section.hidden = false;
  chosen.max = frames.length - 1;
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const image = make("image", { width, height, preserveAspectRatio: "none" });
  const paths = frames[0].outlines.map(({ colour }) => make("path", { stroke: colour }));
  const showPhase = (number) => {
    image.setAttribute("href", `data:image/jpeg;base64,${frames[number].picture}`);
    frames[number].outlines.forEach(({ path }, index) => paths[index].setAttribute("d", path));
    moment.textContent = frames[number].name;
    chosen.value = number;
    section.dataset.phase = number;
  };
  let timer = null;
  const toggle = () => {
    // a heart beat takes a second
    timer = timer === null
      ? setInterval(() => showPhase((Number(chosen.value) + 1) % frames.length), Math.max(1000 / frames.length, 40))
      : clearInterval(timer) ?? null;
    play.textContent = timer === null ? "Play" : "Pause";
  };
  play.addEventListener("click", toggle);
  chosen.addEventListener("input", () => showPhase(Number(chosen.value)));
  document.addEventListener("keydown", (event) => {
    if (event.key !== " " || event.target === play) return;
    event.preventDefault();
    toggle();
  });
  showPhase(0);
}

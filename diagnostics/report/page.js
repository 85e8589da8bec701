"use strict";
(() => {
// Draws the curves of a page. A trace is decoded when it is first seen; all figures of a run show the same steps.
const SVG = "http://www.w3.org/2000/svg";
const LEFT = 58, RIGHT = 10, TOP = 18, BOTTOM = 22, DOTS = 80;
const runs = JSON.parse(document.getElementById("data").textContent);

function decoded(run, segment, place) {
  const part = runs[run].segments[segment], trace = part.traces[place];
  if (!trace.at) {
    let at = 0;
    const steps = part.steps[trace.steps];
    trace.at = part.decoded?.[trace.steps] ?? Float64Array.from(steps, (distance) => (at += distance));
    (part.decoded ??= {})[trace.steps] = trace.at;
    trace.of = Float64Array.from(trace.values, Number);
  }
  return trace;
}

// The steps that the figures of a run's segment show: all of them until somebody zooms.
function view(run, segment) {
  const part = runs[run].segments[segment];
  if (!part.whole) {
    let first = Infinity, last = -Infinity;
    for (const deltas of part.steps) {
      if (deltas.length) { first = Math.min(first, deltas[0]); last = Math.max(last, deltas.reduce((a, b) => a + b, 0)); }
    }
    part.whole = [first, Math.max(last, first + 1)];
    part.shown = part.whole;
  }
  return part;
}

function below(steps, step) {  // how many steps lie before this one
  let low = 0, high = steps.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle] < step) low = middle + 1; else high = middle;
  }
  return low;
}

function ticks(low, high, most) {
  const raw = (high - low) / most, power = 10 ** Math.floor(Math.log10(raw));
  const width = [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
  const found = [];
  for (let n = Math.ceil(low / width); n * width <= high && found.length <= 2 * most; n++) found.push(n * width);
  return found;
}

const number = (value) => Number.isFinite(value) ? String(Number(value.toPrecision(4))) : String(value);
const step = (value) => String(Math.round(value));

function made(name, attributes, parent, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

// The points of a line no denser than the screen: of each column the first, the lowest, the highest and the last one.
function seen(trace, from, to, column) {
  const kept = [];
  for (let i = from; i < to;) {
    const here = column(trace.at[i]);
    let low = -1, high = -1, last = -1, first = -1, end = i;
    for (; end < to && column(trace.at[end]) === here; end++) {
      if (!Number.isFinite(trace.of[end])) continue;
      if (first < 0) first = end;
      if (low < 0 || trace.of[end] < trace.of[low]) low = end;
      if (high < 0 || trace.of[end] > trace.of[high]) high = end;
      last = end;
    }
    if (first >= 0) kept.push(...[...new Set([first, low, high, last])].sort((a, b) => a - b));
    if (!Number.isFinite(trace.of[end - 1])) kept.push(-1);
    i = end;
  }
  return kept;
}

function draw(figure) {
  const { run, segment, trace: place } = figure.dataset;
  const part = view(run, segment), trace = decoded(run, segment, place), [from, to] = part.shown;
  const svg = figure.querySelector("svg"), width = svg.clientWidth || 640, height = svg.clientHeight || 176;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  const a = Math.max(0, below(trace.at, from) - 1), b = Math.min(trace.at.length, below(trace.at, to + 1) + 1);
  let low = Infinity, high = -Infinity;
  for (let i = a; i < b; i++) {
    if (trace.at[i] < from || trace.at[i] > to || !Number.isFinite(trace.of[i])) continue;
    low = Math.min(low, trace.of[i]); high = Math.max(high, trace.of[i]);
  }
  const empty = low > high, lowest = low, highest = high;
  if (empty) { low = 0; high = 1; }
  const room = low === high ? Math.abs(low) / 2 || 1 : high / 20 - low / 20;
  if (Number.isFinite(high + room) && Number.isFinite(low - room)) { low -= room; high += room; }
  const x = (step) => LEFT + (step - from) / (to - from) * (width - LEFT - RIGHT);
  const y = (value) => height - BOTTOM - (value / 2 - low / 2) / (high / 2 - low / 2) * (height - TOP - BOTTOM);
  const clip = made("clipPath", { id: `clip-${figure.dataset.id}` }, svg);
  made("rect", { x: LEFT, y: 0, width: width - LEFT - RIGHT, height }, clip);
  for (const value of ticks(low, high, 4)) {
    made("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }, svg);
    made("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, svg, number(value));
  }
  for (const tick of ticks(from, to, Math.max(2, width / 160))) {
    const anchor = x(tick) > width - 40 ? "end" : "middle";  // so that the last one is not cut off
    if (Number.isInteger(tick)) made("text", { x: x(tick), y: height - 6, "text-anchor": anchor }, svg, step(tick));
  }
  const group = made("g", { "clip-path": `url(#clip-${figure.dataset.id})` }, svg), labels = [];
  for (const mark of runs[run].marks) {
    if (mark.segment !== Number(segment) || !mark.metrics.includes(trace.name)) continue;
    const tone = { class: `tone-${mark.severity}` }, ranged = made("g", tone, group);
    const left = x(mark.first), right = Math.max(x(mark.last), left + 2);
    made("rect", { class: "range", x: left, y: TOP, width: right - left, height: height - TOP - BOTTOM }, ranged);
    for (const edge of [left, right]) made("line", { class: "edge", x1: edge, x2: edge, y1: TOP, y2: height - BOTTOM }, ranged);
    const raised = x(mark.raised), text = `${mark.severity.toUpperCase()} ${mark.code} at ${step(mark.raised)}`;
    made("line", { class: "raised", x1: raised, x2: raised, y1: TOP - 4, y2: height - BOTTOM }, ranged);
    const long = 7 * text.length, start = raised > width * 0.7 ? raised - long - 4 : raised + 4;
    const row = labels.filter((label) => start < label.end && label.start < start + long).length;
    labels.push({ start, end: start + long });
    const side = raised > width * 0.7 ? { x: raised - 4, "text-anchor": "end" } : { x: start };
    made("text", { class: "label", y: TOP - 6 + 13 * row, ...side }, ranged, text);
  }
  let path = "", pen = "M";
  for (const i of seen(trace, a, b, (step) => Math.floor(x(step)))) {
    if (i < 0) { pen = "M"; continue; }
    path += `${pen}${x(trace.at[i]).toFixed(1)} ${y(trace.of[i]).toFixed(1)}${pen === "M" ? "h0" : ""}`;
    pen = "L";  // h0: a point that stands alone is a dot
  }
  made("path", { class: "curve", d: path || "M0 0" }, group);
  const crosses = new Set();
  for (let i = a; i < b; i++) {
    if (Number.isFinite(trace.of[i])) {
      if (b - a <= DOTS) made("circle", { class: "dot", cx: x(trace.at[i]), cy: y(trace.of[i]), r: 2 }, group);
    } else crosses.add(Math.round(x(trace.at[i])));
  }
  for (const at of crosses) made("path", { class: "lost", d: `M${at - 4} ${TOP}l8 8m0 -8l-8 8` }, group);
  let notes = crosses.size ? " \u00d7 marks what is not finite." : "";
  if (trace.points > trace.at.length) notes += ` Of ${step(trace.points)} points the lowest and highest of each stretch.`;
  svg.setAttribute("aria-label", `${trace.name}, steps ${step(from)} to ${step(to)}` + (empty ? ": nothing finite"
    : `, between ${number(lowest)} and ${number(highest)}`) + `.${notes} Arrow keys move, plus and minus zoom, 0 shows all.`);
  figure.querySelector("output").value = `steps ${step(from)} to ${step(to)}.${notes}`;
  figure.scale = { x, back: (at) => from + (at - LEFT) / (width - LEFT - RIGHT) * (to - from), trace, a, b, height };
}

function show(figure, from, to) {
  const { run, segment } = figure.dataset, part = view(run, segment), [first, last] = part.whole;
  const width = Math.min(Math.max(to - from, Math.min(4, last - first)), last - first);
  const start = Math.min(Math.max(from, first), last - width);
  part.shown = [start, start + width];
  for (const other of document.querySelectorAll(`figure[data-run="${run}"][data-segment="${segment}"].drawn`)) {
    if (other.offsetParent !== null) draw(other); else other.classList.remove("drawn");
  }
}

function moved(figure, how) {
  const { run, segment } = figure.dataset, part = view(run, segment), [from, to] = part.shown;
  const width = to - from, middle = (from + to) / 2;
  if (how === "in") show(figure, middle - width / 4, middle + width / 4);
  if (how === "out") show(figure, middle - width, middle + width);
  if (how === "left") show(figure, from - width / 4, to - width / 4);
  if (how === "right") show(figure, from + width / 4, to + width / 4);
  if (how === "all") show(figure, ...part.whole);
  if (how === "found") {
    const first = Number(figure.dataset.first), last = Number(figure.dataset.last);
    const room = Math.max(10, (last - first) / 4);
    show(figure, first - room, last + room);
  }
}

function button(tools, figure, text, label, how) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  element.setAttribute("aria-label", label);
  element.title = label;
  element.addEventListener("click", () => moved(figure, how));
  tools.append(element);
}

const KEYS = { "+": "in", "=": "in", "-": "out", "ArrowLeft": "left", "ArrowRight": "right", "0": "all" };
let figures = 0;

function prepare(figure) {
  if (figure.dataset.id) return;
  figure.dataset.id = ++figures;
  const svg = made("svg", { role: "img", tabindex: "0" }, figure);
  const tools = document.createElement("div");
  tools.className = "tools";
  button(tools, figure, "+", "Zoom in", "in");
  button(tools, figure, "\u2212", "Zoom out", "out");
  button(tools, figure, "\u25c0", "Earlier steps", "left");
  button(tools, figure, "\u25b6", "Later steps", "right");
  button(tools, figure, "all", "The whole run", "all");
  if (figure.dataset.first !== undefined) button(tools, figure, "finding", "The steps of the finding", "found");
  tools.append(document.createElement("output"));
  figure.append(tools);
  svg.addEventListener("keydown", (event) => {
    if (!(event.key in KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    moved(figure, KEYS[event.key]);
  });
  const at = (event) => event.clientX - svg.getBoundingClientRect().left;
  let start = null, box = null, cursor = null;
  svg.addEventListener("pointerdown", (event) => {
    start = at(event);
    box = null;
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    const here = at(event), { trace, back, a, b, height, x } = figure.scale;
    if (start !== null && Math.abs(here - start) > 4) {
      box ??= made("rect", { class: "select", y: 0, height }, svg);
      box.setAttribute("x", Math.min(start, here));
      box.setAttribute("width", Math.abs(here - start));
    }
    let i = Math.min(Math.max(below(trace.at, back(here)), a), b - 1);
    if (i > a && back(here) - trace.at[i - 1] < trace.at[i] - back(here)) i--;
    if (i < 0) return;
    if (!cursor?.isConnected) cursor = made("line", { class: "cursor", y1: TOP, y2: height - BOTTOM }, svg);
    cursor.setAttribute("x1", x(trace.at[i]));
    cursor.setAttribute("x2", x(trace.at[i]));
    figure.querySelector("output").value = `step ${step(trace.at[i])}: ${number(trace.of[i])}`;
  });
  svg.addEventListener("pointerup", (event) => {
    const end = at(event);
    if (box && Math.abs(end - start) > 4) {
      const steps = [figure.scale.back(start), figure.scale.back(end)].sort((p, q) => p - q);
      show(figure, ...steps);
    }
    start = box = null;
  });
  svg.addEventListener("pointercancel", () => { box?.remove(); start = box = null; });
  svg.addEventListener("dblclick", () => moved(figure, "all"));
}

function reveal(figure) {
  prepare(figure);
  if (!figure.classList.contains("drawn")) { figure.classList.add("drawn"); draw(figure); }
}

// A figure is drawn when it comes near to the screen, so that a long page is there at once.
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) reveal(entry.target);
}, { rootMargin: "400px" });
for (const figure of document.querySelectorAll("figure")) near.observe(figure);

let wide = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === wide) return;  // a phone's bars come and go
  wide = innerWidth;
  for (const figure of document.querySelectorAll("figure.drawn")) if (figure.offsetParent !== null) draw(figure);
});

// On paper nothing can be opened: what is short is, and all curves of findings are drawn.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details.print:not([open])")];
  for (const part of opened) part.open = true;
  for (const figure of document.querySelectorAll("article figure")) reveal(figure);
});
addEventListener("afterprint", () => { for (const part of opened) part.open = false; });

document.documentElement.dataset.ready = Math.round(performance.now());
})();

// The map: draws what /map/points sends, and marks on it what the list beside it names.
import { Near, colours, outlined, painter, read } from "./map-points.js";

const $ = (id) => document.getElementById(id);
const ROLES = { found: "#c2410c", item: "#c2185b", similar: "#c2185b", path: "#1d4ed8", recommended: "#15803d" };
const DARK_ROLES = { found: "#ffa06b", item: "#ff8ab5", similar: "#ff8ab5", path: "#8ab4ff", recommended: "#7fdc9a" };
const SHAPES = { 1: 3, 2: 2, 4: 1 }; // bit of a mark -> outline
const dark = matchMedia("(prefers-color-scheme: dark)");

// -- the list beside the map ------------------------------------------------------------------

let shown = () => {}; // set once there are points

async function about(address, push = true) {
  let answer;
  try {
    answer = await fetch(address, { headers: { Accept: "text/html" } });
  } catch {
    location.assign(address);
    return;
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const [next, problem] = [page.getElementById("about"), page.querySelector("main .problem, main")];
  const now = $("about");
  if (next) now.replaceWith(document.adoptNode(next));
  else now.replaceChildren(...(problem ? document.adoptNode(problem).childNodes : []));
  if (push) history.pushState(null, "", address);
  $("about").focus({ preventScroll: true });
  $("said").textContent = $("about").querySelector("h1, h2")?.textContent ?? "";
  shown(true);
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-about]");
  if (!form) return;
  event.preventDefault();
  about(`/map?${new URLSearchParams(new FormData(form))}`);
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-about]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  about(link.href);
});
addEventListener("popstate", () => about(location.href, false));

// -- while it is being made -------------------------------------------------------------------

async function wait() {
  const progress = $("progress");
  if (!progress) return;
  try {
    const answer = await fetch("/map", { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (answer.ok && !page.getElementById("progress")) return location.reload();
    const words = page.getElementById("progress")?.textContent;
    if (words && words !== progress.textContent) progress.textContent = words;
  } catch {
    progress.textContent = "The service does not answer; it is asked again.";
  }
  setTimeout(wait, 1500);
}

// -- the map ----------------------------------------------------------------------------------

async function open() {
  const answer = await fetch(`/map/points?v=${$("map").dataset.version}`);
  if (!answer.ok) throw new Error(`the points were not sent (${answer.status})`);
  new Atlas(read(await answer.arrayBuffer()));
}

class Atlas {
  constructor(data) {
    Object.assign(this, { data, box: $("canvases"), near: new Near(data), titles: new Map(), only: new Set(), marked: new Set(), places: [] });
    this.points = painter($("points"), data);
    this.over = $("over").getContext("2d");
    this.view = { x: 32768, y: 32768, scale: 0.01 };
    this.legend();
    this.marks();
    this.colour();
    this.touch();
    new ResizeObserver(() => this.fit()).observe(this.box);
    dark.addEventListener("change", () => this.colour());
    shown = (fly) => this.show(fly);
    this.whole();
    this.show(true);
    $("map-says").textContent = `${data.categories.reduce((sum, one) => sum + one.count, 0).toLocaleString("en")} items, drawn by ${this.points.kind}`;
    $("map").dataset.drawn = this.points.kind;
  }

  // What is drawn, and in which colour.

  wanted = (row) => !(this.data.marks[row] & 128) && (!this.only.size || this.only.has(this.data.codes[row]));

  colour() {
    const { data } = this;
    this.palette = colours(data.categories.length, dark.matches);
    const inks = new Uint8Array(4 * data.marks.length);
    for (let i = 0; i < data.marks.length; i++) {
      if (data.marks[i] & 128) continue;
      const shownHere = this.wanted(i);
      const ink = shownHere ? this.palette[data.codes[i]] : [128, 128, 128];
      inks.set([...ink, shownHere ? 255 : 40], 4 * i);
    }
    this.points.paint(inks);
    document.querySelectorAll("#legend circle").forEach((circle, i) => circle.setAttribute("fill", `rgb(${this.palette[circle.dataset.code].join(" ")})`));
    const edge = dark.matches ? [255, 255, 255, 255] : [0, 0, 0, 255];
    this.points.outline(
      [...this.marked].map((bit) => {
        const rows = [];
        for (let i = 0; i < data.marks.length; i++) if (data.marks[i] & bit && this.wanted(i)) rows.push(i);
        return { rows, shape: SHAPES[bit], edge };
      }),
    );
    this.draw();
  }

  draw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      const size = this.size();
      this.points.draw(this.view, size);
      this.write(size);
    });
  }

  size() {
    const ratio = this.ratio ?? 1;
    const crowd = Math.sqrt(this.data.marks.length / 1000);
    const zoomed = Math.sqrt(this.view.scale / (this.all || this.view.scale));
    return ratio * Math.min(14, Math.max(1.5, (9 / Math.max(1, Math.sqrt(crowd))) * zoomed));
  }

  // What lies over the points: names of categories, and what the list names.

  write(size) {
    const { over, ratio } = this;
    const { width, height } = over.canvas;
    over.clearRect(0, 0, width, height);
    over.font = `600 ${12 * ratio}px system-ui, sans-serif`;
    over.textAlign = "center";
    over.lineJoin = "round";
    const style = getComputedStyle(document.body);
    const [ink, paper] = [style.color, getComputedStyle(this.box).backgroundColor];
    const label = (text, u, v, colour = ink) => {
      over.lineWidth = 3 * ratio;
      over.strokeStyle = paper;
      over.strokeText(text, u, v);
      over.fillStyle = colour;
      over.fillText(text, u, v);
    };
    const taken = [];
    for (const { name, row } of this.places.length ? [] : this.centres) {
      const [u, v] = this.onCanvas(row);
      const text = name.length > 26 ? `${name.slice(0, 25)}…` : name;
      const half = over.measureText(text).width / 2 + 4 * ratio;
      if (taken.some((other) => Math.abs(other.u - u) < other.half + half && Math.abs(other.v - v) < 16 * ratio)) continue;
      taken.push({ u, v, half });
      label(text, u, v);
    }
    const inks = dark.matches ? DARK_ROLES : ROLES;
    const path = this.places.filter(({ role }) => role === "path");
    if (path.length > 1) {
      over.beginPath();
      path.forEach(({ row }, i) => over[i ? "lineTo" : "moveTo"](...this.onCanvas(row)));
      over.strokeStyle = inks.path;
      over.lineWidth = 1.5 * ratio;
      over.globalAlpha = 0.7;
      over.stroke();
      over.globalAlpha = 1;
    }
    const counts = {};
    for (const { role, row } of this.places) {
      const number = (counts[role] = (counts[role] ?? 0) + 1);
      const [u, v] = this.onCanvas(row);
      over.beginPath();
      outlined(over, role === "recommended" ? 2 : role === "item" ? 3 : 1, u, v, size / 2 + (role === "item" ? 8 : 5) * ratio);
      over.fillStyle = over.strokeStyle = inks[role];
      over.lineWidth = 2.5 * ratio;
      over.stroke();
      if (role !== "item") label(String(number), u, v - size / 2 - 8 * ratio, inks[role]);
    }
  }

  onCanvas(row) {
    const { x, y, scale } = this.view;
    const { width, height } = this.over.canvas;
    const [a, b] = [this.data.positions[2 * row], this.data.positions[2 * row + 1]];
    return [width / 2 + (a - x) * scale, height / 2 + (b - y) * scale];
  }

  // Where the view is.

  fit() {
    const box = this.box.getBoundingClientRect();
    this.ratio = Math.min(2, devicePixelRatio || 1);
    for (const canvas of [$("points"), $("over")]) {
      canvas.width = Math.max(1, Math.round(box.width * this.ratio));
      canvas.height = Math.max(1, Math.round(box.height * this.ratio));
    }
    const before = this.all;
    this.all = (0.94 * Math.min($("over").width, $("over").height)) / 65535;
    if (before) this.view.scale *= this.all / before;
    this.draw();
  }

  whole() {
    this.fit();
    this.view = { x: 32768, y: 32768, scale: this.all };
    this.draw();
  }

  zoom(by, u = this.over.canvas.width / 2, v = this.over.canvas.height / 2) {
    const { view } = this;
    const scale = Math.min(this.all * 400, Math.max(this.all * 0.5, view.scale * by));
    view.x += (u - this.over.canvas.width / 2) * (1 / view.scale - 1 / scale);
    view.y += (v - this.over.canvas.height / 2) * (1 / view.scale - 1 / scale);
    view.scale = scale;
    this.draw();
  }

  move(u, v) {
    this.view.x -= u / this.view.scale;
    this.view.y -= v / this.view.scale;
    this.draw();
  }

  // What the list names is marked, and the map goes there.
  show(fly) {
    this.places = [...document.querySelectorAll("#about [data-row]")].map((line) => ({ role: line.dataset.role, row: +line.dataset.row })).filter(({ row }) => row < this.data.marks.length);
    $("map").dataset.places = this.places.length;
    if (fly && this.places.length) this.fly();
    else this.draw();
  }

  fly() {
    const at = (axis) => this.places.map(({ row }) => this.data.positions[2 * row + axis]);
    const [xs, ys] = [at(0), at(1)];
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const room = 1.35 * Math.max((right - left) / this.over.canvas.width, (bottom - top) / this.over.canvas.height, 2500 / this.over.canvas.width);
    const to = { x: (left + right) / 2, y: (top + bottom) / 2, scale: Math.max(this.all, 1 / room) };
    const from = { ...this.view };
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const start = performance.now();
    const step = (now) => {
      const t = still ? 1 : Math.min(1, (now - start) / 450);
      const s = t * t * (3 - 2 * t);
      this.view = { x: from.x + (to.x - from.x) * s, y: from.y + (to.y - from.y) * s, scale: from.scale * (to.scale / from.scale) ** s };
      this.draw();
      if (t < 1 && this.flight === step) requestAnimationFrame(step);
    };
    this.flight = step;
    requestAnimationFrame(step);
  }

  // What can be touched.

  touch() {
    const { box } = this;
    const fingers = new Map();
    const place = (event) => {
      const edge = box.getBoundingClientRect();
      return [(event.clientX - edge.left) * this.ratio, (event.clientY - edge.top) * this.ratio];
    };
    const onMap = (event) => !event.target.closest("button");
    box.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.flight = null;
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...place(event));
    }, { passive: false });
    box.addEventListener("pointerdown", (event) => {
      if (!onMap(event)) return;
      this.flight = null;
      fingers.set(event.pointerId, place(event));
      this.dragged = 0;
      box.setPointerCapture(event.pointerId);
    });
    box.addEventListener("pointermove", (event) => {
      const [u, v] = place(event);
      const before = fingers.get(event.pointerId);
      if (!before) return this.hover(u, v);
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
      this.dragged += Math.hypot(u - before[0], v - before[1]);
      if (other) {
        const grown = Math.hypot(u - other[0], v - other[1]) / Math.max(1, Math.hypot(before[0] - other[0], before[1] - other[1]));
        this.zoom(grown, (u + other[0]) / 2, (v + other[1]) / 2);
      } else this.move(u - before[0], v - before[1]);
      box.classList.toggle("moved", this.dragged > 4);
      fingers.set(event.pointerId, [u, v]);
    });
    const up = (event) => {
      const was = fingers.delete(event.pointerId);
      box.classList.remove("moved");
      if (was && event.type === "pointerup" && this.dragged < 5) this.choose(...place(event));
    };
    for (const name of ["pointerup", "pointercancel"]) box.addEventListener(name, up);
    box.addEventListener("pointerleave", () => ($("tip").hidden = true));
    for (const button of box.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => (+button.dataset.zoom ? this.zoom(+button.dataset.zoom) : this.whole()));
    }
    const keys = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    box.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (keys[event.key]) this.move(...keys[event.key].map((d) => d * this.ratio));
      else if (event.key === "+" || event.key === "=") this.zoom(1.4);
      else if (event.key === "-") this.zoom(1 / 1.4);
      else if (event.key === "0") this.whole();
      else return;
      event.preventDefault();
    });
  }

  at(u, v) {
    const { view } = this;
    const { width, height } = this.over.canvas;
    return this.near.nearest(view.x + (u - width / 2) / view.scale, view.y + (v - height / 2) / view.scale, (10 * this.ratio) / view.scale, this.wanted);
  }

  async choose(u, v) {
    const row = this.at(u, v);
    if (row < 0) return;
    const found = await this.title(row);
    if (found) about(`/map?${new URLSearchParams({ item: found.id })}`);
  }

  hover(u, v) {
    const row = this.at(u, v);
    const tip = $("tip");
    tip.hidden = tip.hidden || row < 0;
    if (row === this.hovered && row >= 0 && !tip.hidden) return;
    this.hovered = row;
    clearTimeout(this.asking);
    if (row < 0) return;
    this.asking = setTimeout(async () => {
      const found = await this.title(row);
      if (!found || this.hovered !== row) return;
      const category = document.createElement("span");
      category.textContent = found.category;
      tip.replaceChildren(found.title, category);
      const [x, y] = this.onCanvas(row).map((d) => d / this.ratio);
      tip.style.left = `${Math.max(4, Math.min(x + 12, this.box.clientWidth - 200))}px`;
      tip.style.top = `${Math.max(4, Math.min(y + 12, this.box.clientHeight - 60))}px`;
      tip.hidden = false;
    }, this.titles.has(row) ? 0 : 70);
  }

  async title(row) {
    if (!this.titles.has(row)) {
      const asked = new URLSearchParams({ generation: this.data.generation, rows: row });
      const answer = await fetch(`/map/titles?${asked}`).catch(() => null);
      if (answer?.status === 409) return void location.reload();
      if (!answer?.ok) return undefined;
      if (this.titles.size > 5000) this.titles.clear();
      this.titles.set(row, (await answer.json()).items[0]);
    }
    return this.titles.get(row);
  }

  // What the colours and outlines mean.

  legend() {
    const { categories } = this.data;
    const order = categories.map((one, code) => ({ ...one, code })).filter(({ count }) => count).sort((a, b) => b.count - a.count);
    const chips = order.map(({ name, count, code }) => {
      const chip = choice(`${name} (${count.toLocaleString("en")})`, (on) => {
        this.only[on ? "add" : "delete"](code);
        this.colour();
      });
      chip.prepend(swatch("circle", { cx: 6, cy: 6, r: 5, "data-code": code }));
      return chip;
    });
    document.querySelector("#legend .chips").replaceChildren(...chips);
    $("legend").hidden = false;
    this.centres = order.slice(0, 12).map(({ name, code }) => ({ name, row: this.densest(code) }));
  }

  // A point of a category where most of it lies.
  densest(code) {
    const { positions, codes, marks } = this.data;
    const side = 24;
    const counts = new Map();
    for (let i = 0; i < marks.length; i++) {
      if (codes[i] !== code || marks[i] & 128) continue;
      const square = ((positions[2 * i] * side) >> 16) * side + ((positions[2 * i + 1] * side) >> 16);
      const found = counts.get(square) ?? [0, i];
      found[0]++;
      counts.set(square, found);
    }
    return [...counts.values()].reduce((best, one) => (one[0] > best[0] ? one : best), [0, 0])[1];
  }

  marks() {
    const chips = this.data.marks_told.map(({ bit, words, count }) => {
      const chip = choice(`${words} (${count.toLocaleString("en")})`, (on) => {
        this.marked[on ? "add" : "delete"](bit);
        this.colour();
      });
      const shapes = { 1: ["path", { d: "M6 1 11 6 6 11 1 6Z" }], 2: ["rect", { x: 1.5, y: 1.5, width: 9, height: 9 }], 4: ["circle", { cx: 6, cy: 6, r: 4.5 }] };
      chip.prepend(swatch(shapes[bit][0], { ...shapes[bit][1], fill: "none", stroke: "currentColor", "stroke-width": 2 }));
      return chip;
    });
    document.querySelector("#marks .chips").replaceChildren(...chips);
    $("marks").hidden = false;
  }
}

function choice(words, changed) {
  const chip = document.createElement("label");
  chip.className = "chip";
  const box = document.createElement("input");
  box.type = "checkbox";
  box.addEventListener("change", () => changed(box.checked));
  const text = document.createElement("span");
  text.append(Object.assign(document.createElement("bdi"), { textContent: words }));
  chip.append(box, text);
  return chip;
}

function swatch(name, attributes) {
  const make = (tag, of) => {
    const found = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(of)) found.setAttribute(key, value);
    return found;
  };
  const drawing = make("svg", { width: 12, height: 12, viewBox: "0 0 12 12", class: "swatch", "aria-hidden": "true" });
  drawing.append(make(name, attributes));
  return drawing;
}

if ($("map")?.dataset.version) {
  open().catch((error) => ($("map-says").textContent = `The map cannot be shown: ${error.message}`));
} else wait();

// Points on a canvas: WebGL where there is any, else a plain image. Nothing here knows of the page.

const VERTEX = `
attribute vec2 at; attribute vec4 colour;
uniform vec2 middle, scale; uniform float size;
varying vec4 ink;
void main() {
  ink = colour;
  gl_Position = colour.a == 0.0 ? vec4(2.0, 2.0, 2.0, 1.0) : vec4((at - middle) * scale, 0.0, 1.0);
  gl_PointSize = size;
}`;
const FRAGMENT = `
precision highp float;
uniform float shape, size; uniform vec4 edge;
varying vec4 ink;
void main() {
  vec2 off = abs(gl_PointCoord - 0.5) * 2.0;
  float far = shape == 2.0 ? max(off.x, off.y) : shape == 3.0 ? off.x + off.y : length(off);
  if (far > 1.0 || (shape > 0.0 && far < 1.0 - 4.0 / size)) discard;
  gl_FragColor = shape > 0.0 ? edge : ink;
}`;

// What the service sends: see Points in mapping.py.
export function read(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const n = header.items;
  let from = 4 + length;
  const positions = new Uint16Array(buffer, from, 2 * n);
  const codes = new Uint16Array(buffer, (from += 4 * n), n);
  const marks = new Uint8Array(buffer, (from += 2 * n), n);
  return { ...header, positions, codes, marks };
}

// n colours as far from each other as they can be, for a light or a dark ground: OKLCH to sRGB
// (Ottosson 2020).
export function colours(n, dark) {
  return Array.from({ length: n }, (_, i) => {
    const hue = (i * 137.508 * Math.PI) / 180;
    const light = (dark ? 0.76 : 0.6) + [0, 0.1, -0.1][i % 3];
    const [a, b] = [0.135 * Math.cos(hue), 0.135 * Math.sin(hue)];
    const l = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3;
    const m = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3;
    const s = (light - 0.0894841775 * a - 1.291485548 * b) ** 3;
    return [
      4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
      -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
      -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
    ].map((c) => Math.round(255 * Math.min(1, Math.max(0, c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055))));
  });
}

// Which point is nearest to a place: the points sorted into squares.
export class Near {
  constructor({ positions, marks }, side = 256) {
    this.positions = positions;
    this.side = side;
    const n = marks.length;
    const square = new Uint32Array(n);
    this.starts = new Uint32Array(side * side + 1);
    for (let i = 0; i < n; i++) {
      square[i] = marks[i] & 128 ? side * side : this.of(positions[2 * i]) + side * this.of(positions[2 * i + 1]);
      if (square[i] < side * side) this.starts[square[i] + 1]++;
    }
    for (let s = 0; s < side * side; s++) this.starts[s + 1] += this.starts[s];
    const next = this.starts.slice();
    this.rows = new Uint32Array(this.starts[side * side]);
    for (let i = 0; i < n; i++) if (square[i] < side * side) this.rows[next[square[i]]++] = i;
  }

  of(value) {
    return Math.min(this.side - 1, (value * this.side) >> 16);
  }

  // The row nearest to (x, y), at most `reach` away and wanted; -1 = there is none.
  nearest(x, y, reach, wanted) {
    let [best, least] = [-1, reach * reach];
    const clip = (value) => this.of(Math.min(65535, Math.max(0, value)));
    for (let v = clip(y - reach); v <= clip(y + reach); v++) {
      for (let u = clip(x - reach); u <= clip(x + reach); u++) {
        for (let s = this.starts[u + v * this.side]; s < this.starts[u + v * this.side + 1]; s++) {
          const row = this.rows[s];
          const d = (this.positions[2 * row] - x) ** 2 + (this.positions[2 * row + 1] - y) ** 2;
          if (d < least && wanted(row)) [best, least] = [row, d];
        }
      }
    }
    return best;
  }
}

// Draws points; view = {x, y, scale}: what lies in the middle, and canvas pixels for each unit.
export function painter(canvas, data) {
  const gl = canvas.getContext("webgl", { antialias: false, alpha: true, premultipliedAlpha: false });
  return gl ? new Drawn(gl, canvas, data) : new Plotted(canvas, data);
}

class Drawn {
  constructor(gl, canvas, { positions, marks }) {
    Object.assign(this, { gl, canvas, n: marks.length, kind: "WebGL" });
    const program = gl.createProgram();
    for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    const uniforms = {};
    this.uniform = (name) => (uniforms[name] ??= gl.getUniformLocation(program, name));
    const attribute = (name, type, size, content) => {
      const place = gl.getAttribLocation(program, name);
      const buffer = gl.createBuffer();
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      if (content) gl.bufferData(gl.ARRAY_BUFFER, content, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, size, type, true, 0, 0);
      return buffer;
    };
    attribute("at", gl.UNSIGNED_SHORT, 2, positions);
    this.inks = attribute("colour", gl.UNSIGNED_BYTE, 4, new Uint8Array(4 * this.n));
    this.rings = gl.createBuffer();
    this.groups = [];
  }

  // (n, 4) bytes; what has alpha 0 is not drawn.
  paint(inks) {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.inks);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, inks, this.gl.STATIC_DRAW);
  }

  // [{rows, shape, edge}]: outlines around rows.
  outline(groups) {
    const rows = [].concat(...groups.map((group) => Array.from(group.rows)));
    let from = 0;
    this.groups = groups.map((group) => ({ ...group, from: (from += group.rows.length) - group.rows.length }));
    // WebGL 1 has 16 bits for an index without an extension, which is there wherever it is.
    this.gl.getExtension("OES_element_index_uint");
    this.gl.bindBuffer(this.gl.ELEMENT_ARRAY_BUFFER, this.rings);
    this.gl.bufferData(this.gl.ELEMENT_ARRAY_BUFFER, new Uint32Array(rows), this.gl.STATIC_DRAW);
  }

  draw({ x, y, scale }, size) {
    const { gl, canvas } = this;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.uniform2f(this.uniform("middle"), x / 65535, y / 65535);
    gl.uniform2f(this.uniform("scale"), (2 * 65535 * scale) / canvas.width, (-2 * 65535 * scale) / canvas.height);
    gl.uniform1f(this.uniform("size"), size);
    gl.uniform1f(this.uniform("shape"), 0);
    gl.drawArrays(gl.POINTS, 0, this.n);
    gl.uniform1f(this.uniform("size"), size + 8);
    for (const { rows, shape, edge, from } of this.groups) {
      gl.uniform1f(this.uniform("shape"), shape);
      gl.uniform4fv(this.uniform("edge"), edge.map((c) => c / 255));
      gl.drawElements(gl.POINTS, rows.length, gl.UNSIGNED_INT, 4 * from);
    }
  }
}

class Plotted {
  constructor(canvas, { positions, marks }) {
    Object.assign(this, { canvas, positions, n: marks.length, groups: [], kind: "a plain canvas" });
    this.brush = canvas.getContext("2d");
  }

  paint(inks) {
    this.inks = new Uint32Array(inks.buffer);
  }

  outline(groups) {
    this.groups = groups;
  }

  draw({ x, y, scale }, size) {
    const { width, height } = this.canvas;
    if (!width || !height) return;
    const image = this.brush.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const [left, top, side] = [width / 2 - x * scale, height / 2 - y * scale, Math.max(1, Math.round(size))];
    for (let i = 0; i < this.n; i++) {
      const ink = this.inks[i];
      if (!(ink >>> 24)) continue;
      const u = Math.round(left + this.positions[2 * i] * scale - side / 2);
      const v = Math.round(top + this.positions[2 * i + 1] * scale - side / 2);
      if (u < 0 || v < 0 || u + side > width || v + side > height) continue;
      for (let b = v; b < v + side; b++) pixels.fill(ink, b * width + u, b * width + u + side);
    }
    this.brush.putImageData(image, 0, 0);
    for (const { rows, shape, edge } of this.groups) {
      this.brush.strokeStyle = `rgb(${edge.slice(0, 3).join(" ")})`;
      this.brush.lineWidth = 1.5;
      this.brush.beginPath();
      for (const row of rows) outlined(this.brush, shape, left + this.positions[2 * row] * scale, top + this.positions[2 * row + 1] * scale, size / 2 + 4);
      this.brush.stroke();
    }
  }
}

// A ring (1), a square (2) or a diamond (3).
export function outlined(brush, shape, u, v, r) {
  if (shape === 1) {
    brush.moveTo(u + r, v);
    brush.arc(u, v, r, 0, 2 * Math.PI);
  } else if (shape === 2) {
    brush.rect(u - r, v - r, 2 * r, 2 * r);
  } else {
    brush.moveTo(u, v - r);
    for (const [a, b] of [[r, 0], [0, r], [-r, 0], [0, -r]]) brush.lineTo(u + a, v + b);
  }
}

// The panels of an experiment, drawn in the browser. Each kind has a class with `element` and `show(panel, next, mix)`:
// what the panel is now, what it is at the next moment, and how far the time between the two has gone, from 0 to 1.
import { bytesOf, make } from "../shared/dom.js";
import { counted, t } from "../shared/words.js";

const LEVELS = 65535;
const LYING = 8; // more bars than that stand
const STANDING = 3; // fewer lie
const THICK = 44; // a line of lying ones at most
const FEW = 4; // more pictures than that are small
const SPOKEN = 20; // more bars than that are not read out

export function panelOf(kind) { return new KINDS[kind](); }

class Drawn {
  constructor(size) {
    this.canvas = make("canvas", { role: "img", className: size });
    this.title = make("figcaption");
    this.element = make("figure", { className: "panel" }, this.title, this.canvas);
  }

  show(panel, next = panel, mix = 0) {
    const { canvas } = this, ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    }
    const title = counted(panel.title);
    if (this.title.textContent !== title) this.title.textContent = title;
    canvas.setAttribute("aria-label", this.described(panel));
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    this.draw(pen, width, height, panel, next, mix, inks(canvas));
  }

  described(panel) { return counted(panel.title); }
}

// A square of the plane, in the middle of its canvas.
class Plane extends Drawn {
  constructor() { super("plane"); }

  show(panel, ...more) {
    this.box = panel.box;
    super.show(panel, ...more);
  }

  // Where in the plane a click lies, [x, y].
  placeOf({ offsetX, offsetY }) {
    const { canvas: { clientWidth: width, clientHeight: height }, box: [left, right, bottom, top] } = this;
    const side = Math.min(width, height), margin = (width - side) / 2;
    return [left + ((offsetX - margin) / side) * (right - left), top - (offsetY / side) * (top - bottom)];
  }
}

class Points extends Plane {
  draw(pen, width, height, panel, next, mix, ink) {
    const from = places(panel), to = next.at && next.at.length === panel.at.length ? places(next) : from;
    const side = Math.min(width, height), left = (width - side) / 2, scale = side / LEVELS;
    pen.fillStyle = ink.accent;
    pen.globalAlpha = from.length > 2000 ? 0.6 : 0.8;
    for (let i = 0; i < from.length; i += 2) {
      const x = left + scale * (from[i] + mix * (to[i] - from[i]));
      const y = side - scale * (from[i + 1] + mix * (to[i + 1] - from[i + 1]));
      pen.fillRect(x - 1, y - 1, 2, 2);
    }
    pen.globalAlpha = 1;
  }
}

class Arrows extends Plane {
  draw(pen, width, height, panel, next, mix, ink) {
    const [left, right, bottom, top] = panel.box, side = Math.min(width, height);
    const unit = side / (right - left), margin = (width - side) / 2;
    const longest = Math.max(...[panel.learned, panel.exact ?? []].flat().map(([x, y]) => Math.hypot(x, y)), 1e-9);
    const reach = (0.9 * (right - left)) / Math.sqrt(panel.at.length);
    for (const [vectors, colour] of [[panel.exact, ink.quiet], [panel.learned, ink.accent]]) {
      if (!vectors) continue;
      pen.strokeStyle = colour;
      pen.lineWidth = colour === ink.quiet ? 3 : 1.5;
      pen.beginPath();
      vectors.forEach(([dx, dy], i) => {
        const [x, y] = panel.at[i], stretch = reach / longest;
        const [x0, y0] = [margin + (x - left) * unit, side - (y - bottom) * unit];
        const [x1, y1] = [x0 + dx * stretch * unit, y0 - dy * stretch * unit], turn = Math.atan2(y1 - y0, x1 - x0);
        const head = Math.min(5, Math.hypot(x1 - x0, y1 - y0) / 2);
        pen.moveTo(x0, y0);
        pen.lineTo(x1, y1);
        for (const side of [2.6, -2.6]) {
          pen.moveTo(x1, y1);
          pen.lineTo(x1 + head * Math.cos(turn + side), y1 + head * Math.sin(turn + side));
        }
      });
      pen.stroke();
    }
    if (panel.exact) legend(pen, width, [[t("exact"), ink.quiet], [t("learned"), ink.accent]], ink);
  }
}

class Curve extends Drawn {
  constructor() { super("middle"); }

  draw(pen, width, height, panel, next, mix, ink) {
    const scaled = (y) => (y === null || (panel.logarithmic && y <= 0) ? null : panel.logarithmic ? Math.log10(y) : y);
    const lines = Object.entries(panel.y).map(([name, y]) => [name, y.map(scaled)]);
    const known = lines.flatMap(([, y]) => y).filter((y) => y !== null);
    pen.font = ink.font;
    const marks = [0, 0.5, 1], x = ends(panel.x), y = ends(known);
    const marked = marks.map((part) => y[0] + part * (y[1] - y[0]));
    const said = marked.map((at) => short(panel.logarithmic ? 10 ** at : at));
    const longest = Math.max(...said.map((text) => pen.measureText(text).width));
    const box = { left: Math.max(52, longest + 14), right: width - 12, top: 12, bottom: height - 34 };
    const atX = (value) => box.left + ((value - x[0]) / (x[1] - x[0] || 1)) * (box.right - box.left);
    const atY = (value) => box.bottom - ((value - y[0]) / (y[1] - y[0] || 1)) * (box.bottom - box.top);
    pen.fillStyle = ink.quiet;
    pen.strokeStyle = ink.line;
    pen.lineWidth = 1;
    pen.textBaseline = "middle";
    marks.forEach((part, i) => {
      const at = marked[i];
      pen.beginPath();
      pen.moveTo(box.left, atY(at));
      pen.lineTo(box.right, atY(at));
      pen.stroke();
      pen.textAlign = "right";
      pen.fillText(said[i], box.left - 6, atY(at));
      pen.textAlign = ["left", "center", "right"][2 * part];
      pen.fillText(short(x[0] + part * (x[1] - x[0])), atX(x[0] + part * (x[1] - x[0])), box.bottom + 10);
    });
    pen.textAlign = "center";
    pen.fillText(counted(panel.x_title), (box.left + box.right) / 2, box.bottom + 25);
    const colours = [ink.accent, ink.text, ink.quiet, ink.alarm, ink.soft];
    lines.forEach(([, values], i) => {
      pen.strokeStyle = colours[i % colours.length];
      pen.setLineDash(i < colours.length ? [] : [4, 3]);
      pen.lineWidth = 1.75;
      pen.beginPath();
      let drawn = false;
      values.forEach((value, place) => {
        if (value === null) drawn = false;
        else {
          pen[drawn ? "lineTo" : "moveTo"](atX(panel.x[place]), atY(value));
          drawn = true;
        }
      });
      pen.stroke();
    });
    pen.setLineDash([]);
    const named = lines.map(([name], i) => [counted(name), colours[i % colours.length]]);
    if (named.length > 1) legend(pen, width, named, ink);
  }

  described(panel) {
    const last = Object.entries(panel.y).map(([name, y]) => `${counted(name)} ${short(y.at(-1) ?? NaN)}`);
    return `${counted(panel.title)}. ${counted(panel.y_title)}: ${last.join(", ")}`;
  }
}

// Upright where there are many or their names are short, lying where a name needs room.
class Bars extends Drawn {
  constructor() { super("low"); }

  draw(pen, width, height, panel, next, mix, ink) {
    const values = panel.values.map(([name, value]) => [counted(name), value ?? 0]);
    const [low, high] = ends([0, ...values.map(([, value]) => value)]), all = high - low || 1;
    pen.font = ink.font;
    pen.textBaseline = "middle";
    const longest = Math.max(...values.map(([name]) => pen.measureText(name).width));
    const lies = values.length < STANDING || (values.length <= LYING && longest > width / values.length - 8);
    if (lies) this.#lie(pen, width, height, values, low, all, ink);
    else this.#stand(pen, width, height, values, high, all, ink);
    pen.textAlign = "left";
    pen.fillStyle = ink.quiet;
    pen.fillText(counted(panel.unit), 6, 10);
  }

  #lie(pen, width, height, values, low, all, ink) {
    const line = Math.min(THICK, (height - 24) / values.length), room = (width - 72) / all, zero = 12 - low * room;
    values.forEach(([name, value], i) => {
      const top = 20 + i * line;
      pen.textAlign = "left";
      pen.fillStyle = ink.text;
      pen.fillText(name, 12, top + line / 4);
      pen.fillStyle = ink.accent;
      pen.fillRect(Math.min(zero, zero + value * room), top + line / 2, Math.max(1, Math.abs(value * room)), line / 3);
      pen.fillStyle = ink.quiet;
      pen.fillText(short(value), Math.max(zero, zero + value * room) + 6, top + (2 * line) / 3);
    });
  }

  #stand(pen, width, height, values, high, all, ink) {
    const space = (width - 12) / values.length, every = Math.ceil(48 / space), tall = height - 66;
    const zero = 42 + (high / all) * tall;
    pen.textAlign = "center";
    values.forEach(([name, value], i) => {
      const top = (value / all) * tall, middle = 6 + (i + 0.5) * space;
      pen.fillStyle = ink.accent;
      pen.fillRect(6 + i * space + 1, Math.min(zero, zero - top), Math.max(1, space - 2), Math.max(1, Math.abs(top)));
      pen.fillStyle = ink.quiet;
      if (i % every) return;
      pen.fillText(name, Math.min(middle, width - 6 - pen.measureText(name).width / 2), height - 8);
      if (values.length <= LYING) pen.fillText(short(value), middle, Math.min(zero, zero - top) - 8);
    });
  }

  described(panel) {
    const values = panel.values.slice(0, SPOKEN);
    const said = values.map(([name, value]) => `${counted(name)} ${short(value ?? NaN)}`);
    return `${counted(panel.title)}. ${counted(panel.unit)}: ${said.join(", ")}`;
  }
}

// A strip of pictures, cut into one canvas each, with its caption: a few side by side, many in a square.
class Images {
  #shown = null;

  constructor() {
    this.title = make("figcaption");
    this.row = make("div", { className: "row" });
    this.element = make("figure", { className: "panel pictures" }, this.title, this.row);
  }

  async show(panel) {
    if (this.#shown === panel) return;
    this.#shown = panel;
    this.title.textContent = counted(panel.title);
    const { count, width, height, captions } = panel, strip = await picture(panel.strip);
    this.element.classList.toggle("many", count > FEW);
    this.element.classList.toggle("one", count === 1);
    if (this.#shown !== panel) return;
    while (this.row.children.length > count) this.row.lastChild.remove();
    while (this.row.children.length < count) {
      this.row.append(make("div", {}, make("canvas", { role: "img" }), make("small")));
    }
    [...this.row.children].forEach((cell, i) => {
      const [canvas, caption] = cell.children, said = captions[i] ? counted(captions[i]) : "";
      if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
      canvas.setAttribute("aria-label", said || `${i + 1}`);
      canvas.getContext("2d").drawImage(strip, i * width, 0, width, height, 0, 0, width, height);
      if (caption.textContent !== said) caption.textContent = said;
    });
  }
}

class Heat {
  constructor() {
    this.title = make("figcaption");
    this.image = make("img", { className: "heat" });
    this.scale = make("small");
    this.element = make("figure", { className: "panel" }, this.title, this.image, this.scale);
  }

  show(panel) {
    if (this.image.src === panel.picture) return;
    this.title.textContent = counted(panel.title);
    this.image.src = panel.picture;
    this.image.alt = `${counted(panel.title)}. ${counted(panel.x_title)}, ${counted(panel.y_title)}`;
    this.scale.textContent = t("→ {x}, ↓ {y}; dark {low}, bright {high}", {
      low: short(panel.low), high: short(panel.high), x: counted(panel.x_title), y: counted(panel.y_title),
    });
  }
}

class Sound {
  #url = null;
  #shown = null;

  constructor() {
    this.title = make("figcaption");
    this.audio = make("audio", { controls: true, preload: "metadata" });
    this.element = make("figure", { className: "panel" }, this.title, this.audio);
  }

  show(panel) {
    if (this.#shown === panel.audio) return;
    this.#shown = panel.audio;
    this.title.textContent = counted(panel.title);
    this.destroy();
    this.#url = URL.createObjectURL(new Blob([bytesOf(panel.audio)], { type: "audio/flac" }));
    this.audio.src = this.#url;
    this.audio.setAttribute("aria-label", counted(panel.title));
  }

  destroy() { if (this.#url) URL.revokeObjectURL(this.#url); }
}

const KINDS = { points: Points, arrows: Arrows, curve: Curve, bars: Bars, images: Images, heat: Heat, sound: Sound };

// The places of a cloud, x and y in turn; decoded once.
const decoded = new WeakMap();
function places(panel) {
  let at = decoded.get(panel);
  if (!at) decoded.set(panel, at = new Uint16Array(bytesOf(panel.at).buffer));
  return at;
}

function picture(uri) {
  const image = new Image();
  image.src = uri;
  return image.decode().then(() => image);
}

// The colours of the ground that a canvas lies on.
function inks(canvas) {
  const style = getComputedStyle(canvas), of = (name) => style.getPropertyValue(name);
  return {
    accent: style.accentColor === "auto" ? style.color : style.accentColor, text: style.color,
    quiet: style.outlineColor, line: style.borderTopColor, alarm: style.caretColor, soft: style.textDecorationColor,
    font: `12px ${of("font-family")}`,
  };
}

function legend(pen, width, entries, ink) {
  pen.font = ink.font;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  entries.forEach(([name, colour], i) => {
    pen.fillStyle = colour;
    pen.fillText(name, width - 14, 20 + 15 * i);
  });
}

function ends(values) {
  return values.reduce(([low, high], each) => [Math.min(low, each), Math.max(high, each)], [Infinity, -Infinity]);
}

export function short(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  return size !== 0 && (size >= 1e5 || size < 1e-3) ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

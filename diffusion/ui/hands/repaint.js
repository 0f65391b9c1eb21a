// Repaint: parts of the picture are painted over and composed anew, and all else stays.
import { bytesOf, make } from "../shared/dom.js";
import { t } from "../shared/words.js";
import { Mask } from "./mask.js";
import { choice, Tool } from "./tool.js";

const SIZES_PX = [5, 9, 14, 22, 34]; // radius of the brush
const STEP_PX = 3; // between two spots of a stroke
const DOUBTED = 0.15; // the share of what is heard in which the model doubts
const ASK_MS = 300;
const [MASK, EDGE, DOUBT] = [[255, 255, 255, 56], [255, 255, 255, 235], [110, 190, 255]]; // red, green, blue, alpha
const SEEDS = 2 ** 32;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const [ACROSS, UP] = [80, 48]; // so many moves of the cursor from one end to the other

export class Repaint extends Tool {
  #mask = null;
  #brush = "rectangle"; // or brush, harmonics, erase
  #last = null; // {x, y}: where the stroke is, as shares of width and height from the bottom left
  #corner = null; // where a rectangle was begun
  #cursor = { x: 0.5, y: 0.5 }; // of the keyboard
  #keyed = false; // whether the keyboard paints
  #doubt = null; // {run, values, most_db} of the clip on show
  #timer = null;

  constructor(hands) {
    super(hands, {
      id: "repaint",
      text: t("Repaint"),
      help: t("Paint over a part of the picture, and compose only that anew."),
    });
    this.#build();
    const { paper } = this;
    this.on(this, "open", () => this.#opened());
    this.on(this, "close", () => {
      paper.hidden = true;
      this.#hideDoubt();
    });
    this.on(hands.pitch, "change", () => this.#draw());
    this.on(this.canvas, "clip", () => this.#another());
    this.on(paper, "pointerdown", (event) => this.#down(event));
    this.on(paper, "pointermove", (event) => this.#move(event));
    this.on(paper, "pointerup pointercancel", () => this.#up());
    this.on(paper, "keydown", (event) => this.#key(event));
    this.on(paper, "focus", () => { this.#keyed = paper.matches(":focus-visible"); this.#draw(); });
    this.on(paper, "blur", () => { this.#keyed = false; this.#draw(); });
  }

  look() {
    super.look();
    const nothing = !this.#mask || this.#mask.empty ? t("Paint on the picture first.") : null;
    this.allow(this.go, this.obstacle ?? nothing, t("Compose what is painted anew; all else stays as it is"));
    this.allow(this.undoing, this.#mask?.undoable ? null : t("There is nothing to undo."), t("Undo the last stroke"));
    this.allow(this.clearing, nothing, t("Paint nothing"));
    const unsure = this.hands.facts.doubts ? this.obstacle : t("This model has not learned how sure it is.");
    this.allow(this.doubting, unsure, t("Show how unsure the model was of each place"));
    const help = t("Of what is heard, paint the {share} % of which the model was least sure", { share: 100 * DOUBTED });
    this.allow(this.taking, unsure, help);
  }

  #opened() {
    const { panes } = this;
    if (panes.dataset.view === "noise") this.canvas.find(".views [data-view=belief]").click();
    this.paper.hidden = false;
    this.#fit();
    this.#draw();
  }

  // Another clip is on: what was painted stays if it fits, unless it is what has just been composed.
  #another() {
    const { settings: { edits = {} } } = this.hands.clip;
    this.#doubt = null;
    this.#hideDoubt();
    this.#fit();
    if (edits.inpaint) this.#mask.clear();
    this.#draw();
  }

  #fit() {
    const { bands } = this.hands.pitch, frames = this.#frames;
    if (this.#mask?.frames !== frames) this.#mask = new Mask(bands, frames);
  }

  get panes() { return this.canvas.find(".panes"); }
  get #frames() { return Math.round((this.hands.clip?.settings.duration_s ?? 0) * this.hands.facts.frames_per_s); }
  get #wish() {
    return { edits: { inpaint: { mask: this.#mask.packed } }, changes: { seed: Math.floor(Math.random() * SEEDS) } };
  }

  // By hand.

  #down(event) {
    if (event.button || this.obstacle) return;
    this.paper.setPointerCapture(event.pointerId);
    this.#begin(this.#at(event));
  }

  #move(event) {
    if (!this.#last) return;
    const between = event.getCoalescedEvents?.() ?? [];
    for (const each of between.length ? between : [event]) this.#stroke(this.#at(each));
    this.#draw();
  }

  #up() {
    if (!this.#last) return;
    this.#last = this.#corner = null;
    this.#done();
  }

  #at({ clientX, clientY }) {
    const box = this.paper.getBoundingClientRect(), within = (value) => Math.min(Math.max(value, 0), 0.9999);
    return { x: within((clientX - box.left) / box.width), y: within(1 - (clientY - box.top) / box.height) };
  }

  #begin(place) {
    this.#mask.begin();
    this.#last = this.#corner = place;
    this.#stroke(place);
    this.#draw();
  }

  // On from where the stroke is.
  #stroke(to) {
    if (this.#brush === "rectangle") {
      this.#mask.again();
      this.#rectangle(this.#corner, to);
    } else {
      const box = this.paper.getBoundingClientRect(), { x, y } = this.#last;
      const steps = Math.ceil(Math.hypot((to.x - x) * box.width, (to.y - y) * box.height) / STEP_PX) || 1;
      for (let i = 1; i <= steps; i += 1) this.#spot(x + ((to.x - x) * i) / steps, y + ((to.y - y) * i) / steps, box);
    }
    this.#last = to;
  }

  #rectangle(from, to) {
    const { pitch } = this.hands, [low, high] = [from.y, to.y].sort((a, b) => a - b).map((y) => pitch.bandAt(y));
    const [begin, end] = [from.x, to.x].sort((a, b) => a - b).map((x) => Math.floor(x * this.#mask.frames));
    this.#mask.fill(low, high, begin, end);
  }

  #spot(x, y, { width, height }) {
    const { pitch } = this.hands, radius = SIZES_PX[Number(this.size.value)], frame = x * this.#mask.frames;
    const wide = (radius / width) * this.#mask.frames;
    if (this.#brush === "harmonics") this.#mask.harmonics(pitch, frame, pitch.hzAt(y), wide);
    else this.#mask.spot(pitch, frame, y, wide, radius / height, this.#brush === "erase" ? 0 : 1);
  }

  // A stroke is done, or taken back.
  #done() {
    this.#draw();
    this.look();
    this.#ask();
  }

  // By keyboard: the arrow keys move a cursor, the space bar paints there. For a rectangle it sets both corners.

  #key(event) {
    const move = MOVES[event.key];
    if (move) this.#step(move, event.shiftKey ? 4 : 1);
    else if (event.key === " ") this.#press();
    else if (event.key === "Escape" && this.#corner) this.#giveUp();
    else if (event.key === "Escape") { this.toggle(false); this.button.focus(); }
    else if (event.key === "z" && (event.ctrlKey || event.metaKey)) this.#undo();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #step([across, up], times) {
    const within = (value) => Math.min(Math.max(value, 0), 0.9999), { x, y } = this.#cursor;
    this.#cursor = { x: within(x + (across * times) / ACROSS), y: within(y + (up * times) / UP) };
    if (this.#corner) this.#stroke(this.#cursor);
    this.#keyed = true;
    this.#draw();
    const s = (this.#cursor.x * this.hands.clip.settings.duration_s).toFixed(1);
    this.canvas.announce(t("{s} seconds, {note}", { s, note: this.hands.pitch.nameAt(this.#cursor.y) }));
  }

  #press() {
    if (this.obstacle) return;
    if (this.#corner) this.#up();
    else {
      this.#begin(this.#cursor);
      if (this.#brush !== "rectangle") this.#up();
    }
    this.canvas.announce(this.#corner ? t("First corner set.") : t("Painted."));
  }

  #giveUp() {
    this.#last = this.#corner = null;
    this.#undo();
  }

  #undo() {
    this.#mask.undo();
    this.#done();
  }

  // The model's own doubt.

  async #doubts() {
    const { clip } = this.hands;
    if (this.#doubt?.run !== clip.run) {
      const answer = clip.source && await this.hands.server.doubt({ visitor: this.canvas.visitor, source: clip.source.source });
      if (clip !== this.hands.clip) return false;
      if (!answer) {
        this.hint.textContent = t("How sure the model was is not kept for this clip: generate it again.");
        return false;
      }
      this.#doubt = { run: clip.run, values: bytesOf(answer.values), most_db: answer.most_db };
    }
    return true;
  }

  async #showDoubt() {
    const on = this.doubting.getAttribute("aria-pressed") !== "true" && await this.#doubts();
    this.#hideDoubt();
    if (on) {
      this.doubting.setAttribute("aria-pressed", true);
      this.legend.textContent = t("Blue: the model doubts, by up to ±{db} dB", { db: this.#doubt.most_db.toFixed(0) });
    }
    this.#draw();
  }

  #hideDoubt() {
    this.doubting.setAttribute("aria-pressed", false);
    this.legend.textContent = "";
  }

  async #takeDoubted() {
    if (!await this.#doubts()) return;
    this.#mask.take(this.#doubt.values, DOUBTED);
    this.#done();
  }

  #ask() {
    this.cancel(this.#timer);
    this.hint.textContent = "";
    this.#timer = this.later(ASK_MS, async () => {
      if (!this.open || this.obstacle || this.#mask.empty) return;
      const { evaluations, wrong } = await this.hands.cost(this.#wish);
      this.cost.textContent = evaluations === null ? "" : t("{evaluations} evaluations", { evaluations });
      this.hint.textContent = wrong ?? "";
    });
  }

  // What is painted, over the doubt and under the cursor.
  #draw() {
    if (this.paper.hidden || !this.#mask?.frames) return;
    const { pitch } = this.hands, { bands, frames, bins } = this.#mask;
    const drawing = make("canvas", { width: frames, height: bands }), context = drawing.getContext("2d");
    const image = context.createImageData(frames, bands);
    const shown = this.doubting.getAttribute("aria-pressed") === "true" ? this.#doubt.values : null;
    for (let band = 0; band < bands; band += 1) {
      for (let frame = 0; frame < frames; frame += 1) {
        const i = band * frames + frame, at = 4 * ((bands - 1 - band) * frames + frame);
        if (bins[i]) image.data.set(isEdge(bins, band, frame, bands, frames) ? EDGE : MASK, at);
        else if (shown) image.data.set([...DOUBT, shown[i] ** 2 / 255], at); // what is certain stays as it is
      }
    }
    context.putImageData(image, 0, 0);
    const warped = pitch.warp(drawing, frames, bands), { paper } = this;
    [paper.width, paper.height] = [warped.width, warped.height];
    const brush = paper.getContext("2d");
    brush.drawImage(warped, 0, 0);
    const { style } = this.cross;
    this.cross.hidden = !this.#keyed;
    [style.left, style.bottom] = [`${100 * this.#cursor.x}%`, `${100 * this.#cursor.y}%`];
  }

  #build() {
    this.paper = this.own(make("canvas", {
      className: "paper", hidden: true, tabIndex: 0, role: "application",
      "aria-label": t("Paint here: the arrow keys move, the space bar paints"),
    }));
    this.cross = this.own(make("span", { className: "cross", hidden: true }));
    this.legend = this.own(make("span", { className: "legend" }));
    this.canvas.find(".pane[data-picture=belief]").append(this.paper, this.cross, this.legend);
    const brushes = { rectangle: t("Rectangle"), brush: t("Brush"), harmonics: t("Harmonics"), erase: t("Erase") };
    const button = (text, press, more = {}) => {
      const each = make("button", { text, ...more });
      this.on(each, "click", press);
      return each;
    };
    this.size = make("input", { type: "range", min: 0, max: SIZES_PX.length - 1, value: 2, "aria-label": t("Size of the brush") });
    this.undoing = button(t("Undo"), () => this.#undo());
    this.clearing = button(t("Clear"), () => { this.#mask.clear(); this.#done(); });
    this.doubting = button(t("Where the model doubts"), () => this.#showDoubt(), { "aria-pressed": false });
    this.taking = button(t("Paint that"), () => this.#takeDoubted());
    this.cost = make("span", { className: "cost" });
    this.go = button("", () => this.hands.edit(this.#wish), { className: "go" });
    this.go.append(make("span", { text: t("Recompose this") }), this.cost);
    this.hint = make("p", { className: "hint", role: "status" });
    this.panel.append(
      choice(t("Paint with"), brushes, (brush) => { this.#brush = brush; }),
      make("label", { className: "size" }, make("span", { text: t("Size") }), this.size),
      make("span", { className: "pair" }, this.undoing, this.clearing),
      make("span", { className: "pair" }, this.doubting, this.taking),
      this.go,
      this.hint,
    );
  }
}

// Whether a painted bin lies beside one that is not.
function isEdge(bins, band, frame, bands, frames) {
  const i = band * frames + frame;
  return (band > 0 && !bins[i - frames]) || (band < bands - 1 && !bins[i + frames])
    || (frame > 0 && !bins[i - 1]) || (frame < frames - 1 && !bins[i + 1]);
}

// A comparison: cells of clips that are heard one against another at one playhead. Arrow keys move and switch. A report
// carries it too.
import { make, placeAfter } from "../shared/dom.js";
import { Part } from "../shared/part.js";

const CELL = `<div class="picture"><img alt="" hidden><i class="head"></i><span class="cached" hidden></span></div>
<p class="numbers"><b class="distance"></b><span class="evaluations"></span><span class="took"></span></p>`;

export class Comparison extends Part {
  sounding = null; // the cell that is heard: {row, column, element, buffer, ...}

  #cells = new Map();
  #player;
  #t;

  // `axes` is {x, y}, each {title, labels}; `t` puts values into sentences.
  constructor(box, player, axes, t) {
    super();
    this.#player = player;
    this.#t = t;
    this.axes = axes;
    this.element = this.own(make("div", {
      className: "cells", role: "grid", "aria-label": t("{y} by {x}", { x: axes.x.title, y: axes.y.title }),
    }));
    this.element.style.setProperty("--columns", axes.x.labels.length);
    this.#build();
    box.append(this.element);
    this.on(this.element, "keydown", (event) => this.#key(event));
    this.on(this.element, "click", ({ target }) => {
      const cell = this.#of(target);
      if (cell) this.#press(cell);
    });
    this.on(player, "sound", () => { if (this.sounding && player.buffer !== this.sounding.buffer) this.#mark(null); });
    player.follow(() => this.#follow(), this.signal);
  }

  at(row, column) { return this.#cells.get(`${row} ${column}`); }

  get cells() { return [...this.#cells.values()]; }

  // What is known of a cell: {row, column, state: waiting | working | done}, while it is worked on its {progress}, and
  // when it is done its {evaluations, seconds, distance_db, cached}.
  update(known) {
    const cell = this.at(known.row, known.column), { element } = cell, t = this.#t;
    Object.assign(cell, known);
    element.dataset.state = known.state;
    element.style.setProperty("--progress", known.progress ?? 0);
    const [x, y] = [this.axes.x.labels[known.column], this.axes.y.labels[known.row]];
    let numbers = known.state === "working" ? t("being composed") : t("not composed yet");
    if (known.state === "done") {
      const values = { ...known, seconds: known.seconds.toFixed(1), distance: known.distance_db?.toFixed(1) };
      element.querySelector(".distance").textContent = known.distance_db == null ? "" : t("{distance} dB", values);
      element.querySelector(".evaluations").textContent = t("{evaluations} evals", values);
      element.querySelector(".took").textContent = t("{seconds} s", values);
      element.querySelector(".cached").hidden = !known.cached;
      numbers = t("{evaluations} evaluations, {seconds} seconds", values);
      if (known.distance_db != null) numbers += t(", {distance} decibels from the converged clip", values);
      if (known.cached) numbers += t(", from an earlier run");
    }
    element.setAttribute("aria-label", `${y}, ${x}: ${numbers}`);
  }

  // The picture (a URL) and the sound (an AudioBuffer) of a finished cell.
  give(row, column, picture, buffer) {
    const cell = this.at(row, column), image = cell.element.querySelector("img");
    cell.buffer = buffer;
    image.src = picture;
    image.hidden = false;
    cell.element.dataset.heard = "can be";
  }

  // The sound of a cell takes over where the one before is.
  show(cell) {
    if (!cell.buffer || cell === this.sounding) return;
    this.#mark(cell);
    this.#player.show(cell.buffer);
  }

  #press(cell) {
    this.#focus(cell);
    if (!cell.buffer) return;
    const same = cell === this.sounding;
    this.show(cell);
    if (same) this.#player.toggle();
    else this.#player.play();
  }

  #key(event) {
    const cell = this.#of(event.target);
    if (!cell || event.altKey || event.metaKey) return;
    const to = placeAfter(event, cell, { row: this.axes.y.labels.length - 1, column: this.axes.x.labels.length - 1 });
    if (to) {
      const next = this.at(to.row, to.column);
      if (next) {
        this.#focus(next);
        this.show(next);
      }
    } else if (event.key === "Enter" || event.key === " ") this.#press(cell);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #of(target) {
    const element = target.closest?.("[role=gridcell]");
    return element ? this.at(element.dataset.row, element.dataset.column) : null;
  }

  #focus(cell) {
    for (const each of this.cells) each.element.tabIndex = each === cell ? 0 : -1;
    cell.element.focus();
    cell.element.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  #mark(cell) {
    this.sounding = cell;
    for (const each of this.cells) each.element.setAttribute("aria-selected", each === cell);
  }

  #follow() {
    const { playing, position, duration } = this.#player;
    this.element.classList.toggle("playing", playing && this.sounding !== null);
    this.sounding?.element.style.setProperty("--position", duration ? position / duration : 0);
  }

  #build() {
    const { x, y } = this.axes, row = (...children) => make("div", { role: "row" }, ...children);
    const corner = [make("span", { text: `${x.title} →` }), make("span", { text: `${y.title} ↓` })];
    this.element.append(row(
      make("div", { className: "corner", role: "columnheader" }, ...corner),
      ...x.labels.map((text) => make("div", { role: "columnheader", text })),
    ));
    y.labels.forEach((text, i) => {
      this.element.append(row(make("div", { role: "rowheader", text }), ...x.labels.map((_, j) => this.#cell(i, j))));
    });
  }

  #cell(row, column) {
    const element = make("div", { role: "gridcell", html: CELL, data: { row, column } });
    element.tabIndex = row || column ? -1 : 0;
    element.querySelector(".cached").textContent = this.#t("from cache");
    this.#cells.set(`${row} ${column}`, { row, column, element, buffer: null });
    this.update({ row, column, state: "waiting" });
    return element;
  }
}

// Examples that start at once: a wall of clips in rows and columns, all of one seed. They are files beside the page, so
// that neither the queue nor the model is asked; a sound is fetched when it is wanted.
import { base64Of, make, placeAfter, PLAY_ICON } from "../shared/dom.js";
import { Part } from "../shared/part.js";
import { player } from "../shared/player.js";
import { lower, spoken, t } from "../shared/words.js";

const TAKEOVER_S = 0.25; // within a row the same noise goes on, with other players, where the clip before it is
const CELL = `<img alt="" loading="lazy" decoding="async"><i class="head"></i>${PLAY_ICON}<span></span>`;

export class Gallery extends Part {
  #cells = []; // {example, row, column, element, clip: what the canvas takes, once it has been fetched}
  #on = null; // the cell whose sound is on the player
  #wanted = null; // the cell that was pressed last
  #offers = []; // buttons that bring the settings of the example on the canvas into the rail

  constructor({ trigger }, canvas) {
    super();
    Object.assign(this, { trigger, canvas });
    this.root = document.querySelector(".gallery");
    this.base = new URL("gallery/", document.baseURI);
    if (this.root) this.#open(); // else the model has none
  }

  async #open() {
    this.index = await this.#read();
    if (!this.index || this.destroyed) return;
    this.#build();
    this.#invite();
    this.#offer(this.root.querySelector(".gallery-head").lastElementChild);
    this.#offer(this.canvas.find(".message"));
    this.on(this.grid, "click", ({ target }) => this.#press(this.#of(target)));
    this.on(this.grid, "keydown", (event) => this.#key(event));
    this.on(player, "sound", () => this.#mark());
    this.on(this.canvas, "clip", () => this.#mark());
    player.follow(() => this.#follow(), this.signal);
    this.root.hidden = false;
    this.undo(() => { this.root.hidden = true; });
  }

  async #read() {
    try {
      const answer = await fetch(new URL("index.json", this.base), { cache: "no-cache", signal: this.signal });
      return answer.ok ? await answer.json() : null;
    } catch { return null; } // the server does not answer, or nobody waits any more
  }

  // Plays an example on the canvas, whatever else goes on there; the one that is on pauses, or goes on.
  async #press(cell) {
    if (!cell) return;
    this.#focus(cell);
    this.#wanted = cell;
    if (cell === this.#on) { player.toggle(); return; }
    const { canvas } = this, goesOn = player.playing && this.#on?.row === cell.row;
    const place = goesOn ? { position: null, fade: TAKEOVER_S } : { position: 0 };
    cell.element.setAttribute("aria-busy", true);
    try {
      cell.clip ??= await this.#fetch(cell.example);
      if (cell !== this.#wanted) return;
      await canvas.showClip(cell.clip, { sound: true, ...place });
      canvas.announce(canvas.titleOf(cell.clip));
      if (!canvas.busy) canvas.say(canvas.titleOf(cell.clip));
    } catch {
      if (cell === this.#wanted) canvas.fail(t("The server does not answer."));
    } finally {
      cell.element.removeAttribute("aria-busy");
    }
  }

  // What the canvas takes, without a film.
  async #fetch({ audio, picture, ...known }) {
    const answer = await fetch(this.#url(audio));
    if (!answer.ok) throw new Error(answer.statusText);
    return {
      ...known, run: `example ${audio}`, example: true, film: [], picture: this.#url(picture),
      audio: await base64Of(await answer.blob()), sample_rate_hz: this.index.sample_rate_hz,
    };
  }

  // A browser keeps what it has fetched: another model's files are others.
  #url(name) { return new URL(`${encodeURIComponent(name)}?${this.index.model.digest}`, this.base).href; }

  #key(event) {
    const cell = this.#of(event.target);
    if (!cell || event.altKey || event.metaKey) return;
    const to = placeAfter(event, cell, this.#cells.at(-1));
    if (to) {
      const next = this.#cells.find(({ row, column }) => row === to.row && column === to.column);
      if (next) this.#focus(next);
    } else if (event.key === "Enter" || event.key === " ") {
      if (!event.repeat) this.#press(cell);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #of(target) {
    const element = target.closest("[role=gridcell]");
    return this.#cells.find((cell) => cell.element === element);
  }

  #focus(cell) {
    for (const each of this.#cells) if (each.row === cell.row) each.element.tabIndex = each === cell ? 0 : -1;
    cell.element.focus({ preventScroll: true });
    cell.element.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  // Which example is on, and whose settings are offered.
  #mark() {
    const { clip } = this.canvas;
    this.#on = this.#cells.find((cell) => cell.clip?.buffer && cell.clip.buffer === player.buffer) ?? null;
    for (const cell of this.#cells) {
      cell.element.setAttribute("aria-selected", cell === this.#on);
      const wanted = cell === this.#on || cell.clip === clip;
      if (cell.clip && !wanted) delete cell.clip.buffer; // a sound is ten times its file
    }
    for (const offer of this.#offers) offer.hidden = !clip?.example;
    this.#follow();
  }

  #follow() {
    const { playing, position, duration } = player;
    this.grid.classList.toggle("playing", playing && this.#on !== null);
    this.#on?.element.style.setProperty("--position", duration ? position / duration : 0);
  }

  // A button, in sight while the canvas has an example on: the rail takes its settings, so that Generate makes another.
  #offer(before) {
    const button = this.own(make("button", { className: "vary", text: t("Use settings"), hidden: true }));
    this.on(button, "click", () => {
      const { settings, title } = this.canvas.clip;
      this.trigger("restore", { settings, name: spoken(title), vary: true });
      this.canvas.lookUp();
    });
    before.after(button);
    this.#offers.push(button);
  }

  // A link beside the page's first words, since the wall hangs below what makes music.
  #invite() {
    const text = t("Hear {count} examples", { count: this.#cells.length });
    const link = this.own(make("a", { className: "to-gallery", href: "#gallery", text }));
    this.on(link, "click", (event) => {
      event.preventDefault();
      const go = () => {
        this.root.scrollIntoView({ behavior: this.canvas.calm.matches ? "auto" : "smooth" });
        this.#cells.find(({ element }) => element.tabIndex === 0).element.focus({ preventScroll: true });
      };
      if (this.root.checkVisibility()) { go(); return; }
      this.on(window, "hashchange", () => this.later(0, go), { once: true });
      location.hash = ""; // back from the other room
    });
    document.querySelector("#header header p").append(" ", link);
  }

  #build() {
    const { clips, seed } = this.index, rows = Object.values(Object.groupBy(clips, ({ names }) => spoken(names)[0]));
    const row = (...children) => make("div", { role: "row" }, ...children);
    const columns = rows[0].map(({ names }) => make("div", { role: "columnheader", text: spoken(names)[1] }));
    this.grid = this.own(make("div", { className: "cells", role: "grid", "aria-labelledby": "gallery-title" }));
    this.grid.style.setProperty("--columns", rows[0].length);
    this.grid.append(
      row(make("div", { role: "columnheader" }), ...columns),
      ...rows.map((examples, i) => row(
        make("div", { role: "rowheader", text: spoken(examples[0].names)[0] }),
        ...examples.map((example, j) => this.#cell(example, i, j)),
      )),
    );
    const text = t("Seed {seed} chose these clips, not taste; they start at once.", { seed });
    this.root.querySelector(".gallery-about").append(this.own(make("span", { text: ` ${text}` })));
    this.root.querySelector(".wall").append(this.grid);
  }

  // Each row is a stop for the tab key, since on narrow screens each is scrolled by itself.
  #cell(example, row, column) {
    const [first, second] = spoken(example.names);
    const element = make("div", {
      role: "gridcell", html: CELL, tabIndex: column ? -1 : 0,
      "aria-label": `${first}, ${lower(second)}`, "aria-selected": false,
    });
    element.querySelector("img").src = this.#url(example.picture);
    element.querySelector("span").textContent = second;
    this.#cells.push({ example, row, column, element, clip: null });
    return element;
  }
}

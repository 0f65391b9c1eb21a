// Examples that start at once: a wall of clips, every style by every ensemble, all of one seed. They are files beside the
// page, so that neither the queue nor the model is asked; a sound is fetched when it is wanted.
import { player } from "./player.js";
import { named, t } from "./words.js";

const TAKEOVER_S = 0.25; // within a style the same noise goes on, with other players, where the clip before it is
const CELL = `<img alt="" loading="lazy" decoding="async"><i class="head"></i>
<svg viewBox="0 0 24 24" aria-hidden="true"><path class="to-play" d="M7 4.5v15l13-7.5z"/><path class="to-pause" d="M6 5h4.5v14H6zM13.5 5H18v14h-4.5z"/></svg>
<span></span>`;

export async function mount(host, score) {
  const root = document.querySelector(".gallery");
  if (!root) return; // the model has no gallery
  const base = new URL("gallery/", document.baseURI);
  const answer = await fetch(new URL("index.json", base), { cache: "no-cache" }).catch(() => null);
  if (answer?.ok) new Gallery(host, score, root, base, await answer.json());
}

class Gallery {
  #cells = []; // {example, row, column, element, clip: what the score takes, once it has been fetched}
  #on = null; // the cell whose sound is on the player
  #wanted = null; // the cell that was pressed last
  #offers = []; // buttons that bring the settings of the example on the score into the rail

  constructor(host, score, root, base, index) {
    Object.assign(this, { host, score, root, base, index });
    this.#build();
    this.#invite();
    this.#offers = [this.#offer(root.querySelector(".gallery-head")), this.#offer(score.find(".readout"), score.find(".message"))];
    this.grid.addEventListener("click", (event) => this.#press(this.#of(event.target)));
    this.grid.addEventListener("keydown", (event) => this.#key(event));
    player.addEventListener("sound", () => this.#mark());
    player.addEventListener("change", () => this.#follow());
    score.addEventListener("clip", () => this.#mark());
    root.hidden = false;
  }

  // Plays an example in the score, whatever else goes on there; the one that is on pauses, or goes on.
  async #press(cell) {
    if (!cell) return;
    this.#focus(cell);
    this.#wanted = cell;
    if (player.context.state === "suspended") player.context.resume(); // a press is leave to sound, which a late one is not
    if (cell === this.#on) { player.toggle(); return; }
    const { score } = this, goesOn = player.playing && this.#on?.row === cell.row;
    cell.element.setAttribute("aria-busy", true);
    try {
      cell.clip ??= await this.#fetch(cell.example);
      if (cell !== this.#wanted) return;
      await score.showClip(cell.clip, { sound: true, ...(goesOn ? { position: null, fade: TAKEOVER_S } : { position: 0 }) });
      score.announce(score.title(cell.clip));
      if (!score.busy) score.say(score.title(cell.clip));
    } catch {
      if (cell === this.#wanted) score.fail(t("The server does not answer."));
    } finally {
      cell.element.removeAttribute("aria-busy");
    }
  }

  // What the score takes, without a film.
  async #fetch({ audio, picture, settings, seconds, query, title }) {
    const answer = await fetch(this.#url(audio));
    if (!answer.ok) throw new Error(answer.statusText);
    return {
      run: `example ${audio}`, example: true, settings, seconds, query, title, film: [], score: this.#url(picture),
      audio: await base64(await answer.blob()), sample_rate_hz: this.index.sample_rate_hz,
      name: `out-of-noise-${settings.style}-${settings.ensemble}-${settings.seed}.wav`,
    };
  }

  // A browser keeps what it has fetched: another model's files are others.
  #url(name) { return new URL(`${encodeURIComponent(name)}?${this.index.model.digest}`, this.base).href; }

  #key(event) {
    const cell = this.#of(event.target);
    if (!cell || event.altKey || event.metaKey) return;
    const { row, column } = cell, last = { row: this.index.styles.length - 1, column: this.index.ensembles.length - 1 };
    const to = {
      ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
      Home: [event.ctrlKey ? 0 : row, 0], End: [event.ctrlKey ? last.row : row, last.column],
    }[event.key];
    if (to) {
      const next = this.#cells.find((each) => each.row === to[0] && each.column === to[1]);
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
    const { clip } = this.score;
    this.#on = this.#cells.find((cell) => cell.clip?.buffer && cell.clip.buffer === player.buffer) ?? null;
    for (const cell of this.#cells) {
      cell.element.setAttribute("aria-selected", cell === this.#on);
      if (cell.clip && cell !== this.#on && cell.clip !== clip) delete cell.clip.buffer; // a sound is ten times its file
    }
    for (const offer of this.#offers) offer.hidden = !clip?.example;
    this.#follow();
  }

  #follow() {
    const { playing, position, duration } = player;
    this.grid.classList.toggle("playing", playing && this.#on !== null);
    if (!this.#on) return;
    this.#on.element.style.setProperty("--position", duration ? position / duration : 0);
    if (playing) requestAnimationFrame(() => this.#follow());
  }

  // A button, in sight while the score has an example on: the rail takes its settings, so that Generate makes another.
  #offer(place, after = place.lastElementChild) {
    const button = make("button", "vary", t("Use settings"));
    button.type = "button";
    button.hidden = true;
    button.addEventListener("click", () => {
      const { settings, title } = this.score.clip;
      this.host.trigger("restore", { settings, name: title, vary: true });
      this.score.find(".message").scrollIntoView({ block: "nearest", behavior: this.#behaviour });
    });
    after.after(button);
    return button;
  }

  // A link beside the page's first words, since the wall hangs below what makes music.
  #invite() {
    const link = make("a", "to-gallery", t("Hear {count} examples", { count: this.#cells.length }));
    link.href = "#gallery";
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const go = () => {
        this.root.scrollIntoView({ behavior: this.#behaviour });
        this.#cells.find(({ element }) => element.tabIndex === 0).element.focus({ preventScroll: true });
      };
      if (document.body.dataset.room !== "compare") { go(); return; }
      window.addEventListener("hashchange", () => setTimeout(go), { once: true });
      location.hash = "";
    });
    document.querySelector("#header header p").append(" ", link);
  }

  get #behaviour() { return this.score.calm.matches ? "auto" : "smooth"; }

  #build() {
    const { styles, ensembles, clips, seed } = this.index;
    const cells = (text, role, className = "") => {
      const element = make("div", className, text);
      element.setAttribute("role", role);
      return element;
    };
    const row = (children) => {
      const element = cells("", "row");
      element.append(...children);
      return element;
    };
    this.grid = cells("", "grid", "cells");
    this.grid.setAttribute("aria-labelledby", "gallery-title");
    this.grid.style.setProperty("--columns", ensembles.length);
    this.grid.append(row([cells("", "columnheader"), ...ensembles.map((each) => cells(named(each), "columnheader"))]));
    styles.forEach((style, i) => {
      this.grid.append(row([cells(named(style), "rowheader"), ...ensembles.map((ensemble, j) => {
        const example = clips[i * ensembles.length + j], element = cells("", "gridcell");
        element.innerHTML = CELL;
        element.tabIndex = j ? -1 : 0; // each style is a stop, since on narrow screens each is scrolled by itself
        element.setAttribute("aria-label", `${named(style)}, ${named(ensemble).toLowerCase()}`);
        element.setAttribute("aria-selected", false);
        element.querySelector("img").src = this.#url(example.picture);
        element.querySelector("span").textContent = named(ensemble);
        this.#cells.push({ example, row: i, column: j, element, clip: null });
        return element;
      })]));
    });
    this.root.querySelector(".gallery-about").textContent = t("Every style by every ensemble. Seed {seed} chose these clips, not taste; they start at once.", { seed });
    this.root.querySelector(".wall").append(this.grid);
  }
}

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function base64(blob) {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(",")[1]);
    reader.onerror = fail;
    reader.readAsDataURL(blob);
  });
}

// The room in which two settings are compared: the plan of a comparison, and the comparison as it fills in.
import { actionOf, bytesOf, make, saveFile } from "../shared/dom.js";
import { Line } from "../shared/line.js";
import { Part } from "../shared/part.js";
import { player } from "../shared/player.js";
import { showRoom } from "../shared/rooms.js";
import { answering } from "../shared/server.js";
import { language, t } from "../shared/words.js";
import { Comparison } from "./comparison.js";

const LOST_MS = 2000; // before a cell that did not come is asked for once more
const WAIT_MS = 400; // after the last change of the plan, before its cost is asked for
const OTHER = { x: "y", y: "x" };

export function mount(host) { return new Compare({ ...host, server: answering(host.server) }); }

class Compare extends Part {
  #axes = null; // what the server says of each axis
  #chosen = { x: "steps", y: "sampler" }; // the names of those that the plan has
  #comparison = null;
  #run = null;
  #busy = false;
  #filling = false; // whether the comparison on show is the one that is under way
  #before = null; // the sound of the other room
  #timer = null;
  #asking = false; // the cost is being asked for: one question at a time, so that the last answer is the newest
  #again = false;
  #twice = new CSSStyleSheet(); // hides the fields of the rail that are on an axis, whenever they come

  constructor({ element, server, trigger }) {
    super();
    Object.assign(this, { server, trigger, element: element.querySelector(".compare") });
    this.line = this.own(new Line(this.find(".message")));
    const plan = this.find(".plan");
    this.on(plan, "submit", (event) => { event.preventDefault(); this.#start(); });
    this.on(plan, "change", ({ target }) => {
      if (target.matches("select")) this.#choose(target.closest(".axis").dataset.axis, target.value);
    });
    this.on(plan, "click", ({ target }) => {
      if (target.matches(".values button")) target.ariaPressed = target.ariaPressed !== "true";
    });
    this.on(plan, "input change click", () => this.#ask());
    this.on(this.find(".halt"), "click", () => this.#halt());
    this.on(this.find(".report"), "click", () => this.#save("report", "text/html", "out-of-noise-comparison.html"));
    this.on(this.find(".table"), "click", () => this.#save("table", "text/csv", "out-of-noise-comparison.csv"));
    this.on(document, "keydown", (event) => this.#key(event), { capture: true });
    this.on(document, "input change", ({ target }) => { if (this.open && target.closest("#rail")) this.#ask(); });
    this.on(window, "hashchange", () => this.turn());
    this.on(document, "unfilled", () => this.#lost());
    this.on(document, "network", ({ detail: { answers } }) => {
      this.#asking = false; // that question was lost
      if (answers && this.open) this.#begin();
    });
    document.adoptedStyleSheets.push(this.#twice);
    this.undo(() => {
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => sheet !== this.#twice);
      this.#comparison?.destroy();
    });
    this.turn();
  }

  get open() { return document.body.dataset.room === "compare"; }

  find(selector) { return this.element.querySelector(selector); }

  say(text, wrong = false) { this.line.say(text, wrong); }

  // Into the room or out of it, as the address says. Each room has its own sound.
  async turn() {
    showRoom();
    if (this.open) {
      this.#before = { buffer: player.buffer, gain: player.gain, position: player.position };
      await this.#begin();
    } else if (this.#comparison?.sounding && player.buffer === this.#comparison.sounding.buffer) {
      player.pause();
      if (this.#before.buffer) player.show(this.#before.buffer, this.#before);
    }
  }

  // The plan, once it is known what there is to choose from, and its cost.
  async #begin() {
    try {
      if (!this.#axes) {
        this.#axes = await this.server.choices(null);
        for (const axis of ["x", "y"]) this.#plan(axis);
      }
    } catch (error) {
      this.say(error.message, true);
    }
    this.#ask();
  }

  // Every message of the server: {kind: cost | comparison | error, ...}.
  receive(message) {
    if (!message) return;
    if (message.kind === "error") {
      if (message.of === "cost") this.#answered();
      else this.#rest();
      this.say(t(message.text), true);
    } else if (message.kind === "cost") {
      this.#answered();
      const [cells, distances] = message.seconds, [evaluations, more] = message.evaluations;
      const values = { cells: message.cells, evaluations, seconds: about(cells), distances: about(distances) };
      let text = t("{cells} cells, {evaluations} evaluations: {seconds}", values);
      if (more) text += t(", then {distances} for the distances", values);
      this.find(".cost").textContent = `${text}.`;
      if (this.find(".message.error")) this.say("");
    } else if (message.kind === "comparison") this.#fill(message);
  }

  #fill({ axes, cells, over, reference, run }) {
    if (run !== this.#run) {
      if (!this.#busy) return; // a late word of a comparison that was given up
      this.#run = run;
      this.#filling = true;
      this.#comparison?.destroy();
      this.#comparison = new Comparison(this.find(".box"), player, translated(axes), t);
    }
    for (const cell of cells) {
      this.#comparison.update(cell);
      const known = this.#comparison.at(cell.row, cell.column);
      if (cell.state === "done" && !known.fetched) {
        known.fetched = true;
        this.#fetch(run, cell);
      }
    }
    const values = this.#counted();
    this.find(".report").disabled = this.find(".table").disabled = !values.done;
    if (over) {
      this.#rest();
      this.#ask();
      this.say(over === "done"
        ? t("All {cells} cells are there: click one, then use the arrow keys.", values)
        : t("Stopped: {done} of {cells} cells are there.", values));
    } else if (reference) this.say(t("Measuring the distance to converged clips."));
    else this.say(t("Composing: {done} of {cells} cells are there.", values));
  }

  // How many cells are there.
  #counted() {
    const { cells } = this.#comparison;
    return { done: cells.filter(({ state }) => state === "done").length, cells: cells.length };
  }

  // The comparison under way will not go on.
  #lost() {
    if (!this.#busy) return;
    this.#rest();
    this.say(this.#filling
      ? t("The comparison is lost: {done} of {cells} cells are there. Compose it again.", this.#counted())
      : t("The comparison is lost. Compose it again."), true);
  }

  async #fetch(run, { row, column }) {
    let clip;
    while (clip === undefined) {
      clip = await this.server.cell({ run, row, column }).catch(() => undefined);
      if (run !== this.#run || this.destroyed) return;
      if (clip === undefined) await this.rest(LOST_MS);
    }
    if (!clip) return;
    const buffer = await player.decode(bytesOf(clip.audio).buffer);
    if (run === this.#run && !this.destroyed) this.#comparison.give(row, column, clip.picture, buffer);
  }

  async #save(kind, type, name) {
    try {
      const text = await this.server[kind]({ run: this.#run, language });
      if (text) saveFile(text, type, name);
      else this.say(t("This comparison is too long ago to be saved: compose it again."), true);
    } catch (error) {
      this.say(error.message, true);
    }
  }

  // The keys that compose and stop do so here too.
  #key(event) {
    const act = this.open && actionOf(event, { g: () => this.#start(), s: () => this.#halt() });
    if (!act) return;
    act();
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  #start() {
    if (this.#busy) return;
    this.#work(true);
    this.#filling = false;
    this.say(t("Waiting for a turn."));
    this.trigger("compare", this.#asked());
  }

  #halt() { if (this.#busy) this.trigger("halt", {}); }

  #rest() {
    this.#work(false);
    this.#asking = false;
  }

  #work(busy) {
    this.#busy = busy;
    this.find(".run").disabled = busy;
    this.find(".halt").disabled = !busy;
    this.element.classList.toggle("busy", busy);
  }

  #ask() {
    this.cancel(this.#timer);
    this.#timer = this.later(WAIT_MS, () => {
      if (this.#busy || !this.#axes) return;
      this.#again = this.#asking;
      if (this.#asking) return;
      this.#asking = true;
      this.trigger("cost", this.#asked());
    });
  }

  #answered() {
    this.#asking = false;
    if (this.#again) this.#ask();
  }

  #field(axis) { return this.find(`[data-axis=${axis}]`); }

  #asked() {
    const values = (axis) => {
      const box = this.#field(axis).querySelector(".values"), text = box.querySelector("input");
      return text ? text.value : [...box.querySelectorAll("[aria-pressed=true]")].map((chip) => chip.dataset.value);
    };
    return {
      axis_x: this.#chosen.x, values_x: values("x"),
      axis_y: this.#chosen.y, values_y: values("y"),
      distances: this.find(".distances input").checked,
    };
  }

  // An axis that the other one has, it swaps.
  #choose(axis, name) {
    const other = OTHER[axis], before = this.#chosen[axis], swaps = this.#chosen[other] === name;
    this.#chosen = { [axis]: name, [other]: swaps ? before : this.#chosen[other] };
    this.#plan(axis);
    if (swaps) this.#plan(other);
  }

  // One axis of the plan: its menu, and chips or a text for its values.
  #plan(axis) {
    const field = this.#field(axis), name = this.#chosen[axis];
    const { chosen, input_mode: inputMode, text, titles, values } = this.#axes[name];
    const option = ([each, { title }]) => new Option(t(title), each, false, each === name);
    const chip = (value) =>
      make("button", { text: t(titles[value]), data: { value }, "aria-pressed": chosen.includes(value) });
    field.querySelector("select").replaceChildren(...Object.entries(this.#axes).map(option));
    field.querySelector(".values").replaceChildren(...(values?.map(chip) ?? [
      make("input", { value: text, inputMode, "aria-label": t("Values, with commas between them") }),
    ]));
    const taken = Object.values(this.#chosen).map((each) => `#${CSS.escape(each)}`);
    this.#twice.replaceSync(`[data-room="compare"] #rail .setting:is(${taken}) { display: none !important; }`);
  }
}

function translated({ x, y }) {
  const said = ({ title, labels }) => ({ title: t(title), labels: labels.map((label) => t(label)) });
  return { x: said(x), y: said(y) };
}

function about(seconds) {
  if (seconds === 0) return t("nothing to wait for");
  if (seconds < 90) return t("about {s} s", { s: Math.max(1, Math.round(seconds)) });
  return t("about {min} min", { min: Math.round(seconds / 60) });
}

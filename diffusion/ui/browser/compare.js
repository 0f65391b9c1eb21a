// The room in which two settings are compared: the plan of a grid, and the grid as it fills in.
import { CompareGrid } from "./compare_grid.js";
import { player } from "./player.js";
import { language, t } from "./words.js";

const TYPED = "input:not([type=checkbox], [type=radio], [type=range]), select, textarea, dialog";
const WAIT_MS = 400; // after the last change of the plan, before its cost is asked for

const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

function save(text, type, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function mount(host) {
  const room = new Room(host);
  const turn = () => room.turn(location.hash === "#compare");
  window.addEventListener("hashchange", turn);
  turn();
  return (message) => room.receive(message);
}

class Room {
  #host;
  #axes = null; // what the server says of each axis
  #grid = null;
  #run = null;
  #busy = false;
  #before = null; // the sound of the other room
  #timer = 0;
  #asking = false; // the cost is being asked for: one question at a time, so that the last answer is the newest
  #again = false;

  constructor(host) {
    this.#host = host;
    this.element = host.element.querySelector(".compare");
    this.find(".plan").addEventListener("submit", (event) => { event.preventDefault(); this.#start(); });
    this.find(".halt").addEventListener("click", () => this.#host.trigger("halt", {}));
    this.find(".report").addEventListener("click", () => this.#save("report", "text/html", "out-of-noise-comparison.html"));
    this.find(".table").addEventListener("click", () => this.#save("table", "text/csv", "out-of-noise-comparison.csv"));
    this.find(".distances input").addEventListener("change", () => this.#ask());
    document.addEventListener("keydown", (event) => this.#key(event), true);
    for (const event of ["input", "change"]) {
      document.addEventListener(event, ({ target }) => { if (this.open && target.closest("#rail")) this.#ask(); });
    }
  }

  get open() { return document.body.dataset.room === "compare"; }

  find(selector) { return this.element.querySelector(selector); }

  say(text, wrong = false) {
    this.find(".message").textContent = text;
    this.find(".message").classList.toggle("error", wrong);
  }

  // Into the room or out of it. Each room has its own sound.
  async turn(open) {
    document.body.dataset.room = open ? "compare" : "compose";
    for (const link of document.querySelectorAll(".rooms a")) {
      if (link.hash === (open ? "#compare" : "")) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (open) {
      this.#before = { buffer: player.buffer, gain: player.gain, position: player.position };
      if (!this.#axes) {
        this.#axes = await this.#host.server.choices(null);
        for (const [axis, name] of [["x", "steps"], ["y", "sampler"]]) this.#plan(axis, name);
      }
      this.#ask();
    } else if (this.#grid?.sounding && player.buffer === this.#grid.sounding.buffer) {
      player.pause();
      if (this.#before.buffer) player.show(this.#before.buffer, this.#before);
    }
  }

  // Every message of the server: {kind: cost | grid | error, ...}.
  receive(message) {
    if (!message) return;
    if (message.kind === "error") {
      if (message.of === "cost") this.#answered();
      else this.#rest();
      this.say(t(message.text), true);
    } else if (message.kind === "cost") {
      this.#answered();
      const [cells, distances] = message.seconds, [looks] = message.evaluations;
      const values = { cells: message.cells, looks, seconds: about(cells), distances: about(distances) };
      let text = t("{cells} cells, {looks} evaluations: {seconds}", values);
      if (message.evaluations[1]) text += t(", then {distances} for the distances", values);
      this.find(".cost").textContent = `${text}.`;
      if (this.find(".message.error")) this.say("");
    } else if (message.kind === "grid") this.#fill(message);
  }

  #fill(message) {
    if (message.run !== this.#run) {
      if (!this.#busy) return; // a late word of a grid that was given up
      this.#run = message.run;
      this.#grid = new CompareGrid(this.find(".box"), player, message.axes, t);
    }
    for (const cell of message.cells) {
      this.#grid.update(cell);
      const known = this.#grid.at(cell.row, cell.column);
      if (cell.state === "done" && !known.fetched) {
        known.fetched = true;
        this.#fetch(message.run, cell);
      }
    }
    const done = message.cells.filter((cell) => cell.state === "done").length;
    this.find(".report").disabled = this.find(".table").disabled = !done;
    if (message.over) {
      this.#rest();
      this.#ask();
      const values = { done, cells: message.cells.length };
      this.say(message.over === "done" ? t("All {cells} cells are there: click one, then use the arrow keys.", values) : t("Stopped: {done} of {cells} cells are there.", values));
    } else if (message.reference) this.say(t("Measuring the distance to converged clips."));
    else this.say(t("Composing: {done} of {cells} cells are there.", { done, cells: message.cells.length }));
  }

  async #fetch(run, { row, column }) {
    const clip = await this.#host.server.cell({ run, row, column });
    if (!clip) return;
    const buffer = await player.decode(bytesOf(clip.audio).buffer);
    if (run === this.#run) this.#grid.give(row, column, clip.picture, buffer);
  }

  async #save(kind, type, name) {
    const text = await this.#host.server[kind]({ run: this.#run, language });
    if (text) save(text, type, name);
    else this.say(t("This grid is too long ago to be saved: compose it again."), true);
  }

  // The keys that compose and stop do so here too.
  #key(event) {
    const control = { g: ".run", s: ".halt" }[event.key.toLowerCase()];
    if (!control || !this.open || event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(TYPED)) return;
    this.find(control).click();
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  #start() {
    this.#busy = true;
    this.find(".run").disabled = true;
    this.find(".halt").disabled = false;
    this.element.classList.add("busy");
    this.say(t("Waiting for a turn."));
    this.#host.trigger("compare", this.#asked());
  }

  #rest() {
    this.#busy = this.#asking = false;
    this.find(".run").disabled = false;
    this.find(".halt").disabled = true;
    this.element.classList.remove("busy");
  }

  #ask() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#busy || !this.#axes) return;
      this.#again = this.#asking;
      if (this.#asking) return;
      this.#asking = true;
      this.#host.trigger("cost", this.#asked());
    }, WAIT_MS);
  }

  #answered() {
    this.#asking = false;
    if (this.#again) this.#ask();
  }

  #asked() {
    const values = (axis) => {
      const text = this.find(`[data-axis=${axis}] .values input`);
      const chips = [...this.element.querySelectorAll(`[data-axis=${axis}] .values [aria-pressed=true]`)];
      return text ? text.value : chips.map((chip) => chip.dataset.value);
    };
    return {
      axis_x: this.find("[data-axis=x] select").value, values_x: values("x"),
      axis_y: this.find("[data-axis=y] select").value, values_y: values("y"),
      distances: this.find(".distances input").checked,
    };
  }

  // One axis of the plan: its menu, and chips or a text for its values. An axis that the other one has, it swaps.
  #plan(axis, name) {
    const field = this.find(`[data-axis=${axis}]`), menu = field.querySelector("select"), about = this.#axes[name];
    menu.replaceChildren(...Object.entries(this.#axes).map(([each, { title }]) => new Option(t(title), each, false, each === name)));
    menu.onchange = () => {
      const other = axis === "x" ? "y" : "x";
      if (menu.value === this.find(`[data-axis=${other}] select`).value) this.#plan(other, name);
      this.#plan(axis, menu.value);
      this.#ask();
    };
    const box = field.querySelector(".values");
    if (about.values) {
      box.replaceChildren(...about.values.map((value) => {
        const chip = document.createElement("button");
        chip.type = "button";
        chip.dataset.value = value;
        chip.textContent = t(about.titles[value]);
        chip.setAttribute("aria-pressed", about.chosen.includes(value));
        chip.onclick = () => {
          chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") !== "true");
          this.#ask();
        };
        return chip;
      }));
    } else {
      const input = document.createElement("input");
      input.value = about.text;
      input.inputMode = ["steps", "guidance_scale"].includes(name) ? "decimal" : "text"; // keys for words and a minus
      input.setAttribute("aria-label", t("Values, with commas between them"));
      input.oninput = () => this.#ask();
      box.replaceChildren(input);
    }
    document.body.dataset.axes = [...this.element.querySelectorAll(".axis select")].map((each) => each.value).join(" ");
  }
}

function about(seconds) {
  if (seconds === 0) return t("nothing to wait for");
  return seconds < 90 ? t("about {s} s", { s: Math.max(1, Math.round(seconds)) }) : t("about {min} min", { min: Math.round(seconds / 60) });
}

// Hands on the music: the bar beneath the transport. Each tool is a part of its own, a class in TOOLS that extends Tool
// (tool.js), and only says what is to be done. A tool for which the clip on show will not do overrides `reason`; that a
// run is under way, or a race, the bar sees itself.
//
//   hands.clip      the clip on show, null before the first
//   hands.obstacle  why no tool can work now, in a sentence, or null
//   hands.facts     what the server says of the model once (HandsFacts in messages.py)
//   hands.edit({ edits, changes, rail })        asks for the clip on show in another way; what comes is a run as any
//   await hands.cost({ edits, changes, rail })  {evaluations, wrong}: what it would take, or what is wrong with it
//   "change"        is fired when the clip on show is another one, or the obstacle
//
// What the server fills in by itself, such as the source of an edit or the parent of a fork, is said in hands.py.
import { make } from "../shared/dom.js";
import { Part } from "../shared/part.js";
import { t } from "../shared/words.js";
import { Future } from "./future.js";
import { Loop } from "./loop.js";
import { Pitch } from "./pitch.js";
import { Repaint } from "./repaint.js";

const TOOLS = [Repaint, Future, Loop];
const ANSWER_MS = 10_000;

export class Hands extends Part {
  #asked = new Map(); // ask -> what takes the answer

  constructor({ facts, server, trigger }, canvas) {
    super();
    Object.assign(this, { server, trigger, canvas, facts: facts.hands });
    this.pitch = this.own(new Pitch({ facts }, canvas));
    this.tools = TOOLS.map((Kind) => this.own(new Kind(this)));
    this.#build(canvas.find("[data-slot=hands]"));
    this.on(canvas, "clip film run", () => this.fire("change"));
    this.on(canvas, "message", ({ detail: { kind, ask, ...answer } }) => {
      if (kind === "edit_cost") this.#asked.get(ask)?.(answer);
    });
    const observer = new MutationObserver(() => this.fire("change")); // the canvas says so what it is doing
    observer.observe(canvas.element, { attributeFilter: ["class"] });
    this.undo(() => observer.disconnect());
    this.fire("change");
  }

  get clip() { return this.canvas.clip; }

  get obstacle() {
    if (this.canvas.covered) return t("Not while a race is on.");
    if (this.canvas.busy) return t("One thing at a time: this works once the clip is composed.");
    if (!this.clip) return t("There is no clip yet.");
    return null;
  }

  edit({ edits = {}, changes = {}, rail = false }) {
    if (this.obstacle) return;
    const payload = this.#payload({ edits, changes, rail });
    this.canvas.wait();
    this.trigger("edit", payload);
  }

  async cost({ edits = {}, changes = {}, rail = false }) {
    const ask = crypto.getRandomValues(new Uint32Array(2)).join("-");
    const answer = new Promise((done) => this.#asked.set(ask, done));
    this.trigger("cost", { ...this.#payload({ edits, changes, rail }), ask });
    const silence = this.rest(ANSWER_MS).then(() => ({ evaluations: null, wrong: null }));
    const { evaluations, wrong } = await Promise.race([answer, silence]);
    this.#asked.delete(ask);
    return { evaluations, wrong };
  }

  // No panel is open.
  close() { for (const tool of this.tools) if (tool.open) tool.toggle(false); }

  #payload(wish) {
    const { settings, source = null, run } = this.clip;
    return { settings, source, run, ...wish };
  }

  #build(slot) {
    const axis = this.own(make("button", {
      className: "tool axis", text: t("Equal octaves"), "aria-pressed": false,
      title: t("Show all octaves equally tall, as on a keyboard, instead of as the model has them"),
    }));
    this.on(axis, "click", () => { this.pitch.musical = !this.pitch.musical; });
    this.on(this.pitch, "change", () => axis.setAttribute("aria-pressed", this.pitch.musical));
    const bar = this.own(make("div", { className: "bar", role: "group", "aria-labelledby": "hands-title" },
      make("h2", { id: "hands-title", text: t("Hands") }),
      ...this.tools.map(({ button }) => button),
      axis));
    slot.append(bar, ...this.tools.flatMap(({ panel }) => (panel ? [this.own(panel)] : [])));
  }
}

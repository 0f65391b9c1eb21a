// Gradio's own buttons and fields, which the page's keys press too: nobody else reaches for them.
import { Part } from "../shared/part.js";

const find = (selector) => document.querySelector(selector);

export class Deck extends Part {
  // Fires "generate" and "stop" when a visitor presses these.
  constructor() {
    super();
    this.on(document, "click", ({ target }) => {
      for (const name of ["generate", "stop"]) if (target.closest?.(`#${name}:not([disabled])`)) this.fire(name);
    });
  }

  generate() { this.#press("#generate"); }
  stop() { this.#press("#stop"); }
  draw() { this.#press("#dice"); }
  lock() { this.#press("#keep input"); }

  // Nothing is under way: where the server cannot say so.
  free() {
    find("#generate").disabled = false;
    find("#stop").disabled = true;
  }

  // Whether there is anything to stop: the server says so with the first picture, which may take its time.
  set stoppable(on) { find("#stop").disabled = !on; }

  get locked() { return find("#keep input").checked; }

  // What stands in the field of the seed.
  get text() { return find("#seed input").value.trim(); }

  // The seed that the field holds: a number, or what the server says that a word stands for.
  get seed() {
    const { text } = this;
    return Number(/^\d+$/.test(text) ? text : find("#meaning [data-seed]")?.dataset.seed);
  }

  #press(selector) { find(`${selector}:not([disabled])`)?.click(); }
}

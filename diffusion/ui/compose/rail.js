// The rail, in the browser: another label is heard at once while the seed is locked.
import { Part } from "../shared/part.js";
import { player } from "../shared/player.js";

const SETTLE_MS = 250; // of several choices in a row, the last counts

export class Rail extends Part {
  #choice = null;

  constructor({ trigger }, canvas, deck) {
    super();
    Object.assign(this, { trigger, canvas, deck });
    this.on(document, "change", ({ target }) => {
      if (!target.closest?.("#rail .label") || !deck.locked) return;
      this.cancel(this.#choice);
      this.#choice = this.later(SETTLE_MS, () => this.#switch());
    });
    this.on(document, "blur", (event) => this.#empty(event), { capture: true });
  }

  // A field of a slider that is left empty stays empty, and is refused as any other: Gradio would fill it in.
  #empty(event) {
    if (event.target.matches?.("#rail input[type=number]") && !event.target.value) event.stopPropagation();
  }

  #switch() {
    const { canvas, deck } = this, seed = canvas.clip?.settings.seed;
    if (canvas.covered || seed !== deck.seed || !deck.locked) return;
    canvas.wait();
    canvas.asked = player.playing; // it goes on sounding if the clip before it does
    this.trigger("switch", { seed });
  }
}

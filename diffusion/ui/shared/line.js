// The line in which a room says what happens. While the server does not answer it says that.
import { Part } from "./part.js";
import { t } from "./words.js";

export class Line extends Part {
  #before = null; // {text, wrong}: what stands there again once the server answers

  constructor(element) {
    super();
    this.element = element;
    this.on(document, "network", ({ detail: { answers, same } }) => {
      if (!answers) this.lose();
      else if (same) this.find();
      else this.say(t("The server was started anew. Your takes are here; reload the page if anything is missing."));
    });
  }

  get text() { return this.element.textContent; }

  say(text, wrong = false) {
    this.#before = null;
    this.#show(text, wrong);
  }

  // The server does not answer, or answers again.
  lose() {
    this.#before ??= { text: this.text, wrong: this.element.classList.contains("error") };
    this.#show(t("The server does not answer."), true);
  }

  find() { if (this.#before) this.say(this.#before.text, this.#before.wrong); }

  #show(text, wrong) {
    this.element.textContent = text;
    this.element.classList.toggle("error", wrong);
  }
}

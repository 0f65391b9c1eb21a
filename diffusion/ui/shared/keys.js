// The keys of the page, and the list of them. They leave fields alone, and whatever a focused control does with a key.
import { actionOf, make } from "./dom.js";
import { Part } from "./part.js";
import { t } from "./words.js";

const PRESSED = "button, a[href], summary, input, [role=slider], [role=button], [role=radio], "
  + "[tabindex]:not([tabindex='-1'])";
const MOVED = "[type=range], [type=radio], [role=slider], [role=radiogroup], [role=tablist], fieldset";
const TAKEN = { " ": PRESSED, ArrowLeft: MOVED, ArrowRight: MOVED }; // key -> elements that have a use of their own

export class Keys extends Part {
  #actions;

  // `rows` are those of the list: {shown: ["G"], text: "Generate", actions: {g: () => {}}}. An action that gives false
  // was none.
  constructor(rows) {
    super();
    const all = [...rows, { shown: ["?"], text: t("This list"), actions: { "?": () => this.list.togglePopover() } }];
    this.#actions = Object.assign({}, ...all.map(({ actions }) => actions));
    this.list = this.own(listOf(all));
    document.querySelector(".gradio-container").append(this.list);
    this.on(document, "keydown", (event) => this.#press(event));
  }

  #press(event) {
    const act = event.defaultPrevented ? null : actionOf(event, this.#actions), taken = TAKEN[event.key];
    if (!act || (taken && event.target.closest?.(taken))) return;
    if (event.key.startsWith("Arrow") ? event.shiftKey : event.repeat) return;
    if (act() !== false) event.preventDefault();
  }
}

// A button with `popovertarget="keys"` opens it.
function listOf(rows) {
  const lines = rows.map(({ shown, text }) => make("div", {},
    make("dt", {}, ...shown.map((key) => make("kbd", { text: key }))),
    make("dd", { text })));
  return make("div", { id: "keys", popover: "auto", role: "dialog", "aria-label": t("Keys") },
    make("h2", { text: t("Keys") }),
    make("dl", {}, ...lines));
}

// A tool of the hands: its button in the bar, and perhaps a panel beneath it.
import { make } from "../shared/dom.js";
import { Part } from "../shared/part.js";

export class Tool extends Part {
  // Fires "open" and "close" with its panel. `text` is on the button, `help` says in a sentence what it does, and
  // `id` names the panel; without one a press of the button calls `press`.
  constructor(hands, { text, help, id }) {
    super();
    Object.assign(this, { hands, canvas: hands.canvas, help });
    this.button = make("button", { className: "tool", text });
    this.on(this.button, "click", () => (this.panel ? this.toggle() : this.press()));
    if (id) {
      this.panel = make("div", { className: `panel ${id}`, id: `hands-${id}`, hidden: true, role: "group" });
      this.panel.setAttribute("aria-label", text);
      this.button.setAttribute("aria-controls", this.panel.id);
      this.button.setAttribute("aria-expanded", false);
      this.on(this.panel, "keydown", (event) => {
        if (event.key !== "Escape") return;
        this.toggle(false);
        this.button.focus();
      });
    }
    this.on(hands, "change", () => this.look());
  }

  get open() { return Boolean(this.panel && !this.panel.hidden); }

  // Why it can do nothing with a clip, in a sentence; null where it can.
  reason() { return null; }

  // Why it can do nothing now.
  get obstacle() { return this.hands.obstacle ?? this.reason(this.hands.clip); }

  // What a press of the button does, where there is no panel.
  press() {}

  // One panel at a time is open.
  toggle(on = !this.open) {
    if (on === this.open) return;
    if (on) this.hands.close();
    this.panel.hidden = !on;
    this.button.setAttribute("aria-expanded", on);
    this.fire(on ? "open" : "close");
    this.look();
  }

  // The button as it is now. What is open can be closed at any time.
  look() { this.allow(this.button, this.open ? null : this.obstacle, this.help); }

  // A button that says why it cannot be pressed, or else what it does.
  allow(button, obstacle, help) {
    button.disabled = obstacle !== null;
    button.title = obstacle ?? help;
  }
}

// Buttons of which one is on: {value: text}. `choose` hears of it.
export function choice(label, options, choose) {
  const group = make("div", { className: "choice", role: "group", "aria-label": label });
  const mark = (value) => {
    for (const button of group.children) button.setAttribute("aria-pressed", button.dataset.value === value);
  };
  for (const [value, text] of Object.entries(options)) {
    const button = make("button", { text, data: { value } });
    button.addEventListener("click", () => { mark(value); choose(value); });
    group.append(button);
  }
  mark(Object.keys(options)[0]);
  return group;
}

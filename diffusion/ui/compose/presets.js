// The presets: buttons that set sampler and steps, and one that starts a race.
import { make } from "../shared/dom.js";
import { Part } from "../shared/part.js";
import { t } from "../shared/words.js";

// The facts are [{name, steps, method, race}]. A message is the name of the preset that the rail agrees with, or null.
export function mount(host) { return new Presets(host); }

class Presets extends Part {
  constructor({ element, facts, trigger }) {
    super();
    this.buttons = facts.map((preset) => this.own(buttonOf(preset)));
    element.querySelector("[role=group]").append(...this.buttons);
    this.on(element, "click", ({ target }) => {
      const button = target.closest("[data-preset]");
      if (button) trigger(button.ariaPressed ? "choose" : "race", { preset: button.dataset.preset });
    });
  }

  receive(chosen) {
    for (const button of this.buttons) if (button.ariaPressed) button.ariaPressed = button.dataset.preset === chosen;
  }
}

function buttonOf({ name, steps, method, race }) {
  const more = ` ${t("of")} ${method}${race ? t(": watch the race") : ""}`;
  const state = race ? {} : { "aria-pressed": false };
  return make("button", { data: { preset: name }, ...state },
    make("b", { text: t(name) }), " ",
    make("small", {}, `${steps} ${t("steps")}`, make("i", { text: more })));
}

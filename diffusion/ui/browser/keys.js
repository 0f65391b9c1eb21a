// The keys of the page. They leave fields alone, and whatever a focused control does with a key of its own.
import { player } from "./player.js";
import { t } from "./words.js";

const TYPED = "input:not([type=checkbox], [type=radio], [type=range], [type=button]), textarea, select, [contenteditable], [role=combobox], [role=listbox], dialog";
const PRESSED = "button, a[href], summary, input, [role=slider], [role=button], [role=radio], [tabindex]:not([tabindex='-1'])"; // take the space bar
const MOVED = "[type=range], [type=radio], [role=slider], [role=radiogroup], [role=tablist], fieldset"; // take the arrows
const LIST = [
  ["Space", "Play or pause"],
  ["← →", "Step through the film, from noise to music"],
  ["G", "Generate"],
  ["S", "Stop"],
  ["R", "Draw another seed"],
  ["L", "Lock the seed, or unlock it"],
  ["X", "Swap A and B, once two takes are chosen"],
  ["?", "This list"],
];

const press = (selector) => document.querySelector(`${selector}:not([disabled])`)?.click();

export function mount(host, score) {
  const list = build();
  const walk = (by) => {
    const film = score.find(".film input");
    if (film.disabled || !film.offsetParent) return false;
    film.value = Number(film.value) + by;
    film.dispatchEvent(new Event("input", { bubbles: true }));
    return true;
  };
  const keys = {
    g: () => press("#generate"),
    s: () => press("#stop"),
    r: () => press("#dice"),
    l: () => press("#keep input"),
    "?": () => list.togglePopover(),
  };
  document.addEventListener("keydown", (event) => {
    const at = event.target instanceof Element ? event.target : document.body;
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (at.closest(TYPED) || document.documentElement.classList.contains("stage")) return;
    if (event.key === " ") {
      if (at.closest(PRESSED) || event.repeat) return;
      if (player.buffer) player.toggle();
    } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      if (at.closest(MOVED) || event.shiftKey || !walk(event.key === "ArrowLeft" ? -1 : 1)) return;
    } else {
      const act = keys[event.key.toLowerCase()];
      if (!act || event.repeat) return;
      act();
    }
    event.preventDefault();
  });
}

// The list of keys, and the button that opens it.
function build() {
  const list = document.createElement("div");
  list.id = "keys";
  list.popover = "auto";
  list.setAttribute("role", "dialog");
  list.setAttribute("aria-label", t("Keys"));
  list.innerHTML = "<h2></h2><dl></dl>";
  list.firstChild.textContent = t("Keys");
  for (const [key, what] of LIST) {
    const row = document.createElement("div");
    row.innerHTML = "<dt></dt><dd></dd>";
    row.firstChild.replaceChildren(...key.split(" ").map((each) => Object.assign(document.createElement("kbd"), { textContent: t(each) })));
    row.lastChild.textContent = t(what);
    list.lastChild.append(row);
  }
  const button = document.querySelector("#presets .show-keys");
  button.popoverTargetElement = list;
  button.setAttribute("aria-label", t("Keys"));
  document.querySelector(".gradio-container").append(list);
  return list;
}

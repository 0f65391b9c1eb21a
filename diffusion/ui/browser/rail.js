// The rail, in the browser: another label is heard at once while the seed is locked.

import { player } from "./player.js";

const SETTLE_MS = 250; // of several choices in a row, the last counts

// The seed that the field holds: a number, or what the server says that a word stands for.
function heldSeed() {
  const text = document.querySelector("#seed input").value.trim();
  return Number(/^\d+$/.test(text) ? text : document.querySelector("#meaning [data-seed]")?.dataset.seed);
}

export function mount(host, score) {
  let choice;
  document.addEventListener("change", (event) => {
    if (!event.target.closest?.("#style, #ensemble, #mode, #tempo, #key, #beat, #ending")) return;
    clearTimeout(choice);
    choice = setTimeout(() => {
      const seed = score.clip?.settings.seed, racing = score.element.classList.contains("racing");
      if (racing || seed !== heldSeed() || !document.querySelector("#keep input").checked) return;
      score.wait();
      score.asked = player.playing; // it goes on sounding if the clip before it does
      host.trigger("switch", { seed });
    }, SETTLE_MS);
  });
}

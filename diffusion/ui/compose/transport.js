// The face of the player on the canvas: play and loop, the playhead and the axis of seconds, and a hand that moves it.
import { make } from "../shared/dom.js";
import { Part } from "../shared/part.js";
import { player } from "../shared/player.js";
import { t } from "../shared/words.js";

const MOVES_S = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5 };

const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;

export class Transport extends Part {
  constructor(host, canvas) {
    super();
    this.canvas = canvas;
    const [play, loop, seek] = [".play", ".loop", ".seek"].map((selector) => canvas.find(selector));
    Object.assign(this, { play, loop, seek });
    this.on(play, "click", () => player.toggle());
    this.on(loop, "click", () => { player.loop = !player.loop; });
    this.on(seek, "pointerdown", (event) => { seek.setPointerCapture(event.pointerId); this.#point(event); });
    this.on(seek, "pointermove", (event) => { if (seek.hasPointerCapture(event.pointerId)) this.#point(event); });
    this.on(seek, "keydown", (event) => this.#key(event));
    this.on(player, "change", () => this.#look());
    this.on(canvas, "run", ({ detail: { duration_s: length, settings } }) => {
      if (!canvas.clip) this.#axis(length ?? settings.duration_s);
    });
    this.on(canvas, "clip", () => this.#show());
    player.follow(() => this.#follow(), this.signal);
  }

  #look() {
    this.canvas.element.classList.toggle("playing", player.playing);
    this.play.setAttribute("aria-label", player.playing ? t("Pause") : t("Play"));
    this.loop.setAttribute("aria-pressed", player.loop);
  }

  #show() {
    this.play.disabled = false;
    this.#axis(player.duration);
    this.seek.setAttribute("aria-valuemax", player.duration);
    this.canvas.find(".end").textContent = clock(player.duration);
    this.#follow();
  }

  #follow() {
    const { position, duration } = player, values = { position: position.toFixed(1), duration: duration.toFixed(1) };
    this.canvas.find(".playhead").style.left = `${duration ? (100 * position) / duration : 0}%`;
    this.canvas.find(".now").textContent = clock(position);
    this.seek.setAttribute("aria-valuenow", values.position);
    this.seek.setAttribute("aria-valuetext", t("{position} of {duration} seconds", values));
  }

  #point(event) {
    const box = this.seek.getBoundingClientRect();
    player.seek(((event.clientX - box.left) / box.width) * player.duration);
  }

  #key(event) {
    if (event.key in MOVES_S) player.seek(player.position + MOVES_S[event.key]);
    else if (event.key === "Home") player.seek(0);
    else if (event.key === "End") player.seek(player.duration);
    else if (event.key === " ") player.toggle();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #axis(length) {
    const step = length > 30 ? 5 : length > 6 ? 1 : 0.5;
    this.canvas.find(".seconds").replaceChildren(...Array.from({ length: Math.floor(length / step) + 1 }, (_, i) => {
      const tick = make("span", { text: i * step + (i ? "" : " s") });
      tick.style.left = `${(100 * i * step) / length}%`;
      return tick;
    }));
  }
}

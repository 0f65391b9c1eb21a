// The slow reveal: the beliefs of a run, one crossfading into the next at one looping playhead.
import { bytesOf, make } from "../shared/dom.js";
import { Part } from "../shared/part.js";
import { player } from "../shared/player.js";
import { t } from "../shared/words.js";

const INTO_S = 0.25; // from the clip into the noise, and back when the visitor has had enough
const NOISE_S = 0.5; // of noise alone, before it gives way
const SCRUB_MS = 120; // a hand that rests for so long wants to hear the step
const SLOWEST_S = 4;
const THUMB_PX = 8;
const HELD_MS = 10_000; // longer than any picture takes to decode
const ICON = `<svg viewBox="0 0 24 24" aria-hidden="true">
<path d="M3 12h.01M7.5 12h.01M12 10v4M16.5 7v10M21 3.5v17"/></svg>`;

export class Reveal extends Part {
  #turn = 0; // whatever was begun in an earlier one is late
  #on = false; // whether the reveal plays or waits for its first sounds
  #sounding = false;
  #step = null; // index of the frame that a hand has chosen to hear; null is the clip
  #own = null; // the buffer that was put on from here
  #unlooped = false;
  #timer = null;
  #pace = 0; // seconds that the server took for the last sound
  #run = null; // whose sounds these are
  #asked = new Map(); // step -> promise of {bytes, seconds}: FLAC, since decoded sound takes ten times as much
  #here = new Map(); // index of a frame -> FLAC that has come

  constructor({ server }, canvas) {
    super();
    Object.assign(this, { server, canvas, film: canvas.film });
    this.#build();
    this.on(this.button, "click", () => this.toggle());
    this.on(canvas, "walk", () => this.#scrub());
    this.on(canvas, "picture", () => this.#label());
    this.on(canvas, "film", () => this.#look());
    this.on(canvas, "run", () => {
      if (this.#on || this.#step !== null) this.#put(canvas.clip.buffer, INTO_S);
      this.#reset();
    });
    this.on(canvas, "clip", () => this.#reset());
    this.on(player, "sound", () => { if (player.buffer !== this.#own) this.#reset(); });
    this.on(player, "change", () => { if (this.#sounding && !player.playing) this.stop(); });
    this.undo(() => this.#reset());
  }

  // Plays the reveal of the clip that is on; while it plays, ends it.
  toggle() { return this.#on ? this.stop() : this.play(); }

  async play() {
    if (this.film.disabled || !this.canvas.frames.length) return;
    this.#reset();
    const turn = this.#turn, late = () => turn !== this.#turn;
    this.#on = true;
    this.#look();
    try {
      const stops = [...this.canvas.frames.keys()].filter((index) => !this.#whole(index));
      stops.push(this.canvas.frames.length);
      this.#prefetch(stops, late);
      let [now] = await Promise.all([this.#buffer(stops[0]), this.#buffer(stops[1])]);
      if (late()) return;
      this.#unlooped = !player.loop;
      player.loop = true;
      if (!player.playing) player.seek(0);
      this.#put(now, INTO_S);
      await player.play();
      this.#sounding = true;
      this.#look();
      this.canvas.announce(t("From noise to music, step by step."));
      this.#clear(stops[0], INTO_S);
      await this.#until(INTO_S + NOISE_S, late);
      for (let i = 1; i < stops.length && !late(); i += 1) {
        const next = await this.#buffer(stops[i]), { seconds: planned } = await this.#sound(stops[i - 1]);
        if (late()) return;
        // A server that is slower than the film gets slower crossfades: better than a halt at every step.
        const ready = i + 1 >= stops.length || this.#whole(stops[i + 1]) || this.#here.has(stops[i + 1]);
        const seconds = ready ? planned : Math.max(planned, Math.min(this.#pace, SLOWEST_S));
        this.#put(next, seconds, correlation(now, next));
        this.#clear(stops[i], seconds);
        await this.#until(seconds, late);
        now = next;
      }
      if (!late()) this.#reset();
    } catch (error) {
      if (late()) return;
      this.stop();
      this.canvas.fail(error.message);
    }
  }

  // Back to the clip at the same position.
  stop() {
    if (!this.#on) return;
    this.#reset();
    if (player.buffer !== this.canvas.clip.buffer) this.#put(this.canvas.clip.buffer, INTO_S);
    this.canvas.showFrame(this.canvas.frames.length);
  }

  // The hand on the film: its picture at once, and where it rests, its sound; until that comes, the nearest one here.
  #scrub() {
    const index = Number(this.film.value);
    this.#reset();
    if (this.#whole(index)) {
      if (player.buffer !== this.canvas.clip.buffer) this.#put(this.canvas.clip.buffer);
      return;
    }
    this.#step = index;
    const turn = this.#turn;
    let exact = false;
    const hear = async (which) => {
      try {
        const buffer = await this.#buffer(which);
        if (turn !== this.#turn || exact) return;
        exact = which === index;
        this.#put(buffer);
      } catch (error) {
        if (turn === this.#turn) this.canvas.fail(error.message);
      }
    };
    const near = [...this.#here.keys()].sort((a, b) => Math.abs(a - index) - Math.abs(b - index))[0];
    if (this.#run === this.canvas.clip.run && near !== undefined && (player.playing || near === index)) hear(near);
    if (near !== index) this.#timer = this.later(SCRUB_MS, () => hear(index));
  }

  // Nothing that was begun goes on; what is heard and seen stays.
  #reset() {
    this.#turn += 1;
    this.cancel(this.#timer);
    if (this.#unlooped) player.loop = this.#unlooped = false;
    this.#on = this.#sounding = false;
    this.#step = null;
    for (const { veil } of this.panes) for (const animation of veil.getAnimations()) animation.cancel();
    this.#look();
  }

  // The last step believes what the clip is; so does the place behind it.
  #whole(index) {
    const frame = this.canvas.frames[index];
    return !frame || frame.index === frame.total;
  }

  async #buffer(index) {
    if (this.#whole(index)) return this.canvas.clip.buffer;
    const { bytes } = await this.#sound(index);
    return player.decode(bytes.slice(0));
  }

  #sound(index) {
    const { run } = this.canvas.clip, step = this.canvas.frames[index].index;
    if (run !== this.#run) {
      this.#run = run;
      this.#asked.clear();
      this.#here.clear();
    }
    if (!this.#asked.has(step)) {
      const answer = this.#ask(run, step).then((sound) => {
        if (run === this.#run) this.#here.set(index, sound.bytes);
        return sound;
      });
      answer.catch(() => { if (run === this.#run) this.#asked.delete(step); });
      this.#asked.set(step, answer);
    }
    return this.#asked.get(step);
  }

  async #ask(run, step) {
    let answer;
    try {
      answer = await this.server.belief({ run, step });
    } catch {
      throw new Error(t("The server does not answer."));
    }
    if (!answer) throw new Error(t("This film has expired: generate again."));
    return { bytes: bytesOf(answer.audio).buffer, seconds: answer.seconds };
  }

  // One after the other, in the order in which they are needed.
  async #prefetch(stops, late) {
    for (const index of stops.slice(0, -1)) {
      if (late()) return;
      const start = performance.now();
      try { await this.#sound(index); } catch { return; }
      this.#pace = (performance.now() - start) / 1000;
    }
  }

  // How loud the clip was put on, its beliefs are too.
  #put(buffer, fade = SCRUB_MS / 1000, alike = 0) {
    this.#own = buffer;
    player.show(buffer, { fade, correlation: alike, gain: player.gain });
  }

  // Time goes by as it is heard.
  async #until(seconds, late) {
    const end = player.context.currentTime + seconds;
    for (let left = seconds; left > 0 && !late(); left = end - player.context.currentTime) {
      await this.rest(Math.min(200, 1000 * left + 1));
    }
  }

  // The picture of a frame comes out from under the one before.
  async #clear(index, seconds) {
    const turn = this.#turn, fade = !this.canvas.calm.matches;
    for (const { veil, image } of fade ? this.panes : []) {
      const leftover = veil.getAnimations()[0];
      const opacity = leftover ? getComputedStyle(veil).opacity : 0;
      const both = new OffscreenCanvas(image.naturalWidth || 1, image.naturalHeight || 1);
      const brush = both.getContext("2d");
      brush.drawImage(image, 0, 0);
      brush.globalAlpha = opacity;
      if (opacity > 0) brush.drawImage(veil, 0, 0, both.width, both.height);
      [veil.width, veil.height] = [both.width, both.height];
      veil.getContext("2d").drawImage(both, 0, 0);
      leftover?.cancel();
      veil.animate([{ opacity: 1 }, { opacity: 1 }], { duration: HELD_MS });
    }
    await this.canvas.showFrame(index);
    for (const { veil } of fade ? this.panes : []) {
      for (const animation of veil.getAnimations()) animation.cancel();
      if (turn === this.#turn) veil.animate([{ opacity: 1 }, { opacity: 0 }], { duration: 1000 * seconds });
    }
  }

  #build() {
    const title = t("The steps of this run as sound, from noise to music"), text = t("Hear it emerge");
    this.button = this.own(make("button", { className: "reveal", html: ICON, title }, make("span", { text })));
    this.canvas.find("[data-slot=reveal]").append(this.button);
    this.tag = this.own(make("span", { className: "film-step", "aria-hidden": true }));
    this.film.after(this.tag);
    this.panes = [...this.canvas.element.querySelectorAll(".pane")].map((pane) => {
      const image = pane.querySelector("img"), veil = this.own(make("canvas", { className: "reveal-veil" }));
      image.after(veil);
      return { image, veil };
    });
    this.#look();
  }

  #look() {
    this.button.disabled = this.film.disabled;
    this.button.setAttribute("aria-pressed", this.#on);
    this.button.classList.toggle("expected", this.#on && !this.#sounding);
    this.#label();
  }

  // Which step is on show, and heard if anything is, beside the thumb of the film.
  #label() {
    const { film, tag } = this, index = Number(film.value), frame = this.canvas.frames[index];
    const text = film.disabled || !frame ? "" : t("step {step} of {total}", { step: frame.index, total: frame.total });
    film.setAttribute("aria-valuetext", text || t("the clip"));
    tag.hidden = !text;
    tag.textContent = text;
    tag.style.left = `${film.offsetLeft + THUMB_PX + ((film.offsetWidth - 2 * THUMB_PX) * index) / (film.max || 1)}px`;
  }
}

// How alike two sounds are at the same time, from 0 to 1.
function correlation(one, other) {
  const a = one.getChannelData(0), b = other.getChannelData(0);
  let ab = 0, aa = 0, bb = 0;
  for (let i = 0; i < Math.min(a.length, b.length); i += 5) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return Math.max(0, ab / Math.sqrt(aa * bb || 1));
}

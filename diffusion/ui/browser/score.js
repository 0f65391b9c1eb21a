// The score: pictures of a run as they come, and the face of the player for the clip that it ends in.
import { player } from "./player.js";
import { details, lower, names, t } from "./words.js";

const FRAME_MS = 50; // pictures come faster than anyone can look on a fast machine: each stays for a moment
const TAKEOVER_S = 0.25; // the same noise with other words goes on where the clip before it is
const ASK_MS = 700; // between two questions to the server about the run
const ANSWER_MS = 5000; // a server that takes longer does not answer
const [ABSENT, SILENT, PATIENCE] = [1, 4, 12]; // it gives a run up that is nowhere twelve times, or is silent three times
const [NAME_PX, ASIDE_PX] = [13, 8]; // the height of a note's name, and how far it may be from the note to make room

const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;
const minus = (text) => text.replace("-", "−");
const stop = () => document.querySelector("#stop");
const rest = (ms) => new Promise((done) => setTimeout(done, ms));
const remaining = ({ index, total, seconds }) => (index ? `${((seconds / index) * (total - index)).toFixed(1)} s` : "–");
const logSnr = ({ log_snr: value }) => (Number.isFinite(value) && value < 30 ? minus(value.toFixed(2)) : "∞");
export const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

export class Score extends EventTarget {
  // Fires "run" when a run begins, "picture" when a step is shown, "clip" when a clip is on; `clip` and `frames` say which.
  // And "message" for whatever comes from the server (`detail`), which whoever prevents it keeps from being shown.
  clip = null; // the last finished clip, which stays playable while the next is made
  frames = []; // pictures of the run on show: {index, total, t, log_snr, evaluations, seconds, noise, belief}
  asked = false; // whether the visitor asked for the run on show: then it may sound by itself

  #run = null; // messages of older ones are late
  #over = new Set(); // runs that are finished or overtaken
  #queue = []; // pictures still to be shown
  #drawing = false;
  #pending = null; // a finished clip whose pictures are still being shown
  #note = null; // what the server said about the link that led here
  #visitor = null; // the server's name for this page, to ask it about the run
  #watching = false;

  constructor({ element, server, trigger }) {
    super();
    this.element = element;
    this.server = server;
    this.trigger = trigger;
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.#noise();
    this.#transport();
    new ResizeObserver(() => this.#notes()).observe(this.find(".panes"));
    document.addEventListener("refused", () => this.#refused());
    document.addEventListener("click", (event) => { if (this.waiting && event.target.closest("#stop")) this.#leave(); });
  }

  get waiting() { return this.element.classList.contains("waiting"); }
  get busy() { return this.waiting || this.element.classList.contains("sampling"); }

  find(selector) { return this.element.querySelector(selector); }

  say(text) {
    this.find(".message").textContent = text;
    this.find(".message").classList.remove("error");
  }

  fail(text) {
    this.say(text);
    this.find(".message").classList.add("error");
    this.announce(text);
  }

  announce(text) { this.find(".announcement").textContent = text; }

  // Every message of the server comes here: {kind: frame | clip | note | error, ...}.
  receive(message) {
    if (!message) return;
    this.#visitor = message.visitor ?? this.#visitor;
    const heard = new CustomEvent("message", { detail: message, cancelable: true });
    if (!this.dispatchEvent(heard) || this.#over.has(message.run)) return;
    if (message.kind === "frame") {
      if (message.run !== this.#run) this.#begin(message);
      if (this.frames.some((frame) => frame.index === message.index)) return;
      this.frames.push(message);
      this.#queue.push(message);
      this.#roll();
    } else if (message.kind === "clip") {
      if (message.run !== this.#run) this.#begin(message);
      const last = this.frames.length ? this.frames[this.frames.length - 1].index : -1;
      if (!(this.calm.matches && last < 0)) this.#queue.push(...message.film.filter((frame) => frame.index > last));
      this.#over.add(message.run);
      this.#pending = message;
      this.#roll();
    } else if (message.kind === "note") {
      this.#note = message;
      if (message.wrong) this.fail(t(message.text));
      else this.say(t(message.text));
    } else if (message.kind === "error") {
      this.#giveUp(t(message.text));
    }
  }

  // The visitor has asked for a run, which may have to wait for those of others.
  wait() {
    this.asked = true;
    this.#note = null;
    this.element.classList.add("waiting");
    this.say(t("Waiting for a turn."));
    stop().disabled = false; // the server enables it with the first picture
    if (this.find(".panes").getBoundingClientRect().top < 0) { // as on a phone, whose button is below
      this.find(".score").scrollIntoView({ behavior: this.calm.matches ? "auto" : "smooth" });
    }
    this.#watch();
  }

  // Lets go of the run on show: nothing of it is drawn any more.
  drop() {
    if (this.#run) this.#over.add(this.#run);
    this.#run = this.#pending = null;
    this.#queue = [];
    this.element.classList.remove("sampling", "waiting");
  }

  // Puts a finished clip on: its picture, its film, its sound. Pictures of a run that is under way stay.
  async showClip(clip, { sound = player.playing, position = 0, gain = 1, fade = undefined } = {}) {
    clip.buffer ??= await player.decode(bytesOf(clip.audio).buffer, clip.sample_rate_hz);
    this.clip = clip;
    if (!this.element.classList.contains("sampling")) this.#showFilm(clip);
    this.element.querySelector(".score").dataset.clip = clip.run;
    const download = this.find(".download");
    if (download.href) URL.revokeObjectURL(download.href);
    if (clip.example) { // its settings make the WAV; what is here is smaller
      download.removeAttribute("href");
      download.setAttribute("aria-disabled", "true");
    } else {
      download.href = URL.createObjectURL(new Blob([bytesOf(clip.audio)], { type: "audio/wav" }));
      download.download = clip.name;
      download.removeAttribute("aria-disabled");
    }
    this.find(".link").disabled = this.find(".play").disabled = false;
    player.show(clip.buffer, { position, gain, fade });
    this.#axis(player.duration);
    this.find(".seek").setAttribute("aria-valuemax", player.duration);
    this.find(".end").textContent = clock(player.duration);
    this.follow();
    if (sound) await player.play();
    this.dispatchEvent(new Event("clip"));
  }

  // Shows picture `index` of the film; the one past the last is the finished clip's.
  async showFrame(index) {
    this.find(".film input").value = index;
    const frame = this.frames[index] ?? this.frames[this.frames.length - 1];
    if (frame) await this.#picture(frame);
    if (index >= this.frames.length && this.clip) this.#paint("belief", this.clip.score);
    this.element.style.setProperty("--progress", 0);
  }

  title(clip) {
    const { settings } = clip, { seed } = settings, [first, second] = names(settings);
    const more = details(settings).map((name) => `, ${lower(name)}`).join("");
    if (second) return t("{style} for {ensemble}, made of noise {seed}.", { style: first, ensemble: lower(second) + more, seed });
    return t("{name}, made of noise {seed}.", { name: (first ?? t("Anything")) + more, seed });
  }

  #showFilm(clip) {
    this.frames = [...clip.film];
    const film = this.find(".film input"), last = this.frames.at(-1);
    film.max = this.frames.length || 1; // before the value, which it bounds
    film.value = film.max;
    film.disabled = !last;
    this.#paint("belief", clip.score);
    this.#paint("noise", last?.noise ?? clip.score);
    const step = clip.settings.stopped_at ?? last?.total;
    this.#number("step", last ? `${step} / ${last.total}` : "–");
    this.#number("t", last && step < last.total ? last.t.toFixed(3) : "0.000");
    this.#number("log_snr", last && step < last.total ? logSnr(last) : "∞");
    this.#number("evaluations", String(clip.settings.evaluations));
    this.#number("seconds", `${clip.seconds.toFixed(1)} s`);
    this.#number("remaining", "–");
    this.#number("seed", String(clip.settings.seed));
    this.element.style.setProperty("--progress", 0);
  }

  #begin(next) {
    if (this.#run) this.#over.add(this.#run);
    this.#run = next.run;
    this.frames = [];
    this.#queue = [];
    this.#pending = null;
    this.element.classList.add("sampling");
    this.element.classList.remove("waiting");
    this.find(".film input").disabled = true;
    if (!this.clip) this.#axis(next.duration_s || next.settings.duration_s);
    if (this.asked || !this.#note?.wrong) this.say(t("Composing.")); // what is wrong with the link stays readable
    this.dispatchEvent(new Event("run"));
    this.#watch();
  }

  // While a run waits or goes on, asks the server about it: for its place in the queue, and lest it be waited for in vain.
  async #watch() {
    if (this.#watching) return;
    this.#watching = true;
    for (let misses = 0; this.busy && misses < PATIENCE;) {
      await rest(ASK_MS);
      if (!this.busy) break; // over meanwhile: nothing to ask
      const run = await this.#ask();
      if (run?.place && this.waiting) this.say(t("You are number {place} in the queue.", run));
      misses = run?.place || run?.running ? 0 : misses + (run ? ABSENT : SILENT);
      if (misses >= PATIENCE && this.busy) this.#giveUp(run ? t("The run is lost. Generate it again.") : t("The server does not answer."));
    }
    this.#watching = false;
  }

  // Where the visitor's run is, or nothing if the server does not say.
  #ask() { return Promise.race([this.server.whereabouts(this.#visitor), rest(ANSWER_MS)]).catch(() => null); }

  // A request of this page has failed, perhaps that for the run.
  async #refused() {
    const run = await this.#ask();
    if (!this.busy || run?.place || run?.running) return;
    if (run?.full) this.#giveUp(t("The queue is full. Try again in a minute."));
    else this.#giveUp(run ? t("The server could not take the run. Generate it again.") : t("The server does not answer."));
  }

  // Lets those behind go first.
  #leave() {
    this.trigger("leave", {});
    this.#letGo();
    this.say(t("You left the queue."));
  }

  #giveUp(text) {
    this.#letGo();
    this.fail(text);
  }

  #letGo() {
    if (this.waiting) stop().disabled = true;
    this.drop();
    this.asked = false;
    if (this.clip) this.#showFilm(this.clip);
  }

  async #finish() {
    const clip = this.#pending;
    this.#pending = null;
    this.element.classList.remove("sampling", "waiting");
    const { stopped_at: step, steps } = clip.settings;
    const text = step === null
      ? this.title(clip)
      : t("Stopped after step {step} of {steps}: this is what the model believed.", { step, steps });
    const note = this.asked ? null : this.#note;
    if (note?.wrong) this.fail(t(note.text));
    else this.say(note ? `${text} ${t(note.text)}` : text);
    const same = ["seed", "duration_s"].every((name) => this.clip?.settings[name] === clip.settings[name]);
    const place = player.playing && same ? { position: null, fade: TAKEOVER_S } : {};
    await this.showClip(clip, { sound: this.asked || player.playing, ...place });
    this.announce(t("{title} Ready to play.", { title: text }));
    this.asked = false;
  }

  async #roll() {
    if (this.#drawing) return;
    this.#drawing = true;
    while (this.#queue.length) {
      await this.#picture(this.#queue.shift());
      if (this.#queue.length || this.#pending) await rest(FRAME_MS);
    }
    this.#drawing = false;
    if (this.#pending) await this.#finish();
  }

  async #picture(frame) {
    this.#number("step", `${frame.index} / ${frame.total}`);
    this.#number("t", frame.t.toFixed(3));
    this.#number("log_snr", logSnr(frame));
    this.#number("evaluations", String(frame.evaluations));
    this.#number("seconds", `${frame.seconds.toFixed(1)} s`);
    this.#number("remaining", remaining(frame));
    this.#number("seed", String(frame.seed));
    this.element.style.setProperty("--progress", frame.index / frame.total);
    await Promise.all([this.#paint("noise", frame.noise), this.#paint("belief", frame.belief || frame.noise)]);
    this.find(".panes").dataset.index = frame.index;
    this.dispatchEvent(new Event("picture"));
  }

  #number(name, text) { this.find(`[data-number="${name}"]`).textContent = text; }

  // Decoded before it is shown, so that nothing flickers.
  async #paint(name, uri) {
    const next = new Image();
    next.src = uri;
    try { await next.decode(); } catch { return; }
    this.find(`[data-picture="${name}"] img`).src = uri;
  }

  // The names of low notes, which lie closer together, step aside below one another, and are hidden where that is too far.
  #notes() {
    for (const notes of this.element.querySelectorAll(".notes")) {
      let room = Infinity;
      for (const note of [...notes.children].reverse()) {
        const height = (parseFloat(note.style.bottom) / 100) * notes.clientHeight, shift = Math.max(0, height - room);
        note.classList.toggle("hidden", shift > ASIDE_PX);
        note.firstElementChild.style.translate = `0 ${shift}px`;
        if (shift <= ASIDE_PX) room = height - shift - NAME_PX;
      }
    }
  }

  #axis(length) {
    const step = length > 30 ? 5 : length > 6 ? 1 : 0.5;
    this.find(".seconds").replaceChildren(...Array.from({ length: Math.floor(length / step) + 1 }, (_, i) => {
      const tick = document.createElement("span");
      tick.textContent = i * step + (i ? "" : " s");
      tick.style.left = `${(100 * i * step) / length}%`;
      return tick;
    }));
  }

  follow() {
    const { position, duration } = player, seek = this.find(".seek");
    this.find(".playhead").style.left = `${duration ? (100 * position) / duration : 0}%`;
    this.find(".now").textContent = clock(position);
    seek.setAttribute("aria-valuenow", position.toFixed(1));
    seek.setAttribute("aria-valuetext", t("{position} of {duration} seconds", { position: position.toFixed(1), duration: duration.toFixed(1) }));
    if (player.playing) requestAnimationFrame(() => this.follow());
  }

  #transport() {
    const play = this.find(".play"), seek = this.find(".seek"), film = this.find(".film input"), link = this.find(".link");
    const loop = this.find(".loop");
    loop.addEventListener("click", () => { player.loop = !player.loop; });
    play.addEventListener("click", () => player.toggle());
    player.addEventListener("change", () => {
      this.element.classList.toggle("playing", player.playing);
      play.setAttribute("aria-label", player.playing ? t("Pause") : t("Play"));
      loop.setAttribute("aria-pressed", player.loop);
      this.follow();
    });
    const point = (event) => {
      const box = seek.getBoundingClientRect();
      player.seek(((event.clientX - box.left) / box.width) * player.duration);
    };
    seek.addEventListener("pointerdown", (event) => { seek.setPointerCapture(event.pointerId); point(event); });
    seek.addEventListener("pointermove", (event) => { if (seek.hasPointerCapture(event.pointerId)) point(event); });
    seek.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5 };
      if (event.key in moves) player.seek(player.position + moves[event.key]);
      else if (event.key === "Home") player.seek(0);
      else if (event.key === "End") player.seek(player.duration);
      else if (event.key === " ") player.toggle();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    film.addEventListener("input", () => this.showFrame(Number(film.value)));
    for (const button of this.element.querySelectorAll(".views button")) {
      button.addEventListener("click", () => {
        this.find(".panes").dataset.view = button.dataset.view;
        this.#notes();
        for (const each of this.element.querySelectorAll(".views button")) each.setAttribute("aria-pressed", each === button);
      });
    }
    link.addEventListener("click", async () => {
      const url = `${location.origin}${location.pathname}?${this.clip.query}`;
      try {
        await navigator.clipboard.writeText(url);
        link.textContent = t("Copied");
      } catch {
        history.replaceState(null, "", url);
        link.textContent = t("Link is in the address bar");
      }
      setTimeout(() => { link.textContent = t("Copy link"); }, 2500);
    });
    document.addEventListener("click", (event) => {
      const button = event.target.closest("#generate");
      if (button && !button.disabled) this.wait();
    });
  }

  // Until the first message there is noise, as everywhere here.
  #noise() {
    const canvas = document.createElement("canvas");
    canvas.width = 320;
    canvas.height = 64;
    const context = canvas.getContext("2d"), image = context.createImageData(320, 64);
    for (let i = 0; i < image.data.length; i += 4) {
      const level = (Math.random() + Math.random() + Math.random()) / 3;
      image.data.set([255 * level ** 0.9, 190 * level ** 2.4, 120 * level * (1 - level) * 2, 255], i);
    }
    context.putImageData(image, 0, 0);
    for (const picture of this.element.querySelectorAll(".pane img")) picture.src = canvas.toDataURL();
  }
}

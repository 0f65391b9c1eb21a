// The canvas: pictures of a run as they come, the clip that it ends in, and what the page says about both.
import { bytesOf, make, paint } from "../shared/dom.js";
import { Line } from "../shared/line.js";
import { Part } from "../shared/part.js";
import { player } from "../shared/player.js";
import { counted, spoken, t } from "../shared/words.js";

const FRAME_MS = 50; // pictures come faster than anyone can look on a fast machine: each stays for a moment
const BACKLOG = 24; // pictures; of more than a film has, those in between are left out
const TAKEOVER_S = 0.25; // the same noise with other words goes on where the clip before it is
const ASK_MS = 700; // between two questions to the server about the run
const ANSWER_MS = 5000; // a server that takes longer does not answer
const ABSENT_MS = 8000; // a run is given up of which an answering server has known nothing for so long
const WHOLE_MS = 10_000; // so long after the server answers again, what the page begins with is here or lost
const [NAME_PX, ASIDE_PX] = [13, 8]; // the height of a note's name, and how far it may be from the note to make room

const minus = (text) => text.replace("-", "−");
const took = (seconds) => `${seconds.toFixed(1)} s`;
const remaining = ({ index, total, seconds }) => (index ? took((seconds / index) * (total - index)) : "–");
const logSnr = ({ log_snr: value }) => (Number.isFinite(value) && value < 30 ? minus(value.toFixed(2)) : "∞");

export class Canvas extends Part {
  // Fires "message" for whatever comes from the server (`detail`), which whoever prevents it keeps from being shown;
  // "run" when a run begins (`detail` is its first message); "picture" when a step is shown; "film" when there is
  // another film to walk through, or none; "walk" when a hand has walked through it; "clip" when a clip is on.
  clip = null; // the last finished clip, which stays playable while the next is made
  frames = []; // pictures of the run on show: {index, total, t, log_snr, evaluations, seconds, noise, belief}
  frame = null; // the one of them on show, null for the finished picture
  asked = false; // whether the visitor asked for the run on show: then it may sound by itself
  pitch = null; // the axis that pictures are drawn on (hands/pitch.js), as they come without one

  #run = null; // messages of older ones are late
  #over = new Set(); // runs that are finished or overtaken
  #queue = []; // pictures still to be shown
  #drawing = false;
  #pictures = new Map(); // name -> address of the picture on show
  #pending = null; // a finished clip whose pictures are still being shown
  #note = null; // what the server said about the link that led here
  #visitor = null; // the server's name for this page, to ask it about the run
  #watching = false;
  #turn = 0; // counts what was asked for

  constructor({ element, server, trigger }, deck) {
    super();
    Object.assign(this, { element, server, trigger, deck });
    this.line = this.own(new Line(this.find(".message")));
    this.film = this.find(".film input");
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    const before = noise();
    for (const image of element.querySelectorAll(".pane img")) image.src = before;
    const observer = new ResizeObserver(() => this.#nameNotes());
    observer.observe(this.find(".panes"));
    this.undo(() => observer.disconnect());
    this.on(this.film, "input", () => this.#walked());
    this.on(this.find(".views"), "click", ({ target }) => this.#view(target.closest("button")));
    this.on(deck, "generate", () => this.wait());
    this.on(deck, "stop", () => { if (this.waiting) this.#leave(); });
    this.on(document, "refused", () => this.#refused());
    this.on(document, "network", ({ detail: { answers } }) => {
      if (answers) this.later(WHOLE_MS, () => this.#complete());
    });
  }

  get waiting() { return this.element.classList.contains("waiting"); }
  get sampling() { return this.element.classList.contains("sampling"); }
  get busy() { return this.waiting || this.sampling; }
  get covered() { return this.element.classList.contains("covered"); }
  get visitor() { return this.#visitor; }

  find(selector) { return this.element.querySelector(selector); }

  say(text) { this.line.say(text); }

  fail(text) {
    this.line.say(text, true);
    this.announce(text);
  }

  announce(text) { this.find(".announcement").textContent = text; }

  // Brings what the page says into sight.
  lookUp() { this.find(".message").scrollIntoView({ block: "nearest", behavior: this.#behaviour }); }

  // Something else takes the place of the canvas, or gives it back.
  cover(on) { this.element.classList.toggle("covered", on); }

  // Every message of the server comes here: {kind: visitor | frame | clip | note | error, ...}.
  receive(message) {
    if (!message) return;
    this.#visitor = message.visitor ?? this.#visitor;
    if (!this.fire("message", message) || this.#over.has(message.run)) return;
    if (message.kind === "frame") {
      if (message.run !== this.#run) this.#begin(message);
      if (this.frames.some((frame) => frame.index === message.index)) return;
      this.frames.push(message);
      this.#queue.push(message);
      this.#roll();
    } else if (message.kind === "clip") {
      if (message.run !== this.#run) this.#begin(message);
      const last = this.frames.at(-1)?.index ?? -1;
      if (!(this.calm.matches && last < 0)) this.#queue.push(...message.film.filter((frame) => frame.index > last));
      this.#over.add(message.run);
      this.#pending = message;
      this.#roll();
    } else if (message.kind === "note") {
      this.#note = message;
      if (message.wrong) this.fail(counted(message.text));
      else this.say(counted(message.text));
    } else if (message.kind === "error") {
      this.#giveUp(t(message.text));
    }
  }

  // The visitor has asked for a run, which may have to wait for those of others.
  wait() {
    this.asked = true;
    this.#turn += 1;
    this.#note = null;
    this.element.classList.add("waiting");
    this.say(t("Waiting for a turn."));
    this.deck.stoppable = true;
    if (this.find(".panes").getBoundingClientRect().top < 0) { // as on a phone, whose button is below
      this.find(".canvas").scrollIntoView({ behavior: this.#behaviour });
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
    if (!this.sampling) this.#showFilm(clip);
    this.find(".canvas").dataset.clip = clip.run;
    player.show(clip.buffer, { position, gain, fade });
    this.fire("clip");
    if (sound) player.play();
  }

  // Shows picture `index` of the film; the one past the last is the finished clip's.
  async showFrame(index) {
    this.film.value = index;
    const frame = this.frames[index], last = this.frames.at(-1);
    if (frame ?? last) await this.#picture(frame ?? last, frame);
    if (!frame && this.clip) this.#paint("belief", this.clip.picture);
    this.element.style.setProperty("--progress", 0);
  }

  // Walks through the film by some pictures. False if there is none in sight.
  walk(by) {
    if (this.film.disabled || !this.film.offsetParent) return false;
    this.film.value = Number(this.film.value) + by;
    this.#walked();
    return true;
  }

  // Draws what is on show once more, since its axis is another one.
  repaint() {
    for (const [name, uri] of this.#pictures) this.#paint(name, uri);
    this.#nameNotes();
  }

  titleOf(clip) { return t("{title}, made of noise {seed}.", { title: spoken(clip.title), seed: clip.settings.seed }); }

  get #behaviour() { return this.calm.matches ? "auto" : "smooth"; }

  #walked() {
    this.showFrame(Number(this.film.value));
    this.fire("walk");
  }

  #open(on) {
    this.film.disabled = !on;
    this.fire("film");
  }

  #showFilm(clip) {
    const { film } = this, { evaluations, seed, stopped_at: stopped } = clip.settings;
    this.frames = [...clip.film];
    this.frame = null;
    const last = this.frames.at(-1), step = stopped ?? last?.total, short = last && step < last.total;
    film.max = this.frames.length || 1; // before the value, which it bounds
    film.value = film.max;
    this.#open(Boolean(last));
    this.#paint("belief", clip.picture);
    this.#paint("noise", last?.noise ?? clip.picture);
    this.#count({
      step: last ? `${step} / ${last.total}` : "–", t: short ? last.t.toFixed(3) : "0.000",
      log_snr: short ? logSnr(last) : "∞", evaluations, seconds: took(clip.seconds), remaining: "–", seed,
    });
    this.element.style.setProperty("--progress", 0);
  }

  #begin(first) {
    if (this.#run) this.#over.add(this.#run);
    this.#run = first.run;
    this.frames = [];
    this.frame = null;
    this.#queue = [];
    this.#pending = null;
    this.element.classList.add("sampling");
    this.element.classList.remove("waiting");
    this.#open(false);
    if (this.asked || !this.#note?.wrong) this.say(t("Composing.")); // what is wrong with the link stays readable
    this.fire("run", first);
    this.#watch();
  }

  // While a run waits or goes on, asks the server for its place in the queue, and whether it is there at all.
  async #watch() {
    if (this.#watching) return;
    this.#watching = true;
    for (let absent_ms = 0; this.busy && absent_ms < ABSENT_MS;) {
      await this.rest(ASK_MS);
      if (!this.busy) break; // over meanwhile: nothing to ask
      const run = await this.#ask();
      if (!this.busy) break;
      if (run) this.line.find();
      else this.line.lose(); // the run may go on all the same
      if (run?.place && this.waiting) this.say(t("You are number {place} in the queue.", run));
      const here = this.#queue.length || this.#pending; // what has come is still being drawn
      if (run) absent_ms = run.place || run.running || here ? 0 : absent_ms + ASK_MS;
    }
    if (this.busy && !this.destroyed) this.#giveUp(t("The run is lost. Generate it again."));
    this.#watching = false;
  }

  // Where the visitor's run is, or nothing if the server does not say.
  #ask() { return Promise.race([this.server.whereabouts(this.#visitor), this.rest(ANSWER_MS)]).catch(() => null); }

  // A request of this page has failed, perhaps that for the run.
  async #refused() {
    const turn = this.#turn, run = await this.#ask();
    if (turn !== this.#turn || run?.place || run?.running) return;
    if (!this.busy) this.deck.free();
    else if (!run) this.#giveUp(t("The server does not answer."));
    else if (run.full) this.#giveUp(t("The queue is full. Try again in a minute."));
    else this.#giveUp(t("The server could not take the run. Generate it again."));
  }

  // Says so if the page has not got what it begins with.
  #complete() { if (!this.#visitor) this.fail(t("The page is not complete. Reload it.")); }

  // Lets those behind go first.
  #leave() {
    this.trigger("leave", {});
    this.#letGo();
    this.say(t("You left the queue."));
  }

  #giveUp(text) {
    this.trigger("leave", {});
    this.deck.free();
    this.#letGo();
    this.fail(text);
  }

  #letGo() {
    if (this.waiting) this.deck.stoppable = false;
    this.drop();
    this.asked = false;
    if (this.clip) this.#showFilm(this.clip);
  }

  async #finish() {
    const clip = this.#pending, { stopped_at: step, steps } = clip.settings;
    this.#pending = null;
    this.element.classList.remove("sampling", "waiting");
    const text = step === null
      ? this.titleOf(clip)
      : t("Stopped after step {step} of {steps}: this is what the model believed.", { step, steps });
    const note = this.asked ? null : this.#note;
    if (note?.wrong) this.fail(counted(note.text));
    else this.say(note ? `${text} ${counted(note.text)}` : text);
    const like = ["seed", "duration_s"].every((name) => this.clip?.settings[name] === clip.settings[name]);
    const same = this.clip && (like || clip.parent === this.clip.run);
    const place = player.playing && same ? { position: null, fade: TAKEOVER_S } : {};
    await this.showClip(clip, { sound: this.asked || player.playing, ...place });
    this.announce(t("{title} Ready to play.", { title: text }));
    this.asked = false;
  }

  async #roll() {
    if (this.#drawing) return;
    this.#drawing = true;
    while (this.#queue.length) {
      this.#queue.splice(0, this.#queue.length - BACKLOG);
      const frame = this.#queue.shift();
      await this.#picture(frame, frame);
      if (this.#queue.length || this.#pending) await this.rest(FRAME_MS);
    }
    this.#drawing = false;
    if (this.#pending) await this.#finish();
  }

  // Draws a frame; `shown` is what is on show then: nothing for the finished picture, which comes over the last frame.
  async #picture(frame, shown) {
    this.frame = shown ?? null;
    this.#count({
      step: `${frame.index} / ${frame.total}`, t: frame.t.toFixed(3), log_snr: logSnr(frame),
      evaluations: frame.evaluations, seconds: took(frame.seconds), remaining: remaining(frame), seed: frame.seed,
    });
    this.element.style.setProperty("--progress", frame.index / frame.total);
    await Promise.all([this.#paint("noise", frame.noise), this.#paint("belief", frame.belief || frame.noise)]);
    this.find(".panes").dataset.index = frame.index;
    this.fire("picture");
  }

  #count(numbers) {
    for (const [name, value] of Object.entries(numbers)) this.find(`[data-number="${name}"]`).textContent = value;
  }

  async #paint(name, uri) {
    this.#pictures.set(name, uri);
    await paint(this.find(`[data-picture="${name}"] img`), this.pitch?.musical ? await this.pitch.warped(uri) : uri);
  }

  // One picture, or both.
  #view(chosen) {
    if (!chosen) return;
    this.find(".panes").dataset.view = chosen.dataset.view;
    for (const button of this.find(".views").children) button.setAttribute("aria-pressed", button === chosen);
    this.#nameNotes();
  }

  // The names of low notes, which lie closer together, step aside below one another. Where that is too far they hide.
  #nameNotes() {
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
}

// A picture of noise, as everywhere here, for the time before the first message.
function noise() {
  const [width, height] = [320, 64], grain = make("canvas", { width, height });
  const context = grain.getContext("2d"), image = context.createImageData(width, height);
  for (let i = 0; i < image.data.length; i += 4) {
    const level = (Math.random() + Math.random() + Math.random()) / 3;
    image.data.set([255 * level ** 0.9, 190 * level ** 2.4, 120 * level * (1 - level) * 2, 255], i);
  }
  context.putImageData(image, 0, 0);
  return grain.toDataURL();
}

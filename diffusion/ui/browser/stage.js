// Stage mode: the score alone, for a room to read from the last row, and a presenter's keys.
import { player } from "./player.js";
import * as reveal from "./reveal.js";
import { details, names, t } from "./words.js";

const STALL_MS = 6000; // a run that says nothing for so long is replaced by a clip that was made before
const STEP_IN_S = 1.2;
const BLACK_S = 0.8;
const HELP_MS = 6000;
const TAKES = 16;

// Clickers send page keys, a full stop or B, and F5.
const ACTIONS = {
  " ": "play", ArrowRight: "next", PageDown: "next", ArrowLeft: "back", PageUp: "back", ArrowUp: "up", ArrowDown: "down",
  b: "black", ".": "black", e: "reveal", f: "full", Escape: "leave", Enter: "retry", F5: "start", "?": "help",
};

export function mount(host, score) {
  const stage = new Stage(host, score);
  if (new URLSearchParams(location.search).has("stage")) stage.enter();
}

class Stage {
  #on = false;
  #full = false; // whether the stage has put the page on the full screen
  #ask = null; // what the room waits for; messages that answer anything older are late
  #answered = null; // what it got last
  #stall = 0;
  #preset = null; // the title of the last one that a key chose
  #kept = new Map(); // preset -> the last clip that it made
  #shipped = null;
  #takes = []; // clips of this visit, and which of them is on
  #at = -1;
  #codes = new Map(); // clip's id -> {url, svg}, null where there is no address
  #black = null; // while black: whether to play on
  #cut = false; // the network went away after the page had come
  #presets = [...document.querySelectorAll("#presets [data-preset]")].map((button) => button.dataset.preset);
  #quiet = 0;

  constructor(host, score) {
    this.host = host;
    this.score = score;
    this.#build();
    score.addEventListener("message", (event) => this.#hear(event));
    score.addEventListener("run", () => this.#note(""));
    score.addEventListener("picture", () => this.#count());
    score.addEventListener("clip", () => this.#shown());
    window.addEventListener("keydown", (event) => this.#press(event), { capture: true });
    window.addEventListener("offline", () => { this.#cut = true; if (this.#ask) this.#standIn(t("No connection: this clip was made before.")); });
    window.addEventListener("online", () => { this.#cut = false; });
    document.addEventListener("refused", () => { if (this.#on && this.#ask) this.#standIn(t("The live run failed: this clip was made before.")); });
    document.addEventListener("fullscreenchange", () => {
      if (!document.fullscreenElement && this.#full) { this.#full = false; this.leave(); }
    });
    new MutationObserver((changes) => {
      const lane = changes.map(({ target }) => target).find((target) => target.matches(".lane.done:not(.sounding)") && !target.dataset.heard);
      if (!this.#on || !lane) return;
      lane.dataset.heard = "yes";
      if (this.#black === null) lane.querySelector(".listen").click();
    }).observe(score.element, { subtree: true, attributeFilter: ["class"] });
    for (const name of ["pointermove", "pointerdown"]) document.addEventListener(name, () => this.#help());
  }

  enter() {
    if (this.#on) return;
    this.#on = true;
    this.#remember();
    this.root.hidden = false;
    document.documentElement.classList.add("stage");
    this.root.focus();
    this.#help();
    if (this.score.clip) this.#shown();
  }

  leave() {
    if (!this.#on) return;
    this.#light();
    this.#on = false;
    this.#remember();
    this.root.hidden = true;
    document.documentElement.classList.remove("stage", "quiet");
    if (document.fullscreenElement && this.#full) document.exitFullscreen();
    this.#full = false;
    this.opener?.focus();
  }

  // The address says which view this is, so that it comes back after a reload.
  #remember() {
    const url = new URL(location);
    if (this.#on) url.searchParams.set("stage", "1");
    else url.searchParams.delete("stage");
    history.replaceState(history.state, "", url);
  }

  #press(event) {
    if (!this.#on || event.ctrlKey || event.metaKey || event.altKey) return;
    if ([" ", "Enter"].includes(event.key) && event.target.closest?.("#stage button")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key, action = ACTIONS[key] ?? (/^[1-9]$/.test(key) ? key : null);
    if (!action) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!event.repeat) this.act(action);
  }

  act(action) {
    if (this.score.clip && player.context.state === "suspended") player.context.resume(); // a key is leave to sound
    if (this.#black !== null && !["black", "leave"].includes(action)) this.#light();
    const preset = this.#presets[Number(action) - 1];
    if (preset && !this.#cut && this.#racer(preset)) this.#race(preset);
    else if (preset) this.#want({}, preset);
    else if (action === "next") this.#want({});
    else if (action === "up") this.#want({ turn: -1 });
    else if (action === "down") this.#want({ turn: 1 });
    else if (action === "retry") { this.#cut = false; this.#want({}); }
    else if (action === "back") this.#back();
    else if (action === "play") player.toggle();
    else if (action === "start") { player.seek(0); player.play(); }
    else if (action === "black") this.#black === null ? this.#darken() : this.#light();
    else if (action === "reveal") this.#emerge();
    else if (action === "full") this.#screen();
    else if (action === "leave") this.leave();
    else if (action === "help") this.#help();
  }

  // Asks for the clip on show in another way: a preset, a new seed, or the seed held and a turn to another ensemble.
  #want(wish, preset = this.#preset) {
    this.#preset = preset;
    if (this.#cut) { this.#standIn(t("No connection: this clip was made before.")); return; }
    this.#ask = Array.from(crypto.getRandomValues(new Uint32Array(2)), (word) => word.toString(16)).join("");
    this.#note("");
    this.host.trigger("stage", { ask: this.#ask, preset, settings: this.score.clip?.settings ?? null, ...wish });
    this.score.wait();
    this.line.textContent = t("Waiting for a turn.");
    this.#watch();
  }

  // The button of a preset that is no setting but a race, if it is one.
  #racer(preset) { return document.querySelector(`#presets [data-preset="${CSS.escape(preset)}"]:not([aria-pressed])`); }

  #race(preset) {
    clearTimeout(this.#stall);
    this.#ask = null;
    this.#note("");
    this.piece.textContent = t("A race from one noise");
    this.line.textContent = t("Each is heard as soon as it is there.");
    this.#racer(preset).click();
  }

  #watch() {
    clearTimeout(this.#stall);
    this.#stall = setTimeout(() => this.#standIn(t("The live run is late: this clip was made before.")), Number(this.root.dataset.stallMs));
  }

  #hear(event) {
    const message = event.detail;
    if (message.kind === "clip" && message.welcome) this.#shipped = message;
    if (message.kind === "error" && this.#ask && this.#on) {
      event.preventDefault();
      this.#standIn(t("The live run failed: this clip was made before."));
    } else if (message.ask && message.ask !== this.#ask) {
      if (message.ask === this.#answered) return;
      event.preventDefault();
      if (message.kind === "clip") this.#late(message);
    } else if (message.ask) {
      this.#watch();
      this.#headline(message.asked);
      if (message.kind !== "clip") return;
      clearTimeout(this.#stall);
      [this.#answered, this.#ask] = [this.#ask, null];
      if (this.#preset && message.settings.stopped_at === null) this.#kept.set(this.#preset, message);
    }
  }

  // A clip that was made before takes the place of a run that does not come.
  async #standIn(reason) {
    clearTimeout(this.#stall);
    this.#ask = null;
    const clip = this.#kept.get(this.#preset) ?? this.#shipped ?? this.score.clip;
    this.score.drop();
    this.score.find(".race:not([hidden]) .close")?.click();
    this.score.asked = false;
    if (!clip) { this.score.fail(reason); return; }
    await this.score.showClip(clip, { sound: this.#black === null, position: null, fade: STEP_IN_S });
    this.score.say(this.score.title(clip));
    this.#note(reason);
    this.score.announce(reason);
  }

  // It does not push its way on stage, but waits where "back" finds it.
  #late(clip) {
    if (this.#at < 0) return;
    this.#takes.splice(this.#at, 0, clip);
    this.#at += 1;
    this.#note(t("The late run is here: ← shows it."));
  }

  async #back() {
    const race = this.score.find(".race:not([hidden])");
    if (race) {
      race.querySelector(".close").click();
      this.#shown();
    }
    if (this.#at <= 0 || this.score.busy) { player.seek(0); await player.play(); return; }
    const clip = this.#takes[this.#at - 1];
    this.#note("");
    await this.score.showClip(clip, { sound: true, position: 0 });
    this.score.say(this.score.title(clip));
  }

  #shown() {
    const { clip } = this.score;
    const at = this.#takes.findIndex(({ run }) => run === clip.run);
    if (at < 0) {
      this.#takes.push(clip);
      if (this.#takes.length > TAKES) this.#takes.shift();
    }
    this.#at = at < 0 ? this.#takes.length - 1 : at;
    for (const take of this.#takes) if (take.run !== clip.run) delete take.buffer; // a sound is ten times its file
    if (!this.#on || this.#ask) return;
    this.#headline(clip.settings);
    this.#count();
    this.#code(clip);
  }

  #headline(settings) {
    const said = [...names(settings), ...details(settings)].map((each) => each.replaceAll(" ", "\u00a0")); // lines break between
    this.piece.textContent = said.join(" · ") || t("Anything");
  }

  #count() {
    if (!this.#on) return;
    const { clip, frames, busy } = this.score, index = Number(this.score.find(".panes").dataset.index);
    const frame = busy ? frames.find((each) => each.index === index) : frames[this.score.find(".film input").value];
    if (frame) {
      this.line.textContent = t("step {index} of {total} · {evaluations} evaluations · {seconds} s", { ...frame, seconds: frame.seconds.toFixed(1) });
    } else if (clip) {
      this.line.textContent = t("{steps} steps · {evaluations} evaluations · made in {seconds} s", { ...clip.settings, seconds: clip.seconds.toFixed(1) });
    }
  }

  #note(text) {
    this.remark.textContent = text;
    this.remark.hidden = !text;
  }

  // The code of the clip on show; without a connection only those that are known already.
  async #code(clip) {
    if (clip.handout && !this.#codes.has(clip.handout) && !this.#cut) {
      const page = new URL(".", document.baseURI).href.split("?")[0];
      try { this.#codes.set(clip.handout, await this.host.server.phone({ page, handout: clip.handout })); } catch { /* no code */ }
      if (this.score.clip !== clip) return;
    }
    const code = this.#codes.get(clip.handout);
    this.phone.hidden = code !== null && !code?.svg;
    this.phone.classList.toggle("nowhere", code === null);
    Object.assign(this.phone.dataset, { url: code?.url ?? "", clip: clip.run });
    this.phone.querySelector(".code").innerHTML = code?.svg ?? "";
    this.phone.querySelector("figcaption").textContent = code === null
      ? t("No address for phones: start with --host 0.0.0.0 or --public-url")
      : t("This clip on your phone");
  }

  #emerge() {
    if (this.#cut) this.#note(t("No connection: what was heard on the way is not here."));
    else reveal.start();
  }

  #darken() {
    this.#black = { playing: player.playing || this.score.asked, gain: player.gain, timer: 0 };
    this.score.asked = false; // what comes meanwhile stays silent
    if (player.buffer) player.show(player.buffer, { gain: 0, fade: BLACK_S });
    this.#black.timer = setTimeout(() => player.pause(), 1000 * BLACK_S);
    this.root.classList.add("black");
  }

  async #light() {
    if (this.#black === null) return;
    const { playing, gain, timer } = this.#black;
    this.#black = null;
    clearTimeout(timer);
    this.root.classList.remove("black");
    if (!player.buffer) return;
    if (playing) await player.play();
    player.show(player.buffer, { gain, fade: BLACK_S });
  }

  async #screen() {
    try {
      if (document.fullscreenElement) { this.#full = false; await document.exitFullscreen(); }
      else { await document.documentElement.requestFullscreen(); this.#full = true; }
    } catch { /* not every browser lets a page do that */ }
  }

  #help() {
    if (!this.#on) return;
    document.documentElement.classList.remove("quiet");
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => document.documentElement.classList.toggle("quiet", this.#on), HELP_MS);
  }

  #build() {
    this.root = make("section", "", this.score.element.closest(".contain") ?? document.body);
    Object.assign(this.root, { id: "stage", hidden: true, tabIndex: -1 });
    this.root.setAttribute("aria-label", t("Stage"));
    this.root.dataset.stallMs = STALL_MS;
    this.keys = make("div", "keys", this.root);
    this.keys.setAttribute("role", "group");
    this.keys.setAttribute("aria-label", t("Keys"));
    const bar = make("div", "bar", this.root), words = make("div", "words", bar);
    this.piece = make("h2", "piece", words);
    this.line = make("p", "line", words);
    this.remark = make("p", "remark", words);
    this.remark.hidden = true;
    this.phone = make("figure", "phone", bar);
    this.phone.hidden = true;
    make("div", "code", this.phone);
    make("figcaption", "", this.phone);
    make("div", "curtain", this.root);
    this.#legend();
    this.keys.addEventListener("focusin", () => this.#help());
    this.keys.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if (event.detail) button.blur(); // by hand: the next press of the space bar is for the music
      this.act(button.dataset.act);
    });
    this.opener = make("button", "stage-open", document.querySelector("[data-slot=stage]"));
    this.opener.type = "button";
    this.opener.textContent = t("Stage");
    this.opener.title = t("Stage: the score alone, for a room");
    this.opener.addEventListener("click", () => { this.enter(); this.#screen(); });
  }

  #legend() {
    const rows = [
      ...this.#presets.map((title, index) => [`${index + 1}`, `${index + 1}`, title]),
      ["play", t("Space"), t("Play")], ["next", "→", t("New noise")], ["back", "←", t("Back")], ["up", "↑", t("Ensemble")],
      ["down", "↓", t("Ensemble")], ["reveal", "E", t("Emerge")], ["black", "B", t("Black")],
      ["full", "F", t("Screen")], ["leave", "Esc", t("Leave")],
    ];
    this.keys.replaceChildren(...rows.map(([action, key, text]) => {
      const button = make("button");
      button.type = "button";
      button.dataset.act = action;
      button.setAttribute("aria-label", action === "up" ? t("Previous ensemble") : action === "down" ? t("Next ensemble") : text);
      make("kbd", "", button).textContent = key;
      if (action !== "up") button.append(text);
      return button;
    }));
  }
}

function make(tag, className = "", parent = null) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  parent?.append(element);
  return element;
}

// Stage mode: the canvas alone, for a room to read from the last row, and a presenter's keys.
import { commandOf, make } from "../shared/dom.js";
import { Part } from "../shared/part.js";
import { player } from "../shared/player.js";
import { spoken, t } from "../shared/words.js";

const STEP_IN_S = 1.2;
const BLACK_S = 0.8;
const HELP_MS = 6000;
const TAKES = 16;

// Clickers send page keys, a full stop or B, and F5.
const ACTIONS = {
  " ": "play", ArrowRight: "next", PageDown: "next", ArrowLeft: "back", PageUp: "back", ArrowUp: "up",
  ArrowDown: "down", b: "black", ".": "black", e: "reveal", f: "full", Escape: "leave", Enter: "retry", F5: "start",
  "?": "help",
};

export class Stage extends Part {
  #on = false;
  #full = false; // whether the stage has put the page on the full screen
  #ask = null; // what the room waits for; messages that answer anything older are late
  #answered = null; // what it got last
  #stall = null;
  #preset = null; // the name of the last one that a key chose
  #kept = new Map(); // preset -> the last clip that it made
  #shipped = null;
  #takes = []; // clips of this visit, and which of them is on
  #at = -1;
  #codes = new Map(); // clip's id -> {url, svg}, null where there is no address
  #black = null; // while black: whether to play on
  #cut = false; // the network went away after the page had come
  #quiet = null;

  // The facts that it reads: after `stall_ms` without a word a run is replaced by a clip that was made before;
  // `presets`, [{name, race}], are on the number keys; `turn` is the title of the label that up and down turn.
  constructor({ facts, server, trigger }, canvas, race, reveal, takes) {
    super();
    Object.assign(this, { facts, server, trigger, canvas, race, reveal });
    this.#build();
    this.on(canvas, "message", (event) => this.#hear(event));
    this.on(canvas, "run", () => this.#note(""));
    this.on(canvas, "picture", () => this.#count());
    this.on(canvas, "clip", () => this.#shown());
    this.on(takes, "recalled", ({ detail: clips }) => this.#takes.unshift(...clips.slice(-TAKES)));
    this.on(race, "ready", ({ detail: lane }) => { if (this.#on && this.#black === null) race.hear(lane); });
    this.on(window, "keydown", (event) => this.#press(event), { capture: true });
    this.on(window, "online", () => { this.#cut = false; });
    this.on(window, "offline", () => {
      this.#cut = true;
      if (this.#ask) this.#standIn(t("No connection: this clip was made before."));
    });
    this.on(document, "network", ({ detail: { answers } }) => {
      if (this.#on && !this.#ask) this.#note(answers ? "" : t("The server does not answer."));
    });
    this.on(document, "refused", () => {
      if (this.#on && this.#ask) this.#standIn(t("The live run failed: this clip was made before."));
    });
    this.on(document, "fullscreenchange", () => {
      if (!document.fullscreenElement && this.#full) { this.#full = false; this.leave(); }
    });
    this.on(document, "pointermove pointerdown", () => this.#help());
    if (new URLSearchParams(location.search).has("stage")) this.enter();
  }

  enter() {
    if (this.#on) return;
    this.#on = true;
    this.#remember();
    this.root.hidden = false;
    document.documentElement.classList.add("stage");
    this.root.focus();
    this.#help();
    if (this.canvas.clip) this.#shown();
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
    const key = commandOf(event, ACTIONS);
    const action = ACTIONS[key] ?? (/^[1-9]$/.test(key) ? key : null);
    event.stopImmediatePropagation(); // no other key means anything here
    if (!action) return;
    event.preventDefault();
    if (!event.repeat) this.act(action);
  }

  act(action) {
    if (this.#black !== null && !["black", "leave"].includes(action)) this.#light();
    const preset = this.facts.presets[Number(action) - 1];
    if (preset?.race && !this.#cut) this.#startRace();
    else if (preset) this.#want({}, preset.name);
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

  // Asks for the clip on show in another way: a preset, a new seed, or the seed held and another value of a label.
  #want(wish, preset = this.#preset) {
    this.#preset = preset;
    if (this.#cut) { this.#standIn(t("No connection: this clip was made before.")); return; }
    this.#ask = Array.from(crypto.getRandomValues(new Uint32Array(2)), (word) => word.toString(16)).join("");
    this.#note("");
    this.trigger("stage", { ask: this.#ask, preset, settings: this.canvas.clip?.settings ?? null, ...wish });
    this.canvas.wait();
    this.line.textContent = t("Waiting for a turn.");
    this.#watch();
  }

  // A race, which is no wish for a clip.
  #startRace() {
    this.cancel(this.#stall);
    this.#ask = null;
    this.#note("");
    this.piece.textContent = t("A race from one noise");
    this.line.textContent = t("Each is heard as soon as it is there.");
    this.trigger("race", {});
  }

  #watch() {
    this.cancel(this.#stall);
    const late = () => this.#standIn(t("The live run is late: this clip was made before."));
    this.#stall = this.later(Number(this.root.dataset.stallMs), late);
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
      this.#headline(message.asked.names);
      if (message.kind !== "clip") return;
      this.cancel(this.#stall);
      [this.#answered, this.#ask] = [this.#ask, null];
      if (this.#preset && message.settings.stopped_at === null) this.#kept.set(this.#preset, message);
    }
  }

  // A clip that was made before takes the place of a run that does not come.
  async #standIn(reason) {
    this.cancel(this.#stall);
    this.#ask = null;
    const clip = this.#kept.get(this.#preset) ?? this.#shipped ?? this.canvas.clip;
    this.canvas.drop();
    this.race.leave();
    this.canvas.asked = false;
    if (!clip) { this.canvas.fail(reason); return; }
    await this.canvas.showClip(clip, { sound: this.#black === null, position: null, fade: STEP_IN_S });
    this.canvas.say(this.canvas.titleOf(clip));
    this.#note(reason);
    this.canvas.announce(reason);
  }

  // It does not push its way on stage, but waits where "back" finds it.
  #late(clip) {
    if (this.#at < 0) return;
    this.#takes.splice(this.#at, 0, clip);
    this.#at += 1;
    this.#note(t("The late run is here: ← shows it."));
  }

  async #back() {
    if (this.race.open) {
      this.race.leave();
      this.#shown();
    }
    if (this.#at <= 0 || this.canvas.busy) { player.seek(0); await player.play(); return; }
    const clip = this.#takes[this.#at - 1];
    this.#note("");
    await this.canvas.showClip(clip, { sound: true, position: 0 });
    this.canvas.say(this.canvas.titleOf(clip));
  }

  #shown() {
    const { clip } = this.canvas;
    const at = this.#takes.findIndex(({ run }) => run === clip.run);
    if (at < 0) {
      this.#takes.push(clip);
      if (this.#takes.length > TAKES) this.#takes.shift();
    }
    this.#at = at < 0 ? this.#takes.length - 1 : at;
    for (const take of this.#takes) if (take.run !== clip.run) delete take.buffer; // a sound is ten times its file
    if (!this.#on || this.#ask) return;
    this.#headline(clip.names);
    this.#count();
    this.#code(clip);
  }

  #headline(names) {
    const said = spoken(names).map((each) => each.replaceAll(" ", "\u00a0")); // lines break between
    this.piece.textContent = said.join(" · ") || t("Anything");
  }

  #count() {
    if (!this.#on) return;
    const { clip, frame } = this.canvas;
    const values = { ...clip?.settings, ...frame, seconds: (frame ?? clip)?.seconds.toFixed(1) };
    if (frame) this.line.textContent = t("step {index} of {total} · {evaluations} evaluations · {seconds} s", values);
    else if (clip) this.line.textContent = t("{steps} steps · {evaluations} evaluations · made in {seconds} s", values);
  }

  #note(text) {
    this.remark.textContent = text;
    this.remark.hidden = !text;
  }

  // The code of the clip on show; without a connection only those that are known already.
  async #code(clip) {
    if (clip.handout && !this.#codes.has(clip.handout) && !this.#cut) {
      const { handout } = clip, page = new URL(".", document.baseURI).href.split("?")[0];
      try { this.#codes.set(handout, await this.server.phone({ page, handout })); } catch { /* no code */ }
      if (this.canvas.clip !== clip) return;
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
    else this.reveal.toggle();
  }

  #darken() {
    this.#black = { playing: player.playing || this.canvas.asked, gain: player.gain, timer: null };
    this.canvas.asked = false; // what comes meanwhile stays silent
    if (player.buffer) player.show(player.buffer, { gain: 0, fade: BLACK_S });
    this.#black.timer = this.later(1000 * BLACK_S, () => player.pause());
    this.root.classList.add("black");
  }

  async #light() {
    if (this.#black === null) return;
    const { playing, gain, timer } = this.#black;
    this.#black = null;
    this.cancel(timer);
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
    this.cancel(this.#quiet);
    this.#quiet = this.later(HELP_MS, () => document.documentElement.classList.toggle("quiet", this.#on));
  }

  #build() {
    this.keys = make("div", { className: "keys", role: "group", "aria-label": t("Keys") }, ...this.#legend());
    this.piece = make("h2", { className: "piece" });
    this.line = make("p", { className: "line" });
    this.remark = make("p", { className: "remark", hidden: true });
    this.phone = make("figure", { className: "phone", hidden: true },
      make("div", { className: "code" }),
      make("figcaption"));
    const words = make("div", { className: "words" }, this.piece, this.line, this.remark);
    const data = { stallMs: this.facts.stall_ms };
    this.root = this.own(make("section", { id: "stage", hidden: true, tabIndex: -1, "aria-label": t("Stage"), data },
      this.keys,
      make("div", { className: "bar" }, words, this.phone),
      make("div", { className: "curtain" })));
    (this.canvas.element.closest(".contain") ?? document.body).append(this.root);
    this.on(this.keys, "focusin", () => this.#help());
    this.on(this.keys, "click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if (event.detail) button.blur(); // by hand: the next press of the space bar is for the music
      this.act(button.dataset.act);
    });
    const title = t("Stage: the canvas alone, for a room");
    this.opener = this.own(make("button", { className: "stage-open", text: t("Stage"), title }));
    document.querySelector("[data-slot=stage]").append(this.opener);
    this.on(this.opener, "click", () => { this.enter(); this.#screen(); });
    this.undo(() => this.leave());
  }

  // The keys as buttons: [what it does, the key, its word, what a screen reader says instead].
  #legend() {
    const { presets, turn } = this.facts, label = turn && t(turn);
    const turns = [
      ["up", "↑", "", t("{label}: the one before", { label })],
      ["down", "↓", label, t("{label}: the next one", { label })],
    ];
    const rows = [
      ...presets.map(({ name }, index) => [`${index + 1}`, `${index + 1}`, name]),
      ["play", t("Space"), t("Play")], ["next", "→", t("New noise")], ["back", "←", t("Back")], ...(turn ? turns : []),
      ["reveal", "E", t("Emerge")], ["black", "B", t("Black")], ["full", "F", t("Screen")],
      ["leave", "Esc", t("Leave")],
    ];
    return rows.map(([act, key, text, said = text]) =>
      make("button", { data: { act }, "aria-label": said }, make("kbd", { text: key }), text));
  }
}

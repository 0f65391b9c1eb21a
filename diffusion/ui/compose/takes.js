// The takes of this visit: every clip that was made, and two of them against each other.
import { make } from "../shared/dom.js";
import { Part } from "../shared/part.js";
import { player } from "../shared/player.js";
import { lower, spoken, t } from "../shared/words.js";

const KEPT = 24; // older takes make room
const SIDES = ["A", "B"];
const DEEPEST = 3; // how far down the branches of the tree are drawn apart
const BESIDE_PX = 150; // of what stands before a new take stay in sight

export class Takes extends Part {
  // Fires "kept" for a clip that has become a take, "gone" for the run of one that has made room, and "recalled" for
  // those that were there before the page was loaded again, oldest first.
  #takes = []; // copies of clips {run, settings, picture, audio, ...}, newest first
  #marks = { A: null, B: null }; // runs
  #side = null; // which of the two is on
  #turn = Promise.resolve(); // one exchange after the other, however fast they are asked for

  #recalled = false; // whether one of them is on the canvas, in the place of the welcome

  constructor({ trigger }, canvas, root = document.querySelector(".takes")) {
    super();
    Object.assign(this, { trigger, canvas, root });
    this.strip = root.querySelector(".takes-strip");
    this.on(canvas, "clip", () => this.#keep(canvas.clip));
    this.on(canvas, "message", (event) => {
      if (event.detail.welcome && this.#recalled) event.preventDefault();
    });
    this.on(this.strip, "click", ({ target }) => this.#press(target.closest("button")));
    this.on(root.querySelector(".duel"), "click", ({ target }) => {
      const side = target.closest("[data-side]")?.dataset.side;
      if (side) this.hear(side);
    });
    this.#draw();
  }

  // Puts a take on the canvas; its sound takes over where the other's is.
  show(take, { gain = 1, sound = player.playing } = {}) {
    this.#turn = this.#turn.then(async () => {
      await this.canvas.showClip(take, { gain, sound, position: null });
      if (!this.canvas.sampling) this.canvas.say(this.canvas.titleOf(take));
    });
    return this.#turn;
  }

  // The takes of before a reload come back, newest first, and the one of them that was on show, a run.
  recall(clips, shown) {
    this.#takes.push(...clips.filter(({ run }) => !this.#takes.some((take) => take.run === run)));
    this.#draw();
    this.fire("recalled", clips.toReversed());
    const take = this.#takes.find(({ run }) => run === shown);
    if (!take || this.canvas.busy || player.playing) return;
    this.#recalled = true;
    this.show(take);
  }

  // One side of the pair, as loud as the quieter of the two.
  hear(side) {
    this.#side = side;
    this.#draw();
    return this.show(this.#marked(side), { gain: 10 ** (-this.#excess(side) / 20), sound: true });
  }

  // The other side of the pair. False if there is none.
  swap() { return this.#paired && this.hear(this.#side === "A" ? "B" : "A"); }

  get #paired() { return SIDES.every((side) => this.#marks[side]); }

  #marked(side) { return this.#takes.find((take) => take.run === this.#marks[side]); }

  // By how many dB a side is louder than the quieter one.
  #excess(side) {
    const levels = SIDES.map((each) => this.#marked(each).loudness_db ?? -70);
    return levels[SIDES.indexOf(side)] - Math.min(...levels);
  }


  #keep(clip) {
    let grown = null;
    if (!clip.welcome && !clip.example && !this.#takes.some((take) => take.run === clip.run)) {
      this.#takes.unshift({ ...clip });
      this.fire("kept", clip);
      for (const gone of this.#takes.splice(KEPT)) {
        this.fire("gone", gone.run);
        for (const side of SIDES) if (this.#marks[side] === gone.run) this.#marks[side] = null;
      }
      grown = clip.run;
    }
    if (this.#side && clip.run !== this.#marks[this.#side]) this.#side = null;
    const wanted = [clip.run, ...Object.values(this.#marks)];
    for (const take of this.#takes) if (!wanted.includes(take.run)) delete take.buffer; // a sound is ten times its file
    this.#draw();
    if (!grown) return;
    const card = this.strip.querySelector(`[data-run="${CSS.escape(grown)}"]`);
    this.strip.scrollTo({ left: card.offsetLeft - this.strip.offsetLeft - BESIDE_PX });
  }

  // The takes as they stand: each with those that were made of it behind it, oldest first. [take, depth, levels], the
  // levels being those at which more is to come behind.
  #tree() {
    const here = new Set(this.#takes.map(({ run }) => run));
    const children = Object.groupBy(this.#takes, ({ parent }) => (here.has(parent) ? parent : ""));
    const grow = (takes, depth, levels) => takes.flatMap((take, i) => {
      const more = depth && i < takes.length - 1 ? [...levels, depth] : levels;
      return [[take, depth, more], ...grow((children[take.run] ?? []).toReversed(), depth + 1, more)];
    });
    return grow(children[""] ?? [], 0, []);
  }

  #press(button) {
    const take = this.#takes.find(({ run }) => run === button?.closest("li").dataset.run);
    if (!take) return;
    if (button.dataset.side) this.#mark(button.dataset.side, take.run);
    else if (button.matches(".restore")) {
      this.trigger("restore", { settings: take.settings, name: t("This take") });
      this.canvas.lookUp();
    } else {
      this.#side = null;
      this.show(take);
    }
  }

  #mark(side, run) {
    const other = side === "A" ? "B" : "A", was = this.#side;
    if (this.#marks[other] === run) this.#marks[other] = null;
    this.#marks[side] = this.#marks[side] === run ? null : run;
    if (!this.#paired) this.#side = null;
    this.#draw();
    if (was && !this.#side) this.show(this.canvas.clip); // at its own loudness again
  }

  #draw() {
    const some = this.#takes.length > 0, duel = this.root.querySelector(".duel");
    this.root.classList.toggle("none", !some);
    this.root.querySelector(".takes-count").textContent = some ? this.#takes.length : "";
    this.root.querySelector(".takes-hint").textContent = this.#hint();
    this.strip.replaceChildren(...(some ? this.#tree().map((each) => this.#card(...each)) : [make("li", {
      className: "ghost",
      text: t("Every clip that you make stays here until you leave: to hear it again, to go on from its settings, to play two against each other."),
    })]));
    duel.hidden = !this.#paired;
    if (!this.#paired) return;
    duel.replaceChildren(...SIDES.map((side) => make("button", {
      text: side, data: { side }, "aria-pressed": this.#side === side,
      "aria-label": t("Hear take {side}: {name}", { side, name: nameOf(this.#marked(side)) }),
    })), make("span", { className: "key", text: "X" }));
  }

  #hint() {
    if (this.#paired) {
      const side = SIDES.find((each) => this.#excess(each) >= 0.05), level = side && this.#excess(side).toFixed(1);
      if (!side) return t("Equally loud as they are.");
      return t("Equally loud: {side} is turned down by {level} dB.", { side, level });
    }
    if (this.#takes.length < 2) return "";
    if (SIDES.some((side) => this.#marks[side])) return t("Now mark the other one.");
    return t("Mark two as A and B to play them against each other.");
  }

  #card(take, depth, levels) {
    const { edited, method, picture, run, seconds, settings } = take, on = this.canvas.clip?.run === run;
    const changes = edited ? spoken(edited).join(" · ") : "";
    const name = nameOf(take), whole = [name, changes, settings.seed].filter((each) => each !== "").join(", ");
    const says = t("Put this take on: {name}", { name: whole });
    const stopped = settings.stopped_at !== null;
    const steps = stopped ? t("stopped at {stopped_at} of {steps}", settings) : t("{steps} steps", settings);
    const card = make("li", { className: on ? "card on" : "card", data: { run } },
      make("button", { className: "put", "aria-label": says, "aria-pressed": on },
        make("span", { className: "thumb" },
          make("img", { src: picture, alt: "" }),
          make("span", { className: "length", text: `${settings.duration_s.toFixed(1)} s` })),
        make("span", { className: "words" },
          make("b", { text: name }),
          make("span", changes ? { className: "edited", text: changes } : { text: `${method} · ${steps}` }),
          make("span", { className: "number", text: `${t("seed")} ${settings.seed}` }))),
      make("div", { className: "tools" },
        make("span", { className: "made", text: t("made in {seconds} s", { seconds: seconds.toFixed(1) }) }),
        make("button", {
          className: "restore", text: t("Use settings"), "aria-label": t("Use the settings of {name}", { name: whole }),
        }),
        ...SIDES.map((side) => make("button", {
          className: "mark", text: side, data: { side },
          "aria-label": t("Mark as {side}: {name}", { side, name: whole }), "aria-pressed": this.#marks[side] === run,
        }))));
    card.classList.toggle("grown", depth > 0);
    card.style.setProperty("--depth", Math.min(depth, DEEPEST));
    card.prepend(...levels.map((level) => {
      const line = make("i", { className: "line" });
      line.style.setProperty("--level", Math.min(level, DEEPEST));
      return line;
    }));
    return card;
  }
}

function nameOf({ names }) {
  const [first = t("Anything"), ...more] = spoken(names);
  return [first, ...more.map(lower)].join(" · ");
}

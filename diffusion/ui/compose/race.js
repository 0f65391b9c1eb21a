// The race: two runs from one noise side by side. Each message is shown at its own time, sent now or recorded.
import { bytesOf, make, paint, PLAY_ICON } from "../shared/dom.js";
import { Part } from "../shared/part.js";
import { player } from "../shared/player.js";
import { spoken, t } from "../shared/words.js";

const LOOK_MS = 100; // between two looks at whether a message is due, at most
const LOST_MS = 1000; // before a server that does not answer is asked once more
const RECORDED = t("Recorded on this server, and shown in the time that it took.");
const LIVE = t("Live: both take turns at one model on this machine.");

const seconds = (s) => `${s.toFixed(1)} s`;

class Lane extends Part {
  // One of the two runs: its picture, its counts and, once it is there, its clip.
  clip = null;
  last = { at: 0, index: 0, evaluations: 0 };

  constructor({ name, method, steps }) {
    super();
    this.name = name;
    const count = (key, text) => make("div", {}, make("dt", { text }), make("dd", { data: { count: key }, text: "–" }));
    this.root = this.own(make("figure", { className: "lane" },
      make("figcaption", {},
        make("b", { text: name }), " ",
        make("span", { className: "method", text: t("{steps} steps of {method}", { steps, method }) }),
        make("span", { className: "state" })),
      make("div", { className: "picture" },
        make("img", { alt: t("Spectrogram of {name}", { name }) }),
        make("div", { className: "playhead", hidden: true })),
      make("div", { className: "counts" },
        make("button", { className: "listen", disabled: true, html: PLAY_ICON }),
        make("dl", {}, count("step", t("step")), count("evaluations", t("evaluations")), count("time", t("time"))))));
    this.look();
  }

  find(selector) { return this.root.querySelector(selector); }

  get heard() { return this.buffer !== undefined && player.buffer === this.buffer; }

  async show(message) {
    this.last = { ...this.last, ...message };
    const { at, index, total, evaluations, picture, clip } = message;
    this.#count("time", seconds(at));
    if (clip) {
      this.buffer = await player.decode(bytesOf(clip.audio).buffer);
      this.clip = clip;
      await paint(this.find("img"), clip.picture);
      this.#count("evaluations", clip.settings.evaluations);
      const { stopped_at: stopped } = clip.settings, whole = stopped === null, values = { stopped, time: seconds(at) };
      this.find(".state").textContent = whole ? t("Done after {time}", values) : t("Stopped at step {stopped}", values);
      this.root.classList.add("done");
      this.find(".listen").disabled = false;
      this.fire("ready");
    } else {
      this.#count("step", `${index} / ${total}`);
      this.#count("evaluations", evaluations);
      this.root.style.setProperty("--progress", index / total);
      if (picture) await paint(this.find("img"), picture);
    }
  }

  // From `position` on, or where the player is.
  async listen(position) {
    player.show(this.buffer, { position });
    await player.play();
  }

  // Its button and its playhead as the player has them.
  look() {
    const { name } = this, sounds = this.heard && player.playing, head = this.find(".playhead");
    this.find(".listen").setAttribute("aria-label", sounds ? t("Pause {name}", { name }) : t("Play {name}", { name }));
    this.root.classList.toggle("sounding", sounds);
    head.style.left = `${player.duration ? (100 * player.position) / player.duration : 0}%`;
  }

  #count(name, value) { this.find(`[data-count="${name}"]`).textContent = value; }
}

export class Race extends Part {
  // Fires "ready" when the clip of a lane (`detail`) is there.
  #on = null; // the race on show: {race, recorded, lanes, …}
  #lanes = [];
  #opener = null; // what had the focus before

  constructor({ server, trigger }, canvas, deck) {
    super();
    Object.assign(this, { server, trigger, canvas, deck });
    const close = make("button", { className: "close", text: t("Back to the canvas") });
    this.root = this.own(make("section", { className: "race", hidden: true, "aria-label": t("A race") },
      make("header", {}, make("h2", { tabIndex: -1 }), close),
      make("div", { className: "lanes" }),
      make("p", { className: "verdict", role: "status" })));
    canvas.find(".canvas").after(this.root);
    this.on(canvas, "message", (event) => {
      if (event.detail.kind !== "race") return;
      event.preventDefault();
      this.#open(event.detail);
    });
    this.on(canvas, "run", () => this.#close());
    this.on(deck, "stop", () => this.#stop());
    this.on(close, "click", () => {
      this.leave();
      this.#opener?.focus();
    });
    player.follow(() => this.#follow(), this.signal);
    this.undo(() => this.#close());
  }

  find(selector) { return this.root.querySelector(selector); }

  get open() { return this.#on !== null; }

  get #mine() { return this.#lanes.some((lane) => lane.heard); }

  // Plays a lane where the other one is, or from its beginning; the one that is on pauses, or goes on.
  hear(lane) { return lane.heard ? player.toggle() : lane.listen(this.#mine ? null : 0); }

  // The visitor has seen enough, and gets the canvas back.
  leave() {
    if (!this.open) return;
    if (!this.#on.over) this.#free();
    this.#close();
  }

  #open(race) {
    this.canvas.drop();
    this.#clear();
    this.#on = race;
    this.#opener = document.activeElement;
    this.#lanes = race.lanes.map((each) => {
      const lane = new Lane(each);
      lane.on(lane.find(".listen"), "click", () => this.hear(lane));
      lane.on(lane.find(".picture"), "click", (event) => this.#seek(lane, event));
      lane.on(lane, "ready", () => this.fire("ready", lane));
      return lane;
    });
    this.find(".lanes").append(...this.#lanes.map((lane) => lane.root));
    const name = spoken(race.names).join(", ") || t("Anything");
    this.find("h2").textContent = t("One noise, two ways: {name}, seed {seed}", { name, seed: race.seed });
    this.#say(race.recorded ? RECORDED : LIVE);
    this.root.hidden = false;
    this.canvas.cover(true);
    this.find("h2").focus({ preventScroll: true });
    this.root.scrollIntoView({ block: "nearest" });
    this.#run(race);
  }

  // Asks for messages as they come, and shows each when its time has come.
  async #run(race) {
    let after = 0, lost = false;
    for (let over = false; !over && this.#on === race;) {
      const news = await this.server.race_news({ race: race.race, after }).catch(() => undefined);
      if (this.#on !== race) return;
      if (news === undefined) { // it goes on without us
        lost = true;
        this.#say(t("The server does not answer."));
        await this.rest(LOST_MS);
        continue;
      }
      if (lost) this.#say(race.recorded ? RECORDED : LIVE);
      lost = false;
      if (!news || news.failed) return this.#end(race, t("The race was lost. Start it again."));
      if (!news.begun) this.#say(t("Another race is being recorded on this server; this one comes next."));
      else if (!after && news.messages.length && race.recorded) this.#say(RECORDED);
      after += news.messages.length;
      race.started ??= news.messages.length ? performance.now() : undefined;
      for (const message of news.messages) {
        race.waits = (race.waits ?? Promise.resolve()).then(() => this.#due(race, message));
      }
      over = news.over;
    }
    await race.waits;
    if (this.#on === race && !race.over) this.#end(race, this.#verdict(race));
  }

  async #due(race, message) {
    while (this.#on === race && !race.over) {
      const early = race.started + 1000 * message.at - performance.now();
      if (early <= 0) return this.#lanes[message.lane].show(message);
      await this.rest(Math.min(early, LOOK_MS));
    }
  }

  #verdict(race) {
    const [first, second] = this.#lanes, [one, other] = this.#lanes.map(({ clip }) => clip.settings);
    const ratio = second.last.at / first.last.at;
    const words = {
      first: first.name, a: seconds(first.last.at), n: one.evaluations,
      second: second.name, b: seconds(second.last.at), m: other.evaluations,
      step: other.stopped_at, steps: other.steps, ratio: ratio < 10 ? ratio.toFixed(1) : Math.round(ratio),
    };
    if (one.stopped_at !== null) return t("Stopped: both play what they believed then.");
    if (other.stopped_at !== null) return t("Stopped at step {step} of {steps}. {first} was ready after {a}.", words);
    return [
      t("{first} was ready {ratio} times sooner: after {a} and {n} evaluations, {second} after {b} and {m}.", words),
      race.recorded
        ? t("Measured when it was recorded on this server.")
        : t("Measured just now; both took turns at one model."),
    ].join(" ");
  }

  // The visitor wants no more of it; a live race ends with what both believe, which is still to come.
  #stop() {
    const race = this.#on;
    if (!race || race.over) return;
    if (race.recorded) this.#end(race, t("Stopped."));
    else this.#halt(race);
  }

  #halt(race) { this.server.race_halt({ race: race.race }).catch(() => {}); }

  #end(race, text) {
    race.over = true;
    this.#say(text);
    this.#free();
  }

  #free() {
    this.trigger("raced", {});
    this.deck.free();
  }

  #close() {
    const race = this.#on, mine = this.#mine;
    if (!race) return;
    if (!race.over) this.#halt(race);
    this.#on = null;
    this.root.hidden = true;
    this.canvas.cover(false);
    if (mine && this.canvas.clip) this.canvas.showClip(this.canvas.clip);
    this.#clear();
  }

  #clear() { for (const lane of this.#lanes.splice(0)) lane.destroy(); }

  // A click in a picture goes to that place; nothing is heard there before the clip is ready.
  #seek(lane, event) {
    if (!lane.clip) return;
    const box = event.currentTarget.getBoundingClientRect(), at = (event.clientX - box.left) / box.width;
    if (lane.heard) player.seek(at * player.duration);
    else lane.listen(at * lane.buffer.duration);
  }

  #follow() {
    const mine = this.#mine;
    for (const lane of this.#lanes) {
      lane.look();
      lane.find(".playhead").hidden = !mine || !lane.clip;
    }
  }

  #say(text) { this.find(".verdict").textContent = text; }
}

// The race: two runs from one noise side by side, each message shown at its own time, whether it was sent now or recorded.
import { bytesOf } from "./score.js";
import { player } from "./player.js";
import { details, named, t } from "./words.js";

const seconds = (s) => `${s.toFixed(1)} s`;
const rest = (ms) => new Promise((done) => setTimeout(done, ms));
const PLAY = '<svg viewBox="0 0 24 24" aria-hidden="true"><path class="to-play" d="M7 4.5v15l13-7.5z"/><path class="to-pause" d="M6 5h4.5v14H6zM13.5 5H18v14h-4.5z"/></svg>';

class Lane {
  // One of the two runs: its picture, its counts and, once it is there, its clip.
  clip = null;
  last = { at: 0, index: 0, evaluations: 0 };

  constructor({ name, method, steps }) {
    this.name = name;
    this.steps = steps;
    this.root = document.createElement("figure");
    this.root.className = "lane";
    this.root.innerHTML = `<figcaption><b></b> <span class="method"></span><span class="state"></span></figcaption>
      <div class="picture"><img alt=""><div class="playhead" hidden></div></div>
      <div class="counts"><button type="button" class="listen" disabled>${PLAY}</button><dl></dl></div>`;
    this.find("b").textContent = name;
    this.find(".method").textContent = t("{steps} steps of {method}", { steps, method });
    this.find("img").alt = t("Spectrogram of {name}", { name });
    for (const [key, word] of [["step", t("step")], ["evaluations", t("evaluations")], ["time", t("time")]]) {
      const row = document.createElement("div");
      row.innerHTML = `<dt></dt><dd data-count="${key}">–</dd>`;
      row.firstChild.textContent = word;
      this.find("dl").append(row);
    }
    this.label();
  }

  find(selector) { return this.root.querySelector(selector); }

  get on() { return this.buffer !== undefined && player.buffer === this.buffer; }

  async show(message) {
    this.last = { ...this.last, ...message };
    const { at, index, total, evaluations, picture, clip } = message;
    this.#count("time", seconds(at));
    if (clip) {
      this.buffer = await player.decode(bytesOf(clip.audio).buffer);
      this.clip = clip;
      await this.#paint(clip.score);
      this.#count("evaluations", String(clip.settings.evaluations));
      const { stopped_at: stopped } = clip.settings;
      this.find(".state").textContent = stopped === null ? t("Done after {time}", { time: seconds(at) }) : t("Stopped at step {stopped}", { stopped });
      this.root.classList.add("done");
      this.find(".listen").disabled = false;
    } else {
      this.#count("step", `${index} / ${total}`);
      this.#count("evaluations", String(evaluations));
      this.root.style.setProperty("--progress", index / total);
      if (picture) await this.#paint(picture);
    }
  }

  // From `position` on, or where the player is.
  async listen(position) {
    player.show(this.buffer, { position });
    await player.play();
  }

  label() {
    const sounds = this.on && player.playing;
    this.find(".listen").setAttribute("aria-label", sounds ? t("Pause {name}", { name: this.name }) : t("Play {name}", { name: this.name }));
    this.root.classList.toggle("sounding", sounds);
  }

  #count(name, text) { this.find(`[data-count="${name}"]`).textContent = text; }

  async #paint(uri) {
    const next = new Image();
    next.src = uri;
    try { await next.decode(); } catch { return; }
    this.find("img").src = uri;
  }
}

class Race {
  #on = null; // the race on show: {race, recorded, lanes, …}
  #lanes = [];
  #frame = 0;

  constructor(host, score) {
    this.host = host;
    this.score = score;
    this.root = document.createElement("section");
    this.root.className = "race";
    this.root.hidden = true;
    this.root.setAttribute("aria-label", t("A race"));
    this.root.innerHTML = `<header><h2 tabindex="-1"></h2><button type="button" class="close"></button></header>
      <div class="lanes"></div><p class="verdict" role="status"></p>`;
    this.find(".close").textContent = t("Back to the score");
    score.find(".score").after(this.root);
    score.addEventListener("message", (event) => {
      if (event.detail.kind !== "race") return;
      event.preventDefault();
      this.#open(event.detail);
    });
    score.addEventListener("run", () => this.#close());
    this.find(".close").addEventListener("click", () => {
      if (!this.#on.over) this.host.trigger("raced", {});
      this.#close();
      document.querySelector("#presets [data-preset]:not([aria-pressed])").focus();
    });
    document.addEventListener("click", (event) => { if (event.target.closest("#stop")) this.#stop(); });
    for (const name of ["change", "sound"]) player.addEventListener(name, () => this.#follow());
  }

  find(selector) { return this.root.querySelector(selector); }

  get #mine() { return this.#lanes.some((lane) => lane.on); }

  #open(race) {
    this.score.drop();
    this.#on = race;
    this.#lanes = race.lanes.map((lane) => new Lane(lane));
    for (const lane of this.#lanes) {
      lane.find(".listen").addEventListener("click", () => (lane.on ? player.toggle() : lane.listen(this.#mine ? null : 0)));
      lane.find(".picture").addEventListener("click", (event) => this.#seek(lane, event));
    }
    this.find(".lanes").replaceChildren(...this.#lanes.map((lane) => lane.root));
    const ensemble = [named(race.ensemble), ...details(race)].join(", ");
    this.find("h2").textContent = t("One noise, two ways: {style}, {ensemble}, seed {seed}", { ...race, style: named(race.style), ensemble });
    this.#say(race.recorded
      ? t("Recorded on this server, and shown in the time that it took.")
      : t("Live: both take turns at one model on this machine."));
    this.root.hidden = false;
    this.score.element.classList.add("racing");
    this.find("h2").focus({ preventScroll: true });
    this.root.scrollIntoView({ block: "nearest" });
    this.#run(race);
  }

  // Asks for messages as they come, and shows each when its time has come.
  async #run(race) {
    let after = 0;
    for (let over = false; !over && this.#on === race;) {
      const news = await this.host.server.race_news({ race: race.race, after }).catch(() => null);
      if (this.#on !== race) return;
      if (!news || news.failed) return this.#end(race, t("The race was lost. Start it again."));
      if (!news.begun) this.#say(t("Another race is being recorded on this server; this one comes next."));
      else if (!after && news.messages.length && race.recorded) this.#say(t("Recorded on this server, and shown in the time that it took."));
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
      await rest(Math.min(early, 100));
    }
  }

  #verdict(race) {
    const [first, second] = this.#lanes;
    const { stopped_at: step, steps } = second.clip.settings;
    if (first.clip.settings.stopped_at !== null) return t("Stopped: both play what they believed then.");
    if (step !== null) return t("Stopped at step {step} of {steps}. {first} was ready after {a}.", { step, steps, first: first.name, a: seconds(first.last.at) });
    const ratio = second.last.at / first.last.at;
    const words = {
      first: first.name, second: second.name, a: seconds(first.last.at), b: seconds(second.last.at),
      n: first.clip.settings.evaluations, m: second.clip.settings.evaluations, ratio: ratio < 10 ? ratio.toFixed(1) : Math.round(ratio),
    };
    const text = t("{first} was ready {ratio} times sooner: after {a} and {n} evaluations, {second} after {b} and {m}.", words);
    return `${text} ${race.recorded ? t("Measured when it was recorded on this server.") : t("Measured just now; both took turns at one model.")}`;
  }

  // The visitor wants no more of it; a live race ends with what both believe, which is still to come.
  #stop() {
    const race = this.#on;
    if (!race || race.over) return;
    if (race.recorded) this.#end(race, t("Stopped."));
    else this.#halt(race);
  }

  #halt(race) { this.host.server.race_halt({ race: race.race }).catch(() => {}); }

  #end(race, text) {
    race.over = true;
    this.#say(text);
    this.host.trigger("raced", {});
  }

  #close() {
    const race = this.#on;
    if (!race) return;
    if (!race.over) this.#halt(race);
    const mine = this.#mine;
    this.#on = null;
    this.root.hidden = true;
    this.score.element.classList.remove("racing");
    if (mine && this.score.clip) this.score.showClip(this.score.clip);
  }

  // A click in a picture goes to that place; nothing is heard there before the clip is ready.
  #seek(lane, event) {
    if (!lane.clip) return;
    const box = event.currentTarget.getBoundingClientRect(), at = (event.clientX - box.left) / box.width;
    if (lane.on) player.seek(at * player.duration);
    else lane.listen(at * lane.buffer.duration);
  }

  #follow() {
    cancelAnimationFrame(this.#frame);
    if (!this.#on) return;
    const mine = this.#mine;
    for (const lane of this.#lanes) {
      lane.label();
      const head = lane.find(".playhead");
      head.hidden = !mine || !lane.clip;
      head.style.left = `${player.duration ? (100 * player.position) / player.duration : 0}%`;
    }
    if (mine && player.playing) this.#frame = requestAnimationFrame(() => this.#follow());
  }

  #say(text) { this.find(".verdict").textContent = text; }
}

export function mount(host, score) { new Race(host, score); }

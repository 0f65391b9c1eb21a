// The lab: knobs, a run, its pictures over time, and what the document says beside what is measured.
import { actionOf, base64Of, make, PLAY_ICON } from "../shared/dom.js";
import { Line } from "../shared/line.js";
import { Part } from "../shared/part.js";
import { player } from "../shared/player.js";
import { showRoom } from "../shared/rooms.js";
import { answering } from "../shared/server.js";
import { counted, t } from "../shared/words.js";
import { panelOf, short } from "./panels.js";

const SETTLE_MS = 60; // after the last turn of a knob
const ROLL_MS = 4000; // a whole run, played
const MOMENTS = 10;
const CHIPS = 5; // a choice of more is a menu

export function mount(host) { return new Lab({ ...host, server: answering(host.server) }); }

class Lab extends Part {
  #experiments = null;
  #experiment = null;
  #knobs = {};
  #seed = 0;
  #own = {}; // the names of what the visitor has brought, by kind
  #run = null;
  #busy = false;
  #frames = [];
  #place = 0; // among the frames; what lies between two of them is drawn between the two
  #panels = new Map();
  #rolling = null;
  #timer = null;

  constructor({ element, server, trigger, facts }) {
    super();
    Object.assign(this, { server, trigger, facts, element: element.querySelector(".lab") });
    this.line = this.own(new Line(this.find(".message")));
    this.find(".roll").innerHTML = PLAY_ICON;
    this.find(".index div").append(...Object.entries(facts.index).map(([document, places]) =>
      make("section", {}, make("h3", { text: counted(document) }), make("ul", {}, ...places.map((each) =>
        make("li", {}, make("a", { href: `#lab/${each.experiment}?${each.query}`, text: counted(each.what) })))))));
    this.on(this.find(".index"), "click", ({ target }) => {
      if (target.closest("a")) this.find(".index").open = false;
    });
    this.on(this.find(".knobs"), "input", ({ target }) => this.#turn(target));
    this.on(this.find(".knobs"), "submit", (event) => event.preventDefault());
    this.on(this.find(".roll"), "click", () => this.#roll(!this.#rolling));
    this.on(this.find(".time input"), "input", ({ target }) => { this.#roll(false); this.#go(Number(target.value)); });
    this.on(this.find(".panels"), "click", (event) => this.#point(event));
    this.on(this.find(".strip"), "click", ({ target }) => {
      const moment = target.closest("button")?.dataset.place;
      if (moment) { this.#roll(false); this.#go(Number(moment)); }
    });
    for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
      this.on(window, name, (event) => this.#drag(event), { capture: true });
    }
    this.on(document, "keydown", (event) => this.#key(event), { capture: true });
    this.on(window, "hashchange", () => this.turn());
    this.on(document, "unrun", () => this.#lost());
    this.on(document, "network", ({ detail: { answers } }) => { if (answers && !this.#experiments) this.turn(); });
    this.on(window, "resize", () => this.#draw());
    this.on(matchMedia("(prefers-color-scheme: dark)"), "change", () => this.#draw());
    this.undo(() => this.#clear());
    this.turn();
  }

  get open() { return document.body.dataset.room === "lab"; }

  find(selector) { return this.element.querySelector(selector); }

  say(text, wrong = false) { this.line.say(text, wrong); }

  // Into the room or out of it, and to the experiment in the address.
  async turn() {
    showRoom();
    if (!this.open) {
      this.#roll(false);
      if (this.#busy) this.trigger("halt", {});
      return;
    }
    player.pause(); // each room has its own sound
    if (!this.#experiments) {
      try {
        this.#experiments = await this.server.experiments(null);
      } catch (error) {
        this.say(error.message, true);
        return;
      }
      if (this.destroyed) return;
      this.find(".experiments").replaceChildren(...this.#experiments.map(({ name, title }) =>
        make("a", { href: `#lab/${name}`, text: counted(title), data: { name } })));
    }
    const [path, query] = location.hash.slice(1).split("?"), name = path.split("/")[1];
    const experiment = this.#experiments.find((each) => each.name === name) ?? this.#experiments[0];
    const asked = Object.fromEntries(new URLSearchParams(query ?? ""));
    if (experiment !== this.#experiment || query !== undefined) this.#choose(experiment, asked);
  }

  // Every message of the server: {kind: begun | frames | over | error, ...}.
  receive(message) {
    if (!message) return;
    if (message.kind === "error") {
      this.#rest();
      this.say(counted(message.text), true);
    } else if (message.kind === "begun") {
      if (message.experiment !== this.#experiment?.name) return;
      this.#run = message.run;
      this.#frames = [];
      this.#work(true);
      this.find(".code code").innerHTML = message.code;
      if (message.trains) this.say(t("Training."));
    } else if (message.kind === "frames" || message.kind === "over") {
      if (message.run !== this.#run) return;
      this.#frames.push(...message.frames);
      if (message.kind === "over") this.#finish(message);
      if (!this.#rolling) this.#go(this.#frames.length - 1);
      const caption = this.#frames.at(-1)?.caption;
      if (this.#busy && caption) this.say(counted(caption));
    }
  }

  // The run under way will not go on.
  #lost() {
    if (!this.#busy) return;
    this.#rest();
    this.say(t("The run is lost. Try again."), true);
  }

  #finish({ numbers, stopped }) {
    this.#rest();
    this.say(stopped ? t("Stopped.") : "");
    const lost = () => make("b", { text: ` ${t("does not hold here")}` });
    this.find(".numbers tbody").replaceChildren(...numbers.map(({ name, value, unit, said, holds }) =>
      make("tr", { data: { holds: String(holds) } },
        make("th", { scope: "row", text: counted(name) }),
        make("td", { text: `${short(value)} ${counted(unit)}`.trim() }),
        make("td", { text: counted(said) || "–" }, ...(holds === false ? [lost()] : [])))));
    this.#strip();
  }

  // An experiment with the knobs and the seed of an address.
  #choose(experiment, asked) {
    this.#experiment = experiment;
    const read = ({ default: usual, name, range }) =>
      asked[name] === undefined ? usual : range ? Number(asked[name]) : asked[name];
    this.#knobs = Object.fromEntries(experiment.knobs.map((knob) => [knob.name, read(knob)]));
    this.#seed = /^\d{1,10}$/.test(asked.seed ?? "") ? Number(asked.seed) : 0;
    this.#clear();
    for (const link of this.find(".experiments").children) {
      if (link.dataset.name === experiment.name) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    this.find(".summary").textContent = counted(experiment.summary);
    this.find(".formula").innerHTML = experiment.formula;
    this.find(".claim").textContent = counted(experiment.claim);
    const places = [experiment.document, experiment.place].filter(Boolean);
    this.find(".source").textContent = places.map((each) => counted(each)).join(", ");
    this.find(".numbers tbody").replaceChildren();
    this.#build();
    this.#begin();
  }

  // The knobs as fields; the buttons below them.
  #build() {
    const field = (knob) => {
      const value = this.#knobs[knob.name], title = counted(knob.title);
      const help = make("small", { text: helpOf(knob, value), id: `lab-${knob.name}-help` });
      const more = { name: knob.name, "aria-describedby": help.id };
      if (knob.range) {
        const [min, max] = knob.range, out = make("output", { text: short(value) });
        const slide = make("input", { type: "range", ...more, min, max, step: knob.step ?? "any" });
        slide.value = value;
        return make("label", { className: "knob" }, make("span", { text: title }, out), slide, help);
      }
      const entries = Object.entries(knob.titles);
      if (entries.length > CHIPS) {
        const option = ([name, said]) => new Option(counted(said), name, false, name === value);
        const menu = make("select", more, ...entries.map(option));
        return make("label", { className: "knob" }, make("span", { text: title }), menu, help);
      }
      const chip = ([name, said]) => make("label", {},
        make("input", { type: "radio", ...more, value: name, checked: name === value }),
        make("span", { text: counted(said) }));
      return make("fieldset", { className: "knob" },
        make("legend", { text: title }), make("div", { className: "chips" }, ...entries.map(chip)), help);
    };
    const button = (name, text, act) => {
      const made = make("button", { className: name, text: counted(text) });
      made.addEventListener("click", act);
      return made;
    };
    const { knobs, trains, training } = this.#experiment;
    this.find(".knobs").replaceChildren(
      ...knobs.map(field),
      ...this.#bringing(button),
      make("div", { className: "acts" },
        button("again", "Another seed", () => this.#again()),
        ...(trains ? [button("train", training, () => this.#begin({ trains: true }))] : []),
        button("halt", "Stop", () => this.#halt())),
    );
    this.#work(this.#busy);
  }

  #turn(input) {
    const knob = this.#experiment.knobs.find(({ name }) => name === input.name);
    if (!knob) return;
    this.#knobs[knob.name] = knob.range ? Number(input.value) : input.value;
    const out = input.parentElement.querySelector("output");
    if (out) out.textContent = short(Number(input.value));
    this.find(`#lab-${knob.name}-help`).textContent = helpOf(knob, this.#knobs[knob.name]);
    this.cancel(this.#timer);
    this.#timer = this.later(SETTLE_MS, () => this.#begin());
  }

  // A click in the plane is where an experiment with a place begins.
  #point(event) {
    const plane = [...this.#panels.values()].find(({ canvas, placeOf }) => placeOf && canvas === event.target);
    const knobs = ["x", "y"].map((name) => this.#experiment.knobs.find((knob) => knob.name === name));
    if (!plane || !knobs.every(Boolean)) return;
    plane.placeOf(event).forEach((value, i) => {
      const { name, range: [low, high] } = knobs[i];
      this.#knobs[name] = Math.max(low, Math.min(high, Number(value.toFixed(2))));
    });
    this.#build();
    this.#begin();
  }

  #again() {
    this.#seed = crypto.getRandomValues(new Uint32Array(1))[0];
    this.#begin();
  }

  // The address says what is asked, for whoever copies it.
  #begin({ trains = false } = {}) {
    const query = new URLSearchParams({ ...this.#knobs, seed: this.#seed });
    history.replaceState(history.state, "", `#lab/${this.#experiment.name}?${query}`);
    this.#roll(false);
    this.#work(true);
    if (trains) this.say(t("Waiting for a turn."));
    const asked = { experiment: this.#experiment.name, knobs: this.#knobs, seed: this.#seed, own: this.#own };
    this.trigger(trains ? "train" : "run", asked);
  }

  // What to bring, where an experiment takes something of one's own: a file, or the clip that is on in the first room.
  #bringing(button) {
    const { own } = this.#experiment;
    if (!own.length) return [];
    const picker = make("input", { type: "file", hidden: true, accept: "image/png,image/jpeg,audio/*" });
    picker.addEventListener("change", () => this.#bring(picker.files[0]));
    const back = button("back", "What ships", () => { this.#own = {}; this.#build(); this.#begin(); });
    back.hidden = !Object.keys(this.#own).length;
    return [make("div", { className: "acts own" }, picker,
      button("open", "Picture or clip of your own…", () => picker.click()),
      button("current", "The clip on show", () => this.#bringShown()), back)];
  }

  async #bringShown() {
    const file = document.querySelector("#canvas .download")?.href;
    if (file) this.#bring(await (await fetch(file)).blob());
    else this.say(t("There is no clip yet: compose one first."), true);
  }

  // A file in place of what ships, here or in the experiment that takes one. The knob `subject` follows.
  async #bring(file) {
    const experiment = this.#experiment.own.length ? this.#experiment : this.#experiments.find(({ own }) => own.length);
    const sound = file.type.startsWith("audio/") || /\.(wav|flac|mp3|ogg|opus)$/i.test(file.name ?? "");
    const kind = sound ? "clip" : "picture", most = this.facts.most_bytes / 1e6;
    if (file.size > this.facts.most_bytes) {
      const size = (file.size / 1e6).toFixed(1);
      this.say(t("{size} MB are too much: at most {most} MB are read.", { size, most }), true);
      return;
    }
    this.say(t("Reading."));
    let answer;
    try {
      answer = await this.server.bring({ experiment: experiment.name, kind, file: await base64Of(file) ?? "" });
    } catch (error) { // a folder cannot be read
      answer = { error: error.message ?? t("The file cannot be read.") };
    }
    if (this.destroyed) return;
    if (answer.error) {
      this.say(counted(answer.error), true);
      return;
    }
    this.#own = { ...this.#own, [kind]: answer.name };
    if (experiment !== this.#experiment) {
      this.#choose(experiment, { seed: String(this.#seed), subject: kind });
      return;
    }
    this.#knobs.subject = kind;
    this.#build();
    this.#begin();
  }

  // A file that is dropped in this room is for an experiment; in the others it restores settings.
  #drag(event) {
    if (!this.open || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    this.element.classList.toggle("aimed", event.type === "dragenter" || event.type === "dragover");
    if (event.type === "drop" && this.#experiments && event.dataTransfer.files.length) {
      this.#bring(event.dataTransfer.files[0]);
    }
  }

  #halt() { if (this.#busy) this.trigger("halt", {}); }

  #rest() { this.#work(false); }

  #work(busy) {
    this.#busy = busy;
    this.element.classList.toggle("busy", busy);
    const halt = this.find(".knobs .halt");
    if (halt) halt.disabled = !busy;
  }

  #clear() {
    for (const each of this.#panels.values()) {
      each.destroy?.();
      each.element.remove();
    }
    this.#panels.clear();
    this.#frames = [];
    this.find(".time").hidden = true;
    this.find(".strip").replaceChildren();
  }

  #go(place) {
    this.#place = Math.max(0, Math.min(place, this.#frames.length - 1));
    this.#draw();
  }

  // What each panel is at a place: the latest frame that has it, and the next one.
  #draw() {
    if (!this.#frames.length || !this.open) return;
    const first = Math.floor(this.#place), mix = this.#place - first;
    const frame = this.#frames[first], next = this.#frames[first + 1] ?? frame;
    for (const name of this.#names()) {
      const panel = this.#known(name, first);
      if (!panel) continue;
      let drawn = this.#panels.get(name);
      if (!drawn || drawn.kind !== panel.kind) {
        drawn?.destroy?.();
        drawn?.element.remove();
        drawn = Object.assign(panelOf(panel.kind), { kind: panel.kind });
        this.#panels.set(name, drawn);
        this.find(".panels").append(drawn.element);
      }
      drawn.show(panel, next.panels[name]?.kind === panel.kind ? next.panels[name] : panel, mix);
    }
    const time = this.find(".time"), slider = time.querySelector("input");
    time.hidden = this.#frames.length < 2;
    slider.max = this.#frames.length - 1;
    slider.value = this.#place;
    slider.setAttribute("aria-valuetext", moment(frame));
    time.querySelector(".moment").textContent = moment(frame);
  }

  #names() { return new Set(this.#frames.flatMap(({ panels }) => Object.keys(panels))); }

  #known(name, place) {
    for (let at = place; at >= 0; at -= 1) if (this.#frames[at].panels[name]) return this.#frames[at].panels[name];
    return null;
  }

  // Ten moments of the first panel that moves.
  #strip() {
    const moving = [...this.#names()].find((name) =>
      ["points", "images"].includes(this.#known(name, this.#frames.length - 1)?.kind)
      && this.#frames.filter(({ panels }) => panels[name]).length >= MOMENTS);
    const last = this.#frames.length - 1;
    const cells = moving ? Array.from({ length: MOMENTS }, (_, i) => Math.round((i * last) / (MOMENTS - 1))) : [];
    this.find(".strip").replaceChildren(...cells.map((place) => {
      const small = panelOf(this.#known(moving, place).kind), said = moment(this.#frames[place]);
      const cell = make("button", { data: { place }, "aria-label": said, title: said }, small.element);
      small.title.remove();
      requestAnimationFrame(() => small.show(this.#known(moving, place)));
      return cell;
    }));
  }

  #roll(rolling) {
    if (this.#rolling) cancelAnimationFrame(this.#rolling);
    this.#rolling = null;
    const button = this.find(".roll");
    button.setAttribute("aria-label", rolling ? t("Pause") : t("Play"));
    button.classList.toggle("playing", rolling);
    if (!rolling || this.#frames.length < 2) return;
    const last = this.#frames.length - 1, from = this.#place >= last ? 0 : this.#place, start = performance.now();
    const tick = (now) => {
      const place = from + ((now - start) / ROLL_MS) * last;
      this.#go(place);
      if (place < last) this.#rolling = requestAnimationFrame(tick);
      else this.#roll(false);
    };
    this.#rolling = requestAnimationFrame(tick);
  }

  // The keys of the room; those of the other rooms do nothing here.
  #key(event) {
    if (!this.open) return;
    const walk = (by) => { this.#roll(false); this.#go(Math.round(this.#place) + by); };
    const nothing = () => {};
    const act = actionOf(event, {
      " ": () => this.#roll(!this.#rolling), ArrowLeft: () => walk(-1), ArrowRight: () => walk(1),
      r: () => this.#again(), s: () => this.#halt(), g: () => this.#begin(), l: nothing, x: nothing,
    });
    const own = event.key === " " || event.key.startsWith("Arrow");
    if (!act || (own && event.target.closest?.("button, a, input, summary, pre, audio"))) return;
    act();
    event.preventDefault();
    event.stopImmediatePropagation();
  }
}

// What a knob is, and what its choice means.
function helpOf({ help, summaries }, value) {
  return [help, summaries?.[value]].filter(Boolean).map(counted).join(" ");
}

function moment({ t: time, caption, progress }) {
  if (caption) return counted(caption);
  return time === null ? `${Math.round(100 * progress)} %` : `t = ${time.toFixed(2)}`;
}

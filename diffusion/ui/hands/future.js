// Another future: the run of the clip on show, which goes on otherwise from one of its steps.
import { make } from "../shared/dom.js";
import { t } from "../shared/words.js";
import { choice, Tool } from "./tool.js";

const FIRST = 0.3; // of the steps: early enough to become another clip, late enough to know its parent
const [WIDTH, HEIGHT] = [132, 36]; // of the curve
const ASK_MS = 250;
const SEEDS = 2 ** 32;

export class Future extends Tool {
  #other = "noise"; // or "rail"
  #at = null; // index of a frame of the film
  #run = null;
  #timer = null;

  constructor(hands) {
    super(hands, {
      id: "future",
      text: t("Another future"),
      help: t("Go back to a step of this run, and let it go on in another way from there."),
    });
    this.#build();
    this.on(this, "open", () => this.#follow());
    this.on(this.canvas, "walk", () => this.#place(Number(this.canvas.film.value)));
    this.on(this.slider, "input", () => {
      this.#place(Number(this.slider.value));
      this.canvas.walk(this.#at - Number(this.canvas.film.value));
    });
    this.on(this.go, "click", () => hands.edit(this.#wish));
    this.on(document, "change", ({ target }) => {
      if (this.#other === "rail" && target.closest?.("#rail")) this.#ask();
    });
  }

  reason(clip) {
    if (!this.#stops(clip)) return t("The film of this run is not here: generate the clip first.");
    return null;
  }

  look() {
    super.look();
    if (this.open && this.hands.clip?.run !== this.#run) this.#follow();
    this.allow(this.go, this.obstacle, t("Compose the clip that this run becomes"));
    this.slider.disabled = this.obstacle !== null;
  }

  // How many of the first frames a fork can begin from: not the last step, and of a fork none that is its own.
  #stops({ film, settings: { edits = {} } }) {
    return film.filter(({ index, total }) => index < total && index <= (edits.fork?.at ?? total)).length;
  }

  get #frame() { return this.hands.clip.film[this.#at]; }

  get #wish() {
    const changes = this.#other === "noise" ? { seed: Math.floor(Math.random() * SEEDS) } : {};
    return { edits: { fork: { at: this.#frame.index } }, changes, rail: this.#other === "rail" };
  }

  // Another clip is on.
  #follow() {
    const { clip } = this.hands;
    this.#run = clip?.run ?? null;
    const stops = clip ? this.#stops(clip) : 0;
    this.slider.max = Math.max(stops - 1, 0);
    if (stops) this.#place(clip.film.findLastIndex(({ index, total }) => index <= FIRST * total));
  }

  #place(at) {
    if (!this.open || !this.hands.clip || !this.#stops(this.hands.clip)) return;
    this.#at = Math.min(Math.max(at, 0), Number(this.slider.max));
    this.slider.value = this.#at;
    const { index, total } = this.#frame, db = this.#far(index / total).toFixed(1);
    const step = t("step {step} of {total}", { step: index, total });
    this.slider.setAttribute("aria-valuetext", step);
    this.step.textContent = step;
    const said = t("The later the fork, the closer to its parent: about {db} dB here", { db });
    this.curve.setAttribute("aria-label", said);
    this.curve.title = said;
    this.distance.textContent = t("about {db} dB away", { db });
    const [x, y] = this.#point([index / total, this.#far(index / total)]);
    for (const [name, value] of [["cx", x], ["cy", y]]) this.curve.querySelector("circle").setAttribute(name, value);
    this.#ask();
  }

  #ask() {
    this.cancel(this.#timer);
    this.#timer = this.later(ASK_MS, async () => {
      if (!this.open || this.obstacle) return;
      const { evaluations, wrong } = await this.hands.cost(this.#wish);
      this.cost.textContent = evaluations === null ? "" : t("{evaluations} evaluations", { evaluations });
      this.hint.textContent = wrong ?? "";
    });
  }

  // How far, in dB, a fork after a share of the steps is from its parent.
  #far(share) {
    const table = this.hands.facts.forked_db, next = table.findIndex(([x]) => x > share);
    if (next < 1) return table.at(next)[1];
    const [[x, y], [right, above]] = table.slice(next - 1);
    return y + ((share - x) / (right - x)) * (above - y);
  }

  #point([share, db]) {
    const most = this.hands.facts.forked_db[0][1];
    return [4 + share * (WIDTH - 8), HEIGHT - 4 - (db / most) * (HEIGHT - 8)].map((each) => each.toFixed(1));
  }

  #build() {
    this.step = make("output", { className: "number" });
    this.slider = make("input", { type: "range", min: 0, max: 1, step: 1, "aria-label": t("From this step on") });
    const line = [...this.hands.facts.forked_db, [1, this.hands.facts.forked_db.at(-1)[1]]]
      .map((each) => this.#point(each).join(",")).join(" ");
    this.curve = make("span", {
      className: "curve", role: "img",
      html: `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" aria-hidden="true"><polyline points="${line}"/><circle r="4"/></svg>`,
    });
    this.distance = make("span", { className: "number" });
    this.cost = make("span", { className: "cost" });
    this.go = make("button", { className: "go" }, make("span", { text: t("Compose this future") }), this.cost);
    this.hint = make("p", { className: "hint", role: "status" });
    const others = { noise: t("Other noise"), rail: t("The settings below") };
    this.panel.append(
      make("label", { className: "from" }, make("span", { text: t("From") }), this.slider, this.step),
      choice(t("What is other from there on"), others, (other) => { this.#other = other; this.#ask(); }),
      make("span", { className: "far" }, this.curve, this.distance),
      this.go,
      this.hint,
    );
  }
}

// The room in which a clip is composed: its parts, and what each of them lets the others do.
import { Gallery } from "../gallery/gallery.js";
import { Hands } from "../hands/hands.js";
import { Keys } from "../shared/keys.js";
import { Part } from "../shared/part.js";
import { player } from "../shared/player.js";
import { answering } from "../shared/server.js";
import { localise, t } from "../shared/words.js";
import { Stage } from "../stage/stage.js";
import { Canvas } from "./canvas.js";
import { Deck } from "./deck.js";
import { Files } from "./files.js";
import { Keeping } from "./keeping.js";
import { Race } from "./race.js";
import { Rail } from "./rail.js";
import { Reveal } from "./reveal.js";
import { Sharing } from "./sharing.js";
import { Takes } from "./takes.js";
import { Transport } from "./transport.js";

// `host` is what Gradio gives the component: its `element`, `trigger(event, data)` and `server` functions. Its `facts`
// are what the server knows and does not say again: {stall_ms, file_bytes, sample_rate_hz, presets, turn, hands}.
export function mount(host) { return new Compose({ ...host, server: answering(host.server) }); }

class Compose extends Part {
  constructor(host) {
    super();
    localise(document.body, this.signal);
    this.on(window, "click keydown touchend", () => player.unlock(host.facts.sample_rate_hz), { capture: true });
    const deck = this.own(new Deck());
    this.canvas = this.own(new Canvas(host, deck));
    const { canvas } = this, of = (Kind, ...more) => this.own(new Kind(host, canvas, ...more));
    of(Transport);
    of(Sharing);
    const reveal = of(Reveal), takes = of(Takes), race = of(Race, deck);
    of(Hands);
    of(Files);
    of(Gallery);
    of(Rail, deck);
    of(Stage, race, reveal, takes);
    this.own(new Keeping(canvas, deck, takes)); // after those who hear what comes back
    this.own(new Keys([
      { shown: [t("Space")], text: t("Play or pause"), actions: { " ": () => player.buffer && player.toggle() } },
      {
        shown: ["←", "→"], text: t("Step through the film, from noise to music"),
        actions: { ArrowLeft: () => canvas.walk(-1), ArrowRight: () => canvas.walk(1) },
      },
      { shown: ["G"], text: t("Generate"), actions: { g: () => deck.generate() } },
      { shown: ["S"], text: t("Stop"), actions: { s: () => deck.stop() } },
      { shown: ["R"], text: t("Draw another seed"), actions: { r: () => deck.draw() } },
      { shown: ["L"], text: t("Lock the seed, or unlock it"), actions: { l: () => deck.lock() } },
      { shown: ["X"], text: t("Swap A and B, once two takes are chosen"), actions: { x: () => takes.swap() } },
    ]));
  }

  // Every message of the server comes here.
  receive(message) { this.canvas.receive(message); }
}

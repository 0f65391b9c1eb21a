// The clip on show as a loop: its end goes on into its beginning.
import { player } from "../shared/player.js";
import { t } from "../shared/words.js";
import { Tool } from "./tool.js";

const KEEPING = ["inpaint", "continue"];

export class Loop extends Tool {
  constructor(hands) {
    super(hands, {
      text: t("Make a loop"),
      help: t("Compose the clip as a loop that nobody hears begin again: its length fits whole beats."),
    });
    this.on(this.canvas, "clip", () => { if (this.canvas.clip.settings.edits?.loop) player.loop = true; });
  }

  reason({ settings: { edits = {} } }) {
    if (edits.loop) return t("This clip is a loop already.");
    if (KEEPING.some((name) => edits[name])) return t("A part of this clip is kept as it was: make a loop of another one.");
    return null;
  }

  // What has an end goes on instead.
  press() {
    const ends = this.hands.clip.settings.ending === "ends";
    this.hands.edit({ edits: { loop: {} }, changes: ends ? { ending: "any" } : {} });
  }
}

// The pitch axis of the pictures: mel, as the model has them, or musical, where all octaves are equally tall.
import { make } from "../shared/dom.js";
import { Part } from "../shared/part.js";

const ROWS = 384; // of a picture on the musical axis
const NOTES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
const A4_HZ = 440;

// A place on the axis is a fraction of the height, 0 at the bottom; a band counts from the lowest, 0, at its middle.
export class Pitch extends Part {
  // Fires "change" when the axis is another one.
  #musical = false;

  constructor({ facts }, canvas) {
    super();
    Object.assign(this, { canvas, hz: facts.hands.frequencies_hz });
    canvas.pitch = this;
    this.undo(() => { canvas.pitch = null; });
  }

  get bands() { return this.hz.length; }
  get musical() { return this.#musical; }

  set musical(on) {
    this.#musical = on;
    for (const note of this.canvas.element.querySelectorAll(".notes span")) {
      const octave = Number(note.textContent.slice(1)), hz = A4_HZ * 2 ** (octave - 4 - 9 / 12);
      note.style.bottom = `${100 * this.placeOf(this.#bandOf(hz))}%`;
    }
    this.canvas.repaint();
    this.fire("change");
  }

  placeOf(band) {
    if (!this.#musical) return (band + 0.5) / this.bands;
    const below = Math.min(Math.max(Math.floor(band), 0), this.bands - 2), { hz } = this;
    const between = hz[below] + (band - below) * (hz[below + 1] - hz[below]);
    return Math.log(Math.max(between, 1) / hz[0]) / this.#octaves;
  }

  hzAt(place) {
    if (this.#musical) return this.hz[0] * Math.exp(place * this.#octaves);
    const band = Math.min(Math.max(place * this.bands - 0.5, 0), this.bands - 1.001), below = Math.floor(band);
    return this.hz[below] + (band - below) * (this.hz[below + 1] - this.hz[below]);
  }

  // The band at a place, or nearest to it.
  bandAt(place) { return Math.min(Math.max(Math.round(this.#bandOf(this.hzAt(place))), 0), this.bands - 1); }

  // The band of a frequency; beyond the highest one there is none.
  bandNear(hz) { return hz > this.hz.at(-1) ? null : this.bandAt(this.placeOf(this.#bandOf(hz))); }

  nameAt(place) {
    const semitones = Math.round(12 * Math.log2(this.hzAt(place) / A4_HZ)) + 57;
    return `${NOTES[semitones % 12]}${Math.floor(semitones / 12)}`;
  }

  // A picture (an address, with all bands from top to bottom) as this axis has it.
  async warped(address) {
    if (!this.#musical) return address;
    const image = new Image();
    image.src = address;
    try { await image.decode(); } catch { return address; }
    return this.warp(image, image.naturalWidth, image.naturalHeight).toDataURL("image/jpeg", 0.9);
  }

  // A drawing of all bands as a canvas on this axis.
  warp(drawing, width, height) {
    const rows = this.#musical ? ROWS : height, canvas = make("canvas", { width, height: rows });
    const brush = canvas.getContext("2d");
    if (!this.#musical) brush.drawImage(drawing, 0, 0);
    for (let y = 0; this.#musical && y < rows; y += 1) {
      const band = this.#bandOf(this.hzAt(1 - (y + 0.5) / rows)), from = height - ((band + 0.5) / this.bands) * height;
      brush.drawImage(drawing, 0, Math.min(Math.max(from - 0.5, 0), height - 1), width, 1, 0, y, width, 1);
    }
    return canvas;
  }

  get #octaves() { return Math.log(this.hz.at(-1) / this.hz[0]); }

  #bandOf(hz) {
    const above = this.hz.findIndex((each) => each > hz), next = above < 0 ? this.bands - 1 : Math.max(above, 1);
    return next - 1 + (hz - this.hz[next - 1]) / (this.hz[next] - this.hz[next - 1]);
  }
}

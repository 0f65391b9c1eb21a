// A mask: the bins of a clip that are to be composed anew. Bands count from the lowest, frames from the beginning.

const FRAMES = 4; // in time a mask goes by so many: no hand is finer, and it fits into a link
const UNDONE = 40;
const HARMONICS = 10;

export class Mask {
  #before = []; // what the mask was, the latest last

  constructor(bands, frames) {
    Object.assign(this, { bands, frames, bins: new Uint8Array(bands * frames) });
  }

  get empty() { return !this.bins.includes(1); }
  get undoable() { return this.#before.length > 0; }

  // From here on all is one step, which `undo` takes back.
  begin() {
    this.#before.push(this.bins.slice());
    if (this.#before.length > UNDONE) this.#before.shift();
  }

  undo() { this.bins = this.#before.pop() ?? this.bins; }

  // What has been done since `begin` is taken back, and may be done otherwise.
  again() { this.bins = this.#before.at(-1).slice(); }

  clear() {
    if (this.empty) return;
    this.begin();
    this.bins.fill(0);
  }

  // Fills bands and frames from `low` and `from` to `high` and `to`, all of them included.
  fill(low, high, from, to, value = 1) {
    const begin = Math.max(Math.floor(from / FRAMES) * FRAMES, 0);
    const end = Math.min((Math.floor(to / FRAMES) + 1) * FRAMES, this.frames);
    for (let band = Math.max(low, 0); band <= Math.min(high, this.bands - 1); band += 1) {
      if (begin < end) this.bins.fill(value, band * this.frames + begin, band * this.frames + end);
    }
  }

  // A round spot at a place on the axis of pitch; `wide` is its radius in frames, `tall` that in parts of the height.
  spot(pitch, frame, place, wide, tall, value) {
    for (let from = Math.floor((frame - wide) / FRAMES) * FRAMES; from <= frame + wide; from += FRAMES) {
      const off = Math.max(0, Math.abs(from + FRAMES / 2 - frame) - FRAMES / 2) / Math.max(wide, 1);
      if (off > 1) continue;
      const reach = tall * Math.sqrt(1 - off ** 2);
      this.fill(pitch.bandAt(place - reach), pitch.bandAt(place + reach), from, from, value);
    }
  }

  // A note and its overtones, each with the bands beside it.
  harmonics(pitch, frame, hz, wide) {
    for (let k = 1; k <= HARMONICS; k += 1) {
      const band = pitch.bandNear(k * hz);
      if (band !== null) this.fill(band - 1, band + 1, frame - wide, frame + wide);
    }
  }

  // Of where there are any `values` (bins) at all the share where they are greatest, cell by cell.
  take(values, share, cell = { bands: 4, frames: 8 }) {
    const cells = [];
    for (let band = 0; band < this.bands; band += cell.bands) {
      for (let frame = 0; frame < this.frames; frame += cell.frames) {
        let sum = 0;
        for (let b = band; b < band + cell.bands; b += 1) {
          for (let f = frame; f < frame + cell.frames; f += 1) sum += values[b * this.frames + f] ?? 0;
        }
        if (sum) cells.push({ band, frame, sum });
      }
    }
    cells.sort((one, other) => other.sum - one.sum);
    this.begin();
    this.bins.fill(0);
    for (const { band, frame } of cells.slice(0, Math.round(share * cells.length))) {
      this.fill(band, band + cell.bands - 1, frame, frame + cell.frames - 1);
    }
  }

  // As an edit sends it: a bit for each bin, row by row, the first in the highest place of a byte.
  get packed() {
    const bytes = new Uint8Array(Math.ceil(this.bins.length / 8));
    this.bins.forEach((bin, i) => { bytes[i >> 3] |= bin << (7 - (i & 7)); });
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return { bands: this.bands, frames: this.frames, bits: btoa(text) };
  }
}

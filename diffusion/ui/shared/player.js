// The one player of the page: a gapless loop of one sound that can be exchanged for another at the same position.

const SWITCH_S = 0.04; // long enough to hide a click, short enough to sound like a cut
const START_S = 0.005;
const LEAD_S = 0.03; // changes are booked this far ahead: one that came too late would start with a click, and lag

const rateOf = (wav) => new DataView(wav).getUint32(24, true); // where the header of a WAV file has it

// How loud the new sound is as its fade goes on: linear where both are the same (correlation 1), and for others so that
// the power of the sum stays as it is. The old sound goes the same way back.
function rise(correlation) {
  return Float32Array.from({ length: 65 }, (_, i) => {
    const x = i / 64;
    return x / Math.sqrt(x ** 2 + (1 - x) ** 2 + 2 * correlation * x * (1 - x));
  });
}

function fadeOut({ gain }, when, fade, correlation = 1) {
  gain.setValueCurveAtTime(rise(correlation).reverse(), when, fade);
}

export class Player extends EventTarget {
  // Fires "change" when it starts, stops, jumps or turns its loop on or off, and "sound" when another sound is on.
  #context;
  #sound = null; // {buffer, gain}
  #bus = null; // the gain of all that sounds between a start and a pause
  // What is heard: {source, out, offset, started, jumped}; at `started` on the context's clock it is at `offset`.
  #voice = null;
  #position = 0; // of the playhead in seconds, while paused
  #loop = true;

  // A context of one's own, such as an OfflineAudioContext, has to be running by itself.
  constructor(context = null) {
    super();
    this.#context = context;
  }

  // Made late: a browser may refuse one before the visitor has touched the page, and it costs a thread.
  get context() {
    this.#context ??= new AudioContext({ latencyHint: "interactive" });
    return this.#context;
  }

  // To be called in each press: some browsers let sound begin only there. `rate` is that of the clips.
  unlock(rate) {
    this.#context ??= new AudioContext({ latencyHint: "interactive", sampleRate: rate });
    if (this.#context.state !== "running") this.#context.resume().catch(() => {});
  }

  // The context runs at the rate of the clips, so that nothing resamples them and the seam of a loop stays as it is.
  decode(bytes, rate = rateOf(bytes)) {
    this.#context ??= new AudioContext({ latencyHint: "interactive", sampleRate: rate });
    return this.#context.decodeAudioData(bytes);
  }

  get duration() { return this.#sound?.buffer.duration ?? 0; }
  get playing() { return this.#voice !== null; }
  get buffer() { return this.#sound?.buffer ?? null; }
  get gain() { return this.#sound?.gain ?? 1; }
  get loop() { return this.#loop; }

  // What is heard now, in seconds: sound leaves the loudspeaker later than the context's clock says.
  get position() {
    return this.#voice ? this.#at(this.context.currentTime - (this.context.outputLatency || 0)) : this.#position;
  }

  set loop(on) {
    const voice = this.#voice;
    if (voice) {
      const now = this.context.currentTime;
      Object.assign(voice, { offset: this.#at(now), started: now, jumped: false });
      voice.source.loop = on;
    }
    this.#loop = on;
    this.dispatchEvent(new Event("change"));
  }

  // Another sound takes over where the old one is, or at `position`, over `fade` seconds. `gain` is linear; how alike
  // the two sounds are is their `correlation`, from 0 to 1.
  show(buffer, { fade = SWITCH_S, gain = 1, position = null, correlation = 1 } = {}) {
    const when = this.#booked();
    this.#position = Math.min(position ?? this.#at(when), buffer.duration);
    this.#sound = { buffer, gain };
    if (this.#voice) this.#begin(when, fade, position !== null, correlation);
    this.dispatchEvent(new Event("sound"));
  }

  // Waits until the browser lets sound begin, perhaps for a press: nothing else may wait for this.
  async play() {
    if (!this.#sound || this.#voice) return;
    if (this.context instanceof AudioContext) await this.context.resume();
    if (this.#voice) return;
    this.#bus = this.context.createGain();
    this.#bus.connect(this.context.destination);
    this.#begin(this.#booked(), START_S, true);
    this.dispatchEvent(new Event("change"));
  }

  pause() {
    if (!this.#voice) return;
    this.#position = this.position;
    const when = this.#booked();
    fadeOut(this.#bus, when, SWITCH_S); // with all that had been fading out more slowly
    this.#end(when, SWITCH_S);
    this.dispatchEvent(new Event("change"));
  }

  toggle() { return this.playing ? this.pause() : this.play(); }

  seek(position) {
    this.#position = Math.max(0, Math.min(position, this.duration));
    if (this.#voice) this.#begin(this.#booked(), SWITCH_S, true);
    this.dispatchEvent(new Event("change"));
  }

  // Draws whenever something else is heard, and at every frame while it sounds, until `signal` aborts.
  follow(draw, signal) {
    let frame = 0;
    const go = () => {
      cancelAnimationFrame(frame);
      draw();
      if (this.playing && !signal.aborted) frame = requestAnimationFrame(go);
    };
    for (const name of ["change", "sound"]) this.addEventListener(name, go, { signal });
    signal.addEventListener("abort", () => cancelAnimationFrame(frame), { once: true });
  }

  // Where the sound is when the context's clock says `time`.
  #at(time) {
    if (!this.#voice) return this.#position;
    const { offset, started, jumped } = this.#voice, { duration } = this;
    const played = offset + (jumped ? Math.max(0, time - started) : time - started);
    return this.#loop ? (played + duration) % duration : Math.max(0, Math.min(played, duration));
  }

  // When the next change can be: on a whole sample, since a sound that starts between two is interpolated.
  #booked() {
    const { currentTime, sampleRate, baseLatency = 0 } = this.context; // the clock goes on by as much at a time
    return Math.ceil((currentTime + baseLatency + LEAD_S) * sampleRate) / sampleRate;
  }

  // From `when` on the sound is heard from the playhead on; what was heard fades out meanwhile.
  // A fade is a gain of its own, booked once and never taken back: it has no step whatever else happens while it lasts.
  #begin(when, fade, jumped, correlation = 1) {
    const { context } = this, { buffer, gain } = this.#sound;
    const [source, into, out] = [context.createBufferSource(), context.createGain(), context.createGain()];
    const offset = (Math.round(this.#position * buffer.sampleRate) % buffer.length) / buffer.sampleRate;
    source.buffer = buffer;
    source.loop = this.#loop;
    source.connect(into).connect(out).connect(this.#bus);
    into.gain.setValueAtTime(0, 0); // a curve's first value holds from its own time on only
    into.gain.setValueCurveAtTime(rise(correlation).map((level) => level * gain), when, fade);
    source.start(when, offset);
    this.#end(when, fade, correlation);
    const voice = { source, out, offset, started: when, jumped };
    source.onended = () => { if (this.#voice === voice) this.#finish(); };
    this.#voice = voice;
  }

  #end(when, fade, correlation = 1) {
    if (!this.#voice) return;
    const { source, out } = this.#voice;
    fadeOut(out, when, fade, correlation);
    source.onended = () => out.disconnect();
    source.stop(when + fade);
    this.#voice = null;
  }

  #finish() { // the end of a sound that does not loop
    this.#voice = null;
    this.#position = 0;
    this.dispatchEvent(new Event("change"));
  }
}

export const player = new Player();

// The one player of the page: a gapless loop of one sound that can be exchanged for another at the same position.

const SWITCH_S = 0.04; // long enough to hide a click, short enough to sound like a cut

export class Player extends EventTarget {
  // Fires "change" when it starts, stops or jumps, and "sound" when another sound is on.
  #context = null;
  #sound = null; // {buffer, gain}
  #voice = null; // {source, level}: what is heard now
  #position = 0; // of the playhead in seconds, while paused
  #started = 0; // when position 0 would have been heard, on the context's clock
  #loop = true;

  constructor(context = null) {
    super();
    this.#context = context;
  }

  // Made late: a browser may refuse one before the visitor has touched the page, and it costs a thread.
  get context() {
    this.#context ??= new AudioContext({ latencyHint: "interactive" });
    return this.#context;
  }

  decode(bytes) { return this.context.decodeAudioData(bytes); }

  get duration() { return this.#sound ? this.#sound.buffer.duration : 0; }
  get playing() { return this.#voice !== null; }
  get buffer() { return this.#sound?.buffer ?? null; }
  get loop() { return this.#loop; }

  get position() {
    if (!this.#voice) return this.#position;
    const elapsed = Math.max(0, this.context.currentTime - this.#started);
    return this.#loop ? elapsed % this.duration : Math.min(elapsed, this.duration);
  }

  set loop(on) {
    const position = this.position;
    this.#loop = on;
    if (this.#voice) this.#begin(position, SWITCH_S);
    this.dispatchEvent(new Event("change"));
  }

  // Another sound takes over where the playhead is, over `fade` seconds; `gain` is linear.
  show(buffer, { fade = SWITCH_S, gain = 1, position = this.position } = {}) {
    this.#sound = { buffer, gain };
    this.#position = Math.min(position, buffer.duration);
    if (this.#voice) this.#begin(this.#position, fade);
    this.dispatchEvent(new Event("sound"));
  }

  async play() {
    if (!this.#sound || this.#voice) return;
    await this.context.resume();
    if (this.#voice) return;
    this.#begin(this.#position < this.duration ? this.#position : 0, 0.005);
    this.dispatchEvent(new Event("change"));
  }

  pause() {
    if (!this.#voice) return;
    this.#position = this.position;
    this.#end(this.#voice, SWITCH_S);
    this.#voice = null;
    this.dispatchEvent(new Event("change"));
  }

  toggle() { return this.playing ? this.pause() : this.play(); }

  seek(position) {
    this.#position = Math.max(0, Math.min(position, this.duration));
    if (this.#voice) this.#begin(this.#position, SWITCH_S);
    this.dispatchEvent(new Event("change"));
  }

  #begin(position, fade) {
    const { context } = this, { buffer, gain } = this.#sound, now = context.currentTime;
    const source = context.createBufferSource(), level = context.createGain();
    source.buffer = buffer;
    source.loop = this.#loop;
    level.gain.setValueAtTime(0, now);
    level.gain.linearRampToValueAtTime(gain, now + fade);
    source.connect(level).connect(context.destination);
    source.start(now, position % buffer.duration);
    const voice = { source, level };
    source.onended = () => { if (this.#voice === voice) this.#finish(); };
    if (this.#voice) this.#end(this.#voice, fade);
    this.#voice = voice;
    this.#started = now - position;
  }

  #end({ source, level }, fade) {
    const now = this.context.currentTime;
    level.gain.cancelAndHoldAtTime?.(now);
    level.gain.linearRampToValueAtTime(0, now + fade);
    source.onended = () => level.disconnect();
    source.stop(now + fade);
  }

  #finish() { // the end of a sound that does not loop
    this.#voice = null;
    this.#position = 0;
    this.dispatchEvent(new Event("change"));
  }
}

export const player = new Player();

// A part of the page, which leaves nothing behind once it is destroyed.

export class Part extends EventTarget {
  #life = new AbortController();
  #timers = new Set();
  #undo = [];

  get signal() { return this.#life.signal; }
  get destroyed() { return this.signal.aborted; }

  // Hears events of a target; `names` has spaces between them.
  on(target, names, hear, options = {}) {
    for (const name of names.split(" ")) target.addEventListener(name, hear, { ...options, signal: this.signal });
  }

  // Tells whoever listens to this part. False if one of them has prevented what comes next.
  fire(name, detail = null) { return this.dispatchEvent(new CustomEvent(name, { detail, cancelable: true })); }

  // Does something after a time. `cancel` takes what comes back.
  later(ms, act) {
    if (this.destroyed) return null;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
    return timer;
  }

  cancel(timer) {
    clearTimeout(timer);
    this.#timers.delete(timer);
  }

  // A pause in an async method, which ends there if this part is destroyed meanwhile.
  rest(ms) { return new Promise((done) => this.later(ms, done)); }

  // An element, or another part, that goes when this one goes.
  own(thing) {
    this.undo(() => (thing instanceof Element ? thing.remove() : thing.destroy()));
    return thing;
  }

  // What `destroy` does too, the latest first.
  undo(act) { this.#undo.push(act); }

  destroy() {
    this.#life.abort();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    while (this.#undo.length) this.#undo.pop()();
  }
}

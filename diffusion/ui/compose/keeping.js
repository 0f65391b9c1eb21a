// What outlives a reload of the page: the takes, the one on show, the seed and its lock. All of it is of one tab; a
// browser that lets a page keep nothing keeps nothing.
import { Part } from "../shared/part.js";

const [BASE, STORE, WHEN] = ["out-of-noise", "takes", "at"];
const DAY_MS = 24 * 3600 * 1000; // nobody comes back to older takes
const MOST = 96; // of all tabs

export class Keeping extends Part {
  #visit = remember("visit") ?? crypto.getRandomValues(new Uint32Array(2)).join("-");
  #base = opened(); // a promise
  #recalled = false;

  constructor(canvas, deck, takes) {
    super();
    remember("visit", this.#visit);
    this.on(takes, "kept", ({ detail: clip }) => this.#keep(clip));
    this.on(takes, "gone", ({ detail: run }) => this.#delete([this.#visit, run]));
    this.on(canvas, "clip", () => { if (this.#recalled) remember("shown", canvas.clip.run); });
    this.on(window, "pagehide", () => { // the server asks for it when the page is loaded again
      remember("rail", { seed: deck.text, locked: deck.locked, heard: deck.seed === canvas.clip?.settings.seed });
    });
    this.undo(async () => (await this.#base)?.close());
    this.#recall(takes);
  }

  async #recall(takes) {
    const mine = IDBKeyRange.bound([this.#visit, ""], [this.#visit, "\uffff"]);
    const records = await this.#with("readonly", (store) => store.getAll(mine));
    if (this.destroyed) return;
    const clips = (records ?? []).sort((one, other) => other.at - one.at).map(({ clip }) => clip);
    const shown = remember("shown");
    this.#recalled = true; // from now on what comes on is what is on
    if (clips.length) takes.recall(clips, shown);
  }

  async #keep({ buffer, ...clip }) {
    await this.#with("readwrite", (store) => store.put({ visit: this.#visit, run: clip.run, at: Date.now(), clip }));
    const keys = await this.#with("readonly", (store) => store.index(WHEN).getAllKeys());
    const late = await this.#with("readonly", (store) =>
      store.index(WHEN).count(IDBKeyRange.upperBound(Date.now() - DAY_MS)));
    for (const key of keys?.slice(0, Math.max(late, keys.length - MOST)) ?? []) await this.#delete(key);
  }

  #delete(key) { return this.#with("readwrite", (store) => store.delete(key)); }

  // What a request to the store gives; nothing where there is no store, or no room in it.
  async #with(mode, act) {
    try {
      return await result(act((await this.#base).transaction(STORE, mode).objectStore(STORE)));
    } catch {
      return undefined;
    }
  }
}

async function opened() {
  try {
    const request = indexedDB.open(BASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: ["visit", "run"] })
      .createIndex(WHEN, WHEN);
    return await result(request);
  } catch {
    return null;
  }
}

function result(request) {
  return new Promise((done, fail) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => fail(request.error);
  });
}

// What this tab has remembered under a name, or is to remember.
function remember(name, value) {
  try {
    if (value !== undefined) sessionStorage.setItem(name, JSON.stringify(value));
    return JSON.parse(sessionStorage.getItem(name));
  } catch {
    return null;
  }
}

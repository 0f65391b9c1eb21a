// The takes of this visit: every clip that was made, two of them against each other, and settings from a file.
import { player } from "./player.js";
import { details, lower, names, t } from "./words.js";

const KEPT = 24; // older takes make room
const SIDES = ["A", "B"];
const NESTED = ["knobs", "drawn"]; // settings that hold several
const WAV_BYTES = 64 * 2 ** 20;
const TYPED = "input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable], dialog, .stage";
const SETTINGS_BYTES = 64 * 2 ** 10; // of JSON, alone or inside a WAV

export function mount(host, score) {
  const takes = new Takes(host, score);
  openFiles(takes.root, (file) => takes.open(file));
  saveSettings(score);
  shareLinks(host, score);
}

class Takes {
  #takes = []; // copies of clips {run, settings, score, audio, ...}, newest first
  #marks = { A: null, B: null }; // runs
  #side = null; // which of the two is on
  #turn = Promise.resolve(); // one exchange after the other, however fast they are asked for

  constructor(host, score) {
    this.host = host;
    this.score = score;
    this.root = document.querySelector(".takes");
    this.strip = this.root.querySelector(".takes-strip");
    score.addEventListener("clip", () => this.#keep(score.clip));
    this.strip.addEventListener("click", (event) => this.#press(event));
    this.root.querySelector(".duel").addEventListener("click", (event) => {
      const side = event.target.closest("[data-side]")?.dataset.side;
      if (side) this.hear(side);
    });
    document.addEventListener("keydown", (event) => {
      if (event.key.toLowerCase() !== "x" || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      if (event.target.closest(TYPED) || !this.#paired) return;
      this.hear(this.#side === "A" ? "B" : "A");
    });
    this.#draw();
  }

  // Restores what a file of ours asks for; everything else is refused in words.
  async open(file) {
    try {
      this.restore(await settingsIn(file), file.name);
    } catch (error) {
      this.score.fail(error.message);
    }
    this.#lookUp();
  }

  restore(settings, name) { this.host.trigger("restore", { settings, name: short(name) }); }

  // Puts a take on the score; its sound takes over where the other's is.
  show(take, { gain = 1, sound = player.playing } = {}) {
    this.#turn = this.#turn.then(async () => {
      await this.score.showClip(take, { gain, sound, position: null });
      if (!this.score.element.classList.contains("sampling")) this.score.say(this.score.title(take));
    });
    return this.#turn;
  }

  // One side of the pair, as loud as the quieter of the two.
  hear(side) {
    this.#side = side;
    this.#draw();
    return this.show(this.#marked(side), { gain: 10 ** (-this.#excess(side) / 20), sound: true });
  }

  get #paired() { return SIDES.every((side) => this.#marks[side]); }

  #marked(side) { return this.#takes.find((take) => take.run === this.#marks[side]); }

  // By how many dB a side is louder than the quieter one.
  #excess(side) {
    const levels = SIDES.map((each) => this.#marked(each).loudness_db ?? -70);
    return levels[SIDES.indexOf(side)] - Math.min(...levels);
  }

  #keep(clip) {
    if (!clip.welcome && !clip.example && !this.#takes.some((take) => take.run === clip.run)) {
      this.#takes.unshift({ ...clip });
      for (const gone of this.#takes.splice(KEPT)) {
        for (const side of SIDES) if (this.#marks[side] === gone.run) this.#marks[side] = null;
      }
      this.strip.scrollTo({ left: 0 });
    }
    if (this.#side && clip.run !== this.#marks[this.#side]) this.#side = null;
    const wanted = [clip.run, ...Object.values(this.#marks)];
    for (const take of this.#takes) if (!wanted.includes(take.run)) delete take.buffer; // a sound is ten times its file
    this.#draw();
  }

  #press(event) {
    const button = event.target.closest("button");
    const take = this.#takes.find(({ run }) => run === button?.closest("li").dataset.run);
    if (!take) return;
    if (button.dataset.side) this.#mark(button.dataset.side, take.run);
    else if (button.matches(".restore")) {
      this.restore(take.settings, t("This take"));
      this.#lookUp();
    } else {
      this.#side = null;
      this.show(take);
    }
  }

  #mark(side, run) {
    const other = side === "A" ? "B" : "A", was = this.#side;
    if (this.#marks[other] === run) this.#marks[other] = null;
    this.#marks[side] = this.#marks[side] === run ? null : run;
    if (!this.#paired) this.#side = null;
    this.#draw();
    if (was && !this.#side) this.show(this.score.clip); // at its own loudness again
  }

  #lookUp() {
    const behavior = this.score.calm.matches ? "auto" : "smooth";
    this.score.find(".message").scrollIntoView({ block: "nearest", behavior });
  }

  #draw() {
    const some = this.#takes.length > 0, duel = this.root.querySelector(".duel");
    this.root.classList.toggle("none", !some);
    this.root.querySelector(".takes-count").textContent = some ? this.#takes.length : "";
    this.root.querySelector(".takes-hint").textContent = this.#hint();
    this.strip.replaceChildren(...(some ? this.#takes.map((take) => this.#card(take)) : [make("li", "ghost", t("Every clip that you make stays here until you leave: to hear it again, to go on from its settings, to play two against each other."))]));
    duel.hidden = !this.#paired;
    if (!this.#paired) return;
    duel.replaceChildren(...SIDES.map((side) => {
      const button = make("button", "", side);
      button.type = "button";
      button.dataset.side = side;
      button.setAttribute("aria-pressed", this.#side === side);
      button.setAttribute("aria-label", t("Hear take {side}: {name}", { side, name: nameOf(this.#marked(side)) }));
      return button;
    }), make("span", "key", "X"));
  }

  #hint() {
    if (this.#paired) {
      const louder = SIDES.find((side) => this.#excess(side) >= 0.05);
      return louder
        ? t("Equally loud: {side} is turned down by {level} dB.", { side: louder, level: this.#excess(louder).toFixed(1) })
        : t("Equally loud as they are.");
    }
    if (this.#takes.length < 2) return "";
    return SIDES.some((side) => this.#marks[side]) ? t("Now mark the other one.") : t("Mark two as A and B to play them against each other.");
  }

  #card(take) {
    const { settings, seconds } = take, card = make("li", "card"), name = nameOf(take);
    card.dataset.run = take.run;
    card.classList.toggle("on", this.score.clip?.run === take.run);
    const put = make("button", "put"), picture = make("img"), words = make("span", "words");
    put.setAttribute("aria-label", t("Put this take on: {name}", { name: `${name}, ${settings.seed}` }));
    put.setAttribute("aria-pressed", this.score.clip?.run === take.run);
    picture.src = take.score;
    picture.alt = "";
    const steps = settings.stopped_at === null ? t("{steps} steps", settings) : t("stopped at {stopped_at} of {steps}", settings);
    words.append(make("b", "", name), make("span", "", `${take.method} · ${steps}`), make("span", "number", `${t("seed")} ${settings.seed}`));
    const thumb = make("span", "thumb");
    thumb.append(picture, make("span", "length", `${settings.duration_s.toFixed(1)} s`));
    put.append(thumb, words);
    const tools = make("div", "tools"), restore = make("button", "restore", t("Use settings"));
    tools.append(make("span", "made", t("made in {seconds} s", { seconds: seconds.toFixed(1) })), restore);
    for (const side of SIDES) {
      const mark = make("button", "mark", side);
      mark.dataset.side = side;
      mark.setAttribute("aria-label", t("Mark as {side}: {name}", { side, name: `${name}, ${settings.seed}` }));
      mark.setAttribute("aria-pressed", this.#marks[side] === take.run);
      tools.append(mark);
    }
    restore.setAttribute("aria-label", t("Use the settings of {name}", { name: `${name}, ${settings.seed}` }));
    for (const button of [put, ...tools.querySelectorAll("button")]) button.type = "button";
    card.append(put, tools);
    return card;
  }
}

function nameOf({ settings }) {
  const [first, ...more] = [...names(settings), ...details(settings)];
  return [first ?? t("Anything"), ...more.map(lower)].join(" · ");
}

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

const short = (name) => (name.length > 60 ? `${name.slice(0, 40)}…${name.slice(-15)}` : name);

// Files: dropped anywhere on the page, or chosen.
function openFiles(root, open) {
  const veil = make("div", "veil"), picker = root.querySelector("input[type=file]");
  veil.append(make("p", "", t("Drop a clip to restore its settings")), make("p", "quiet", t("A WAV saved here, or its JSON: only its settings are read.")));
  veil.hidden = true;
  document.body.append(veil);
  const files = (event) => event.dataTransfer?.types.includes("Files");
  window.addEventListener("dragenter", (event) => { if (files(event)) veil.hidden = false; });
  window.addEventListener("dragover", (event) => { if (files(event)) event.preventDefault(); });
  veil.addEventListener("dragleave", () => { veil.hidden = true; });
  window.addEventListener("drop", (event) => {
    veil.hidden = true;
    if (!files(event)) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) open(file);
  });
  root.querySelector(".open-clip").addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => {
    if (picker.files.length) open(picker.files[0]);
    picker.value = ""; // the same file may be chosen again
  });
}

// The settings in a file, read here: nothing is uploaded, and of a WAV only the chunks' headers and the comment are read.
export async function settingsIn(file) {
  const name = short(file.name), allowed = t("Allowed are a WAV file saved here and its JSON.");
  const refuse = (sentence, values) => { throw new Error(`${t(sentence, { name, ...values })} ${allowed}`); };
  const read = async (from, to) => {
    try { return await file.slice(from, to).arrayBuffer(); } catch { return refuse("{name} cannot be read."); }
  };
  if (!file.size && !file.type && !/\.(wav|json)$/i.test(file.name)) refuse("{name} is empty, or a folder.");
  if (!file.size) refuse("{name} is empty.");
  const size = file.size < 2 ** 20 ? `${Math.ceil(file.size / 1024)} KB` : `${(file.size / 2 ** 20).toFixed(1)} MB`;
  const head = await read(0, 12), text = (from, to) => String.fromCharCode(...new Uint8Array(head.slice(from, to)));
  let json;
  if (text(0, 4) === "RIFF" && text(8, 12) === "WAVE") {
    if (file.size > WAV_BYTES) refuse("{name} is too long: {size}, but at most 64 MB are read.", { size });
    if (file.size < 8 + new DataView(head).getUint32(4, true)) refuse("{name} is only the beginning of a WAV file.");
    json = await commentIn(file.size, read);
    if (json === null) refuse("{name} is a WAV file without settings inside.");
  } else {
    const kind = file.type || (file.name.includes(".") ? `.${file.name.split(".").pop()}` : t("of no known kind"));
    if (!/\.json$/i.test(file.name) && file.type !== "application/json") refuse("{name} ({kind}, {size}) is no clip.", { kind, size });
    if (file.size > SETTINGS_BYTES) refuse("{name} is too long for settings: {size}, but at most 64 KB are read.", { size });
    json = new TextDecoder().decode(await read(0, file.size));
  }
  let settings;
  try { settings = JSON.parse(json); } catch { refuse("{name} does not hold settings as JSON."); }
  if (!plain(settings) || !Object.entries(settings).every(([key, value]) => simple(value) || (NESTED.includes(key) && plain(value) && Object.values(value).every(simple)))) {
    refuse("{name} holds JSON, but not the settings of a clip.");
  }
  return settings;
}

const plain = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const simple = (value) => value === null || typeof value !== "object";

// The comment (ICMT in a LIST of type INFO) of a WAV file, null if there is none.
async function commentIn(size, read) {
  for (let at = 12, chunks = 0; at + 8 <= size && chunks < 100; chunks += 1) {
    const chunk = new DataView(await read(at, at + 12)), length = chunk.getUint32(4, true);
    const is = (offset, id) => [...id].every((letter, i) => offset + i < chunk.byteLength && chunk.getUint8(offset + i) === letter.charCodeAt(0));
    if (is(0, "LIST") && is(8, "INFO") && length <= SETTINGS_BYTES) {
      const bytes = await read(at + 12, at + 8 + length), list = new DataView(bytes);
      for (let i = 0; i + 8 <= bytes.byteLength;) {
        const part = list.getUint32(i + 4, true);
        if (list.getUint32(i) === 0x49434d54) return new TextDecoder().decode(bytes.slice(i + 8, i + 8 + part)).replace(/\0.*$/s, "");
        i += 8 + part + (part % 2);
      }
    }
    at += 8 + length + (length % 2);
  }
  return null;
}

function saveSettings(score) {
  const button = score.find(".save-json");
  score.addEventListener("clip", () => { button.disabled = false; });
  button.addEventListener("click", () => {
    const { settings, name } = score.clip, link = make("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(settings, null, 2)], { type: "application/json" }));
    link.download = name.replace(/\.wav$/, ".json");
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}

// The link as a code for the cameras of others.
function shareLinks(host, score) {
  const open = score.find(".show-qr"), dialog = make("dialog", "qr");
  const code = make("div", "code"), link = make("p", "link-text"), hint = make("p", "quiet"), close = make("button", "", t("Close"));
  const title = make("h2", "", t("This clip as a link"));
  title.id = "qr-title";
  dialog.setAttribute("aria-labelledby", title.id);
  close.type = "button";
  dialog.append(title, code, link, hint, close);
  document.body.append(dialog);
  score.addEventListener("clip", () => { open.disabled = false; });
  open.addEventListener("click", async () => {
    const { url, svg, near } = await host.server.qr({ page: `${location.origin}${location.pathname}`, query: score.clip.query });
    code.innerHTML = svg;
    const picture = code.firstElementChild, modules = picture.viewBox.baseVal.width;
    picture.style.width = `${modules * Math.max(2, Math.floor(320 / modules))}px`; // whole pixels: crisp
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", t("QR code of the link"));
    link.textContent = url;
    hint.textContent = near ? t("Only this machine can open this address: start the page with --host 0.0.0.0 for others to follow the link.") : "";
    hint.hidden = !near;
    dialog.showModal();
  });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}

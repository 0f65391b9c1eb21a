// Settings that come back from files: a WAV saved here or its JSON, dropped anywhere on the page or chosen.
import { make } from "../shared/dom.js";
import { Part } from "../shared/part.js";
import { t } from "../shared/words.js";

const SETTINGS_BYTES = 64 * 2 ** 10; // of JSON, alone or inside a WAV
const DEPTH = 6; // of settings: edits, a fork, its parent, the knobs of that
const CHUNKS = 100; // of a WAV, after which nobody looks for more
const UNKNOWN = 2 ** 32 - 1; // the length in the header of a WAV that was written into a pipe: it goes on to its end

export class Files extends Part {
  constructor({ facts, trigger }, canvas, root = document.querySelector(".takes")) {
    super();
    Object.assign(this, { facts, trigger, canvas });
    const picker = root.querySelector("input[type=file]");
    this.on(root.querySelector(".open-clip"), "click", () => picker.click());
    this.on(picker, "change", () => {
      if (picker.files.length) this.open(picker.files[0]);
      picker.value = ""; // the same file may be chosen again
    });
    const veil = this.own(make("div", { className: "veil", hidden: true },
      make("p", { text: t("Drop a clip to restore its settings") }),
      make("p", { className: "quiet", text: t("A WAV saved here, or its JSON: only its settings are read.") })));
    document.body.append(veil);
    const isFile = (event) => event.dataTransfer?.types.includes("Files");
    this.on(window, "dragenter", (event) => { if (isFile(event)) veil.hidden = false; });
    this.on(window, "dragover", (event) => { if (isFile(event)) event.preventDefault(); });
    this.on(veil, "dragleave", () => { veil.hidden = true; });
    this.on(window, "drop", (event) => {
      veil.hidden = true;
      if (!isFile(event)) return;
      event.preventDefault();
      if (event.dataTransfer.files.length) this.open(event.dataTransfer.files[0]);
    });
  }

  // Restores what a file of ours asks for; everything else is refused in words.
  async open(file) {
    try {
      this.trigger("restore", { settings: await settingsIn(file, this.facts.file_bytes), name: short(file.name) });
    } catch (error) {
      this.canvas.fail(error.message);
    }
    this.canvas.lookUp();
  }
}

const short = (name) => (name.length > 60 ? `${name.slice(0, 40)}…${name.slice(-15)}` : name);

// The settings in a file, read here: nothing is uploaded. Of a WAV only the chunks' headers and the comment are read.
async function settingsIn(file, longest) {
  const name = short(file.name), allowed = t("Allowed are a WAV file saved here and its JSON.");
  const refuse = (sentence) => { throw new Error(`${sentence} ${allowed}`); };
  const read = async (from, to) => {
    try {
      return await file.slice(from, to).arrayBuffer();
    } catch {
      return refuse(t("{name} cannot be read.", { name }));
    }
  };
  const isKnown = file.type || /\.(wav|json)$/i.test(file.name);
  if (!file.size) refuse(isKnown ? t("{name} is empty.", { name }) : t("{name} is empty, or a folder.", { name }));
  const size = file.size < 2 ** 20 ? `${Math.ceil(file.size / 1024)} KB` : `${(file.size / 2 ** 20).toFixed(1)} MB`;
  const head = await read(0, 12);
  let json;
  if (/^RIFF.{4}WAVE/s.test(letters(head))) {
    const most = longest / 2 ** 20, length = new DataView(head).getUint32(4, true);
    if (file.size > longest) {
      refuse(t("{name} is too long: {size}, but at most {most} MB are read.", { name, size, most }));
    }
    if (length !== UNKNOWN && file.size < 8 + length) refuse(t("{name} is only the beginning of a WAV file.", { name }));
    json = await commentIn(file.size, read);
    if (json === null) refuse(t("{name} is a WAV file without settings inside.", { name }));
  } else {
    const kind = file.type || (file.name.includes(".") ? `.${file.name.split(".").pop()}` : t("of no known kind"));
    const isJson = /\.json$/i.test(file.name) || file.type === "application/json", most = SETTINGS_BYTES / 2 ** 10;
    if (!isJson) refuse(t("{name} ({kind}, {size}) is no clip.", { name, kind, size }));
    if (file.size > SETTINGS_BYTES) {
      refuse(t("{name} is too long for settings: {size}, but at most {most} KB are read.", { name, size, most }));
    }
    json = new TextDecoder().decode(await read(0, file.size));
  }
  let settings;
  try { settings = JSON.parse(json); } catch { refuse(t("{name} does not hold settings as JSON.", { name })); }
  if (!isPlain(settings) || !isShallow(settings, DEPTH)) {
    refuse(t("{name} holds JSON, but not the settings of a clip.", { name }));
  }
  return settings;
}

const isPlain = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isShallow = (value, depth) =>
  value === null || typeof value !== "object" || (depth > 0 && Object.values(value).every((each) => isShallow(each, depth - 1)));

const letters = (bytes) => String.fromCharCode(...new Uint8Array(bytes));

// The comment (ICMT in a LIST of type INFO) of a WAV file, null if there is none.
async function commentIn(size, read) {
  for (let at = 12, chunks = 0; at + 8 <= size && chunks < CHUNKS; chunks += 1) {
    const chunk = await read(at, at + 12), length = new DataView(chunk).getUint32(4, true);
    if (/^LIST.{4}INFO/s.test(letters(chunk)) && length <= SETTINGS_BYTES) {
      const bytes = await read(at + 12, at + 8 + length), list = new DataView(bytes);
      for (let i = 0; i + 8 <= bytes.byteLength;) {
        const part = list.getUint32(i + 4, true);
        const comment = bytes.slice(i + 8, i + 8 + part);
        if (letters(bytes.slice(i, i + 4)) === "ICMT") return new TextDecoder().decode(comment).replace(/\0.*$/s, "");
        i += 8 + part + (part % 2);
      }
    }
    at += 8 + length + (length % 2);
  }
  return null;
}

// What a visitor takes along of the clip on the canvas: its WAV, its settings, its link, and the link as a code.
import { bytesOf, make, saveFile } from "../shared/dom.js";
import { Part } from "../shared/part.js";
import { t } from "../shared/words.js";

const SAID_MS = 2500; // how long a button says what it has done
const CODE_PX = 320;

export class Sharing extends Part {
  constructor({ server }, canvas) {
    super();
    Object.assign(this, { server, canvas });
    const [link, json, qr] = [".link", ".save-json", ".show-qr"].map((selector) => canvas.find(selector));
    this.download = canvas.find(".download");
    this.link = link;
    this.dialog = this.own(new Code());
    this.on(canvas, "clip", () => {
      for (const button of [link, json, qr]) button.disabled = false;
      this.#offer(canvas.clip);
    });
    this.on(link, "click", () => this.#copy());
    this.on(json, "click", () => {
      const { settings, name } = canvas.clip;
      saveFile(JSON.stringify(settings, null, 2), "application/json", name.replace(/\.wav$/, ".json"));
    });
    this.on(qr, "click", async () => {
      try {
        this.dialog.show(await server.qr({ page: this.#page, query: canvas.clip.query }));
      } catch (error) {
        canvas.fail(error.message);
      }
    });
    this.undo(() => this.#forget());
  }

  get #page() { return `${location.origin}${location.pathname}`; }

  #forget() { if (this.download.href) URL.revokeObjectURL(this.download.href); }

  #offer(clip) {
    const { download } = this;
    this.#forget();
    if (clip.example) { // its settings make the WAV; what is here is smaller
      download.removeAttribute("href");
      download.setAttribute("aria-disabled", "true");
    } else {
      download.href = URL.createObjectURL(new Blob([bytesOf(clip.audio)], { type: "audio/wav" }));
      download.download = clip.name;
      download.removeAttribute("aria-disabled");
    }
  }

  async #copy() {
    const url = `${this.#page}?${this.canvas.clip.query}`;
    try {
      await navigator.clipboard.writeText(url);
      this.link.textContent = t("Copied");
    } catch { // as in a frame of another page, or at an address without encryption
      this.dialog.show({ url });
      return;
    }
    this.later(SAID_MS, () => { this.link.textContent = t("Copy link"); });
  }
}

// A dialog with a link and its code.
class Code extends Part {
  constructor() {
    super();
    this.code = make("div", { className: "code" });
    this.text = make("p", { className: "link-text" });
    this.hint = make("p", { className: "quiet" });
    const close = make("button", { text: t("Close") });
    this.root = this.own(make("dialog", { className: "qr", "aria-labelledby": "qr-title" },
      make("h2", { id: "qr-title", text: t("This clip as a link") }), this.code, this.text, this.hint, close));
    document.body.append(this.root);
    this.on(close, "click", () => this.root.close());
    this.on(this.root, "click", ({ target }) => { if (target === this.root) this.root.close(); });
  }

  // Without a code the link is selected, to be copied by hand.
  show({ url, svg = null, near = false }) {
    this.text.textContent = url;
    this.hint.hidden = svg !== null && !near;
    this.hint.textContent = svg === null
      ? t("This browser does not let the page copy. The link is selected: copy it by hand.")
      : t("Only this machine can open this address: start the page with --host 0.0.0.0 for others to follow the link.");
    this.root.showModal();
    if (svg === null) {
      this.code.remove();
      getSelection().selectAllChildren(this.text);
    } else {
      this.text.before(this.code);
      this.#draw(svg);
    }
  }

  #draw(svg) {
    this.code.innerHTML = svg;
    const picture = this.code.firstElementChild, modules = picture.viewBox.baseVal.width;
    picture.style.width = `${modules * Math.max(2, Math.floor(CODE_PX / modules))}px`; // whole pixels: crisp
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", t("QR code of the link"));
  }
}

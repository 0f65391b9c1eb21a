// What several parts of the page do with elements, bytes and keys. It imports nothing, so that a report can carry it.

export const PLAY_ICON = `<svg viewBox="0 0 24 24" aria-hidden="true">
<path class="to-play" d="M7 4.5v15l13-7.5z"/><path class="to-pause" d="M6 5h4.5v14H6zM13.5 5H18v14h-4.5z"/></svg>`;
export const TYPED = "input:not([type=checkbox], [type=radio], [type=range], [type=button]), textarea, select, "
  + "[contenteditable], [role=combobox], [role=listbox], dialog";

// make("p", { className: "quiet", text: "Hello", "aria-label": "Greeting" }, child, ...): `text` or `html` fills the
// element, `data` is its dataset, `role` and names with a hyphen are attributes, all others properties.
export function make(tag, { text, html, data = {}, ...more } = {}, ...children) {
  const element = document.createElement(tag);
  if (tag === "button") element.type = "button";
  for (const [name, value] of Object.entries(more)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  Object.assign(element.dataset, data);
  if (html !== undefined) element.innerHTML = html;
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

export function bytesOf(base64) { return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)); }

export async function base64Of(blob) {
  const reader = new FileReader();
  const read = new Promise((done, fail) => Object.assign(reader, { onload: done, onerror: fail }));
  reader.readAsDataURL(blob);
  await read;
  return reader.result.split(",")[1];
}

// A file for the visitor's disk.
export function saveFile(content, type, name) {
  const link = make("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// Shows a picture once it is decoded, so that nothing flickers; one that cannot be decoded is not shown.
export async function paint(image, uri) {
  const next = new Image();
  next.src = uri;
  try { await next.decode(); } catch { return; }
  image.src = uri;
}

// Which of the `commands` a key means: by its character or, where that is none of them and no Latin letter, by its
// place on the keyboard. A French 1 is "&", a Russian G is "п".
export function commandOf({ key = "", code }, commands) {
  const name = key.length === 1 ? key.toLowerCase() : key;
  if (name in commands || /^[a-z]$/.test(name)) return name;
  return /^(?:Key|Digit)(.)$/.exec(code)?.[1].toLowerCase();
}

// What `actions` has for a key that was pressed; nothing if it is typed into a field, or the browser's.
export function actionOf(event, actions) {
  if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
  if (event.isComposing || event.target.closest?.(TYPED)) return undefined;
  return actions[commandOf(event, actions)];
}

// Where a key leads among cells in rows and columns: {row, column}, perhaps beyond them; nothing for any other key.
export function placeAfter(event, { row, column }, last) {
  return {
    ArrowLeft: { row, column: column - 1 },
    ArrowRight: { row, column: column + 1 },
    ArrowUp: { row: row - 1, column },
    ArrowDown: { row: row + 1, column },
    Home: { row: event.ctrlKey ? 0 : row, column: 0 },
    End: { row: event.ctrlKey ? last.row : row, column: last.column },
  }[event.key];
}

// What the page says, in the visitor's language: English sentences are the keys of the French ones.

export const language = navigator.language.startsWith("fr") ? "fr" : "en";
const french = language === "fr"
  ? await (await fetch(new URL("french.json", import.meta.url))).json()
  : null;
const SPOKEN = ["aria-label", "title", "alt", "placeholder"];

// The sentence in the visitor's language, with each {name} replaced by its value.
export function t(sentence, values = {}) {
  const text = french?.[sentence] ?? sentence;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

const upper = (text) => text[0].toUpperCase() + text.slice(1);
export const lower = (text) => text[0].toLowerCase() + text.slice(1); // keeps the key in "In A minor"

// The name of a label's value, as settings have it.
export function named(value) {
  if (/^[A-G][b#]?$/.test(value)) return value.replace("b", "♭").replace("#", "♯");
  return t(upper(value.replaceAll("_", " ")));
}

const value = (settings, name) => ((settings[name] ?? "any") === "any" ? settings.drawn?.[name] : settings[name]);

// What is played and who plays it, as far as settings say.
export function names(settings) {
  return ["style", "ensemble"].map((name) => value(settings, name)).filter(Boolean).map(named);
}

// What else was chosen, or drawn: the key and its mode, the tempo, the beat, and whether it ends.
export function details(settings) {
  const [key, mode, tempo, beat, ending] = ["key", "mode", "tempo", "beat", "ending"].map((name) => value(settings, name));
  const tonality = [key && t(`in ${named(key)}`), mode && lower(named(mode))].filter(Boolean).join(" ");
  return [tonality && upper(tonality), tempo && named(tempo), beat && `♩ = ${beat}`, ending === "ends" && t("With its end")].filter(Boolean);
}

// Translates what `root` shows and will show of markup written in English.
export function localise(root) {
  if (!french) return;
  document.documentElement.lang = language;
  translate(root);
  new MutationObserver((changes) => {
    for (const change of changes) change.addedNodes.forEach(translate);
  }).observe(root, { childList: true, subtree: true });
}

function translate(node) {
  if (node.nodeType === Node.TEXT_NODE) {
    const sentence = node.data.trim(), text = french[sentence];
    if (text && text !== sentence && !node.parentElement?.closest("script, style, textarea, pre, code")) {
      node.data = node.data.replace(sentence, () => text);
    }
  } else if (node.nodeType === Node.ELEMENT_NODE) {
    for (const name of SPOKEN) {
      const text = french[node.getAttribute(name)];
      if (text) node.setAttribute(name, text);
    }
    node.childNodes.forEach(translate);
  }
}

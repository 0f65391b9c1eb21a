// What the page says, in the visitor's language: English sentences are the keys of the French ones.

const french = navigator.language.startsWith("fr")
  ? await (await fetch(new URL("french.json", import.meta.url))).json()
  : null;
const SPOKEN = ["aria-label", "title", "alt", "placeholder"];

// The sentence in the visitor's language, with each {name} replaced by its value.
export function t(sentence, values = {}) {
  const text = french?.[sentence] ?? sentence;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

// The name of a label's value, as settings have it.
export function named(value) {
  const words = value.replaceAll("_", " ");
  return t(words[0].toUpperCase() + words.slice(1));
}

// The names of the labels that settings choose; those made before there was a mode and a tempo do not say them.
export function labels(settings, which = ["style", "ensemble", "mode", "tempo"]) {
  return which.map((name) => settings[name] ?? "any").filter((value) => value !== "any").map(named);
}

// Translates what `root` shows and will show of markup written in English.
export function localise(root) {
  if (!french) return;
  document.documentElement.lang = "fr";
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

// What the page says, in the visitor's language: English sentences are the keys of the French ones.

export const language = navigator.language.startsWith("fr") ? "fr" : "en";
const french = language === "fr"
  ? await fetch(new URL("french.json", import.meta.url)).then((answer) => answer.json()).catch(() => null)
  : null; // or where it did not come: then the page speaks English
const SPOKEN = ["aria-label", "title", "alt", "placeholder"];

// The sentence in the visitor's language, with each {name} replaced by its value.
export function t(sentence, values = {}) {
  const text = french?.[sentence] ?? sentence;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

// As `t`, of a sentence with numbers in it: its French has {n0}, {n1} and so on in their places.
export function counted(text) {
  const numbers = [], sentence = text.replace(/\d+(\.\d+)?(e[+-]?\d+)?/g, (number) => `{n${numbers.push(number) - 1}}`);
  return french?.[text] ?? t(sentence, Object.fromEntries(numbers.map((number, i) => [`n${i}`, number])));
}

// Of what the server says in both languages, {en, fr}, the visitor's.
export function spoken(pair) { return pair[language]; }

// Within a sentence; it keeps the key in "In A minor".
export function lower(text) { return text[0].toLowerCase() + text.slice(1); }

// Translates what `root` shows and will show of markup written in English, until `signal` aborts.
export function localise(root, signal) {
  if (!french) return;
  document.documentElement.lang = language;
  translate(root);
  const observer = new MutationObserver((changes) => {
    for (const change of changes) change.addedNodes.forEach(translate);
  });
  observer.observe(root, { childList: true, subtree: true });
  signal.addEventListener("abort", () => observer.disconnect(), { once: true });
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

// What the page says, in the visitor's language: English sentences are the keys of the French ones.

const french = navigator.language.startsWith("fr")
  ? await (await fetch(new URL("french.json", import.meta.url))).json()
  : {};

// The sentence in the visitor's language, with each {name} replaced by its value.
export function t(sentence, values = {}) {
  const text = french[sentence] ?? sentence;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

// Where the page's modules meet. The score's component calls `mount` once, with its `element`, `trigger(event, data)`,
// `server` functions and `upload`, and hands every message of the server to the function that comes back.
import * as gallery from "./gallery.js";
import * as keys from "./keys.js";
import * as race from "./race.js";
import * as rail from "./rail.js";
import * as reveal from "./reveal.js";
import { Score } from "./score.js";
import * as stage from "./stage.js";
import * as takes from "./takes.js";
import { localise } from "./words.js";

export function mount(host) {
  localise(document.body);
  const score = new Score(host);
  for (const part of [reveal, takes, gallery, keys, stage, race, rail]) part.mount(host, score);
  return (message) => score.receive(message);
}

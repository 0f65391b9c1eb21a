// Where the page's modules meet. The score's component calls `mount` once, with its `element`, `trigger(event, data)`,
// `server` functions and `upload`, and hands every message of the server to the function that comes back.
import { Score } from "./score.js";

export function mount(host) {
  const score = new Score(host);
  return (message) => score.receive(message);
}

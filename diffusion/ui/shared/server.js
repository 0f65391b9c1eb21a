// The functions of the server, as modules call them.
import { t } from "./words.js";

// An answer that does not come is an error in words: Gradio's client gives undefined for it. Null is an answer.
export function answering(server) {
  return new Proxy(server, {
    get: (functions, name) => async (asked) => {
      const answer = await functions[name](asked);
      if (answer === undefined) throw new Error(t("The server does not answer."));
      return answer;
    },
  });
}

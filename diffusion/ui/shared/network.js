// Patience with the network, for Gradio's browser client. One lost request is the end for it: it takes no event any
// more, and reloads the page as soon as the server answers. Here a lost request is sent again, and what is lost for
// good fails as what a server has refused does, after which the client goes on. It stands in the head of the page.
(() => {
  const PAUSES_MS = [300, 1000, 2000, 4000]; // before a lost request is sent again
  const LOST = [502, 504]; // what a proxy says whose server does not answer
  const ASK_MS = 1000; // between two looks at whether the server is back
  const SILENT_MS = 20_000; // a stream says something every 15 s
  const SILENCES = 3; // after so many the stream is dead
  const SETTLE_MS = 100; // Gradio takes up each message in a task of its own
  const CLOSED = '"msg":"close_stream"';
  const ENDED = /"msg":"process_completed","event_id":"(\w+)"/;
  // Without the number of an event it is said to all: each of them has failed, and the next one opens another stream.
  const BROKEN = `data: {"msg":"unexpected_error","message":"","success":false}\n\ndata: {${CLOSED}}\n\n`;

  const send = window.fetch.bind(window);
  const rest = (ms) => new Promise((done) => setTimeout(done, ms));
  const waited = new Set(), over = new Set(); // events under way, and those that were over before that was known
  let answers = true;

  // What a promise gives, or nothing if it takes longer.
  async function within(ms, promise) {
    let timer;
    const late = new Promise((done) => { timer = setTimeout(done, ms); });
    try { return await Promise.race([promise, late]); } finally { clearTimeout(timer); }
  }

  // Fires "network" at the document: {answers, same: whether the server is still the one that this page is of}.
  function tell(now, same = true) {
    if (now === answers) return;
    answers = now;
    document.dispatchEvent(new CustomEvent("network", { detail: { answers, same } }));
    if (!answers) look();
  }

  async function look() {
    while (!answers) {
      await rest(ASK_MS);
      try {
        const answer = await send(new URL("gradio_api/app_id", document.baseURI), { cache: "no-store" });
        if (answer.ok) tell(true, (await answer.json()).app_id === window.gradio_config.app_id);
      } catch { /* not yet */ }
    }
  }

  // The answer to a request that is sent until there is one; null if there is none.
  async function patiently(input, options) {
    for (const pause of [...PAUSES_MS, 0]) {
      try {
        const answer = await send(input instanceof Request ? input.clone() : input, options);
        if (!LOST.includes(answer.status)) return answer;
      } catch (error) {
        if (error.name === "AbortError") throw error;
      }
      if (pause !== PAUSES_MS[0]) tell(false);
      await rest(pause);
    }
    return null;
  }

  // A stream of messages that is never broken, but closed. An event that is sent while the server closes the stream
  // would wait for ever: Gradio's client takes that stream for its own. So another one is opened, which goes on here.
  function whole(answer, again) {
    const read = (from) => (from?.ok ? from.body.pipeThrough(new TextDecoderStream()).getReader() : null);
    const encoder = new TextEncoder();
    let reader = read(answer), text = "", closed = false;
    async function next() {
      const part = reader.read();
      for (let silences = 0; silences < SILENCES; silences += 1) {
        const said = await within(SILENT_MS, part);
        if (said) return said;
        tell(false);
      }
      reader.cancel().catch(() => {});
      return { done: true };
    }
    return new ReadableStream({
      async pull(controller) {
        for (;;) {
          const { value = "", done } = await next().catch(() => ({ done: true }));
          const messages = (text + value).split("\n\n"), said = [];
          text = messages.pop();
          for (const message of messages) {
            closed = message.includes(CLOSED);
            if (!closed || !waited.size) said.push(`${message}\n\n`);
            const [, event] = ENDED.exec(message) ?? [];
            if (event && !waited.delete(event)) over.add(event);
          }
          if (said.length) {
            const all = said.join("").replaceAll('"session_not_found":true', '"session_not_found":false');
            controller.enqueue(encoder.encode(all));
          }
          if (closed && waited.size) {
            reader = read(await again());
            closed = false;
          } else if (done) break;
          else if (said.length) return;
        }
        if (!closed) {
          tell(false);
          waited.clear();
          await rest(SETTLE_MS);
          controller.enqueue(encoder.encode(BROKEN));
        }
        controller.close();
      },
      cancel(reason) { return reader?.cancel(reason); },
    });
  }

  window.fetch = async (input, options) => {
    const { origin, pathname } = new URL(input.url ?? input, document.baseURI);
    if (origin !== location.origin) return send(input, options);
    const answer = await patiently(input, options), gradio = pathname.includes("/gradio_api/");
    if (pathname.endsWith("/queue/join") && answer?.ok) {
      const { event_id: event } = await answer.clone().json();
      if (!over.delete(event)) waited.add(event);
    }
    if (pathname.endsWith("/queue/data")) {
      const headers = { "Content-Type": "text/event-stream" };
      return new Response(whole(answer, () => patiently(input, options)), { headers });
    }
    if (answer) return answer;
    if (!gradio) throw new TypeError(`${pathname} was lost`);
    const error = @lost[navigator.language.startsWith("fr") ? "fr" : "en"];
    return new Response(JSON.stringify({ error }), { status: LOST[0] });
  };
})();

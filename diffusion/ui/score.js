// The score: pictures of a run as they come, and the player of the clip that it ends in.
// Runs inside gr.HTML, which gives `element`, `props` and `watch`; every message of the server is one `props.value`.
const find = (selector) => element.querySelector(selector);
const panes = find(".panes"), seek = find(".seek"), playhead = find(".playhead"), seconds = find(".seconds");
const play = find(".play"), film = find(".film input"), audio = find("audio");
const download = find(".download"), link = find(".link"), message = find(".message");
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
const FRAME_MS = 70;

let run = null; // the run on show; messages of older ones are late
let frames = []; // pictures of that run
let queue = []; // pictures still to be shown
let drawing = false;
let clip = null; // the last finished clip, which stays playable while the next is made
let pending = null; // a finished clip whose film is still running
const over = new Set(); // runs that are finished or overtaken
let note = ""; // what the server said about the link that led here
let asked = false; // whether the visitor asked for this run: then it may sound by itself

const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;
const minus = (text) => text.replace("-", "−");
const say = (text) => { message.textContent = text; message.classList.remove("error"); };
const announce = (text) => { find(".announcement").textContent = text; };
const duration = () => (clip ? clip.settings.duration_s : 0);

function axis(length) {
  const step = length > 30 ? 5 : length > 6 ? 1 : 0.5;
  seconds.replaceChildren(...Array.from({ length: Math.floor(length / step) + 1 }, (_, i) => {
    const tick = document.createElement("span");
    tick.textContent = i * step + (i ? "" : " s");
    tick.style.left = `${(100 * i * step) / length}%`;
    return tick;
  }));
}

function number(name, text) { find(`[data-number="${name}"]`).textContent = text; }

async function paint(name, uri) {
  const next = new Image();
  next.src = uri;
  try { await next.decode(); } catch { return; }
  const shown = find(`[data-picture="${name}"] img`);
  shown.src = uri;
}

async function show(frame) {
  number("step", `${frame.index} / ${frame.total}`);
  number("t", frame.t.toFixed(3));
  number("log_snr", Number.isFinite(frame.log_snr) && frame.log_snr < 30 ? minus(frame.log_snr.toFixed(2)) : "∞");
  number("evaluations", String(frame.evaluations));
  number("seconds", `${frame.seconds.toFixed(1)} s`);
  number("seed", String(frame.seed));
  element.style.setProperty("--progress", frame.index / frame.total);
  await Promise.all([paint("noise", frame.noise), paint("belief", frame.belief || frame.noise)]);
  panes.dataset.index = frame.index;
}

// Pictures come faster than anyone can look on a fast machine: each stays for a moment, and none is lost.
async function roll() {
  if (drawing) return;
  drawing = true;
  while (queue.length) {
    const frame = queue.shift();
    await show(frame);
    if (queue.length || pending) await new Promise((done) => setTimeout(done, FRAME_MS));
  }
  drawing = false;
  if (pending) finish();
}

function begin(next) {
  if (run) over.add(run);
  run = next.run;
  frames = [];
  queue = [];
  pending = null;
  element.classList.add("sampling");
  element.classList.remove("waiting");
  film.disabled = true;
  if (!clip) axis(next.duration_s || next.settings.duration_s);
  say("Composing.");
}

function finish() {
  const playing = !audio.paused && !audio.ended;
  clip = pending;
  pending = null;
  frames = clip.film;
  element.classList.remove("sampling", "waiting");
  element.style.setProperty("--progress", 0);
  film.max = frames.length;
  film.value = frames.length;
  film.disabled = false;
  paint("belief", clip.score);
  if (frames.length) paint("noise", frames[frames.length - 1].noise);
  const { seed, evaluations, stopped_at: stopped } = clip.settings;
  number("evaluations", String(evaluations));
  number("seconds", `${clip.seconds.toFixed(1)} s`);
  panes.dataset.seed = seed;
  const text = stopped === null
    ? clip.title
    : `Stopped after step ${stopped} of ${clip.settings.steps}: this is what the model believed.`;
  say(note && !asked ? `${text} ${note}` : text);
  announce(`${text} Ready to play.`);
  load(clip, asked || playing);
  asked = false;
}

function load(next, sound) {
  if (audio.src) URL.revokeObjectURL(audio.src);
  const bytes = Uint8Array.from(atob(next.audio), (character) => character.charCodeAt(0));
  const url = URL.createObjectURL(new Blob([bytes], { type: "audio/wav" }));
  audio.src = url;
  download.href = url;
  download.download = next.name;
  download.removeAttribute("aria-disabled");
  link.disabled = play.disabled = false;
  seek.setAttribute("aria-valuemax", duration());
  find(".end").textContent = clock(duration());
  axis(duration());
  follow();
  if (sound) audio.play().catch(() => say(`${message.textContent} Press play.`));
}

function follow() {
  const position = duration() ? Math.min(audio.currentTime / duration(), 1) : 0;
  playhead.style.left = `${100 * position}%`;
  find(".now").textContent = clock(audio.currentTime);
  seek.setAttribute("aria-valuenow", audio.currentTime.toFixed(1));
  seek.setAttribute("aria-valuetext", `${audio.currentTime.toFixed(1)} of ${duration().toFixed(1)} seconds`);
  if (!audio.paused) requestAnimationFrame(follow);
}

function receive() {
  const next = props.value;
  if (!next || over.has(next.run)) return;
  if (next.kind === "frame") {
    if (next.run !== run) begin(next);
    if (frames.some((frame) => frame.index === next.index)) return;
    frames.push(next);
    queue.push(next);
    roll();
  } else if (next.kind === "clip") {
    if (next.run !== run) begin(next);
    const last = frames.length ? frames[frames.length - 1].index : -1;
    if (!(calm.matches && last < 0)) queue.push(...next.film.filter((frame) => frame.index > last));
    over.add(next.run);
    pending = next;
    roll();
  } else if (next.kind === "note") {
    note = next.text;
    say(note);
  } else if (next.kind === "error") {
    element.classList.remove("sampling", "waiting");
    say(next.text);
    message.classList.add("error");
    announce(next.text);
  }
}

audio.addEventListener("play", () => {
  element.classList.add("playing");
  play.setAttribute("aria-label", "Pause");
  follow();
});
for (const event of ["pause", "ended"]) {
  audio.addEventListener(event, () => {
    element.classList.remove("playing");
    play.setAttribute("aria-label", "Play");
  });
}
audio.addEventListener("seeked", follow);
const toggle = () => (audio.paused ? audio.play() : audio.pause());
play.addEventListener("click", toggle);

function go(position) {
  if (!clip) return;
  audio.currentTime = Math.max(0, Math.min(position, duration() - 0.01));
  follow();
}
function point(event) {
  const box = seek.getBoundingClientRect();
  go(((event.clientX - box.left) / box.width) * duration());
}
seek.addEventListener("pointerdown", (event) => { seek.setPointerCapture(event.pointerId); point(event); });
seek.addEventListener("pointermove", (event) => { if (seek.hasPointerCapture(event.pointerId)) point(event); });
seek.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5 };
  if (event.key in moves) go(audio.currentTime + moves[event.key]);
  else if (event.key === "Home") go(0);
  else if (event.key === "End") go(duration());
  else if (event.key === " " && clip) toggle();
  else return;
  event.preventDefault();
});

film.addEventListener("input", () => {
  const frame = frames[Number(film.value)];
  if (frame) show(frame);
  else if (clip) { show(frames[frames.length - 1]).then(() => paint("belief", clip.score)); }
  element.style.setProperty("--progress", 0);
});
for (const button of element.querySelectorAll(".views button")) {
  button.addEventListener("click", () => {
    panes.dataset.view = button.dataset.view;
    for (const each of element.querySelectorAll(".views button")) each.setAttribute("aria-pressed", each === button);
  });
}
link.addEventListener("click", async () => {
  const url = `${location.origin}${location.pathname}?${clip.query}`;
  try {
    await navigator.clipboard.writeText(url);
    link.textContent = "Copied";
  } catch {
    history.replaceState(null, "", url);
    link.textContent = "Link is in the address bar";
  }
  setTimeout(() => { link.textContent = "Copy link"; }, 2500);
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("#generate");
  if (!button || button.disabled) return;
  asked = true;
  element.classList.add("waiting");
  say("Waiting for a turn.");
});

// Until the first message there is noise, as everywhere here.
(function noise() {
  const canvas = document.createElement("canvas");
  canvas.width = 320;
  canvas.height = 64;
  const context = canvas.getContext("2d"), image = context.createImageData(320, 64);
  for (let i = 0; i < image.data.length; i += 4) {
    const level = (Math.random() + Math.random() + Math.random()) / 3;
    image.data.set([255 * level ** 0.9, 190 * level ** 2.4, 120 * level * (1 - level) * 2, 255], i);
  }
  context.putImageData(image, 0, 0);
  for (const picture of element.querySelectorAll(".pane img")) picture.src = canvas.toDataURL();
})();
watch("value", receive);
receive();

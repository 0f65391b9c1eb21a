"""The page and its API: controls to requests, previews and clips to what the browser shows."""

from __future__ import annotations

import base64
import json
import os
import threading
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from diffusion.studio import Clip, Request, Studio, draw_seed
from diffusion.ui.film import Film, notes, score

HERE = Path(__file__).parent
ARGUMENTS = ("style", "ensemble", "sampler", "steps", "guidance_scale", "seed", "duration_s")
RUNS_AT_ONCE = 4  # more share the same cores, and each would wait longer for its first picture
WAITING = 32
FILE_AGE_S = 3600
FILE_BYTES = 64 * 2**20

INK = gr.themes.Color(
    c50="#f7f5f1",
    c100="#efece6",
    c200="#e0dcd3",
    c300="#c9c4ba",
    c400="#a39da6",
    c500="#7b7684",
    c600="#5c5766",
    c700="#37333f",
    c800="#1f1c25",
    c900="#16141b",
    c950="#0e0c12",
    name="ink",
)
AMBER = gr.themes.Color(
    c50="#fff6e8",
    c100="#ffe9c7",
    c200="#ffd591",
    c300="#ffbf5c",
    c400="#ffac33",
    c500="#fb9a14",
    c600="#b35f00",
    c700="#8a4700",
    c800="#623300",
    c900="#3d2000",
    c950="#221200",
    name="amber",
)


@dataclass
class _Run:
    """What can happen to a run from outside: its visitor stops it, or starts another."""

    stop: threading.Event = field(default_factory=threading.Event)
    superseded: bool = False


class Page:
    """What the visitors of one page share: the studio, and the run that each has under way."""

    def __init__(self, studio: Studio, welcome: Path | None = None) -> None:
        self.studio = studio
        self.options = studio.options()
        self._runs: dict[str, _Run] = {}
        self._asked: set[str] = set()  # sessions that have seen what they asked for
        self._welcome = _read_welcome(welcome) if welcome else None

    def perform(self, request: Request, session: str) -> Iterator[dict[str, Any]]:
        """The messages of one run for the score: pictures as they come, and the clip at last.

        A visitor's next run ends the one before without a clip, and so does closing the iterator.
        """
        name, film, run = uuid.uuid4().hex, Film(self.studio.mel, request), _Run()
        if session in self._runs:
            self._runs[session].superseded = True
            self._runs[session].stop.set()
        self._runs[session] = run
        try:
            with closing(self.studio.generate(request, run.stop)) as steps:
                for each in steps:
                    if run.superseded:
                        return
                    if isinstance(each, Clip):
                        wav = each.to_wav()
                        picture = score(each.features, self.studio.mel)
                        yield _clip_message(name, each.settings, each.seconds, film.frames, picture, wav)
                    elif film.wants(each):
                        yield {"kind": "frame", "run": name, **film.add(each)}
        finally:
            if self._runs.get(session) is run:
                del self._runs[session]

    def stop(self, http: gr.Request) -> None:
        """Let this visitor's run end with what the model believes now."""
        if http.session_hash in self._runs:
            self._runs[http.session_hash].stop.set()

    def leave(self, http: gr.Request) -> None:
        """Nobody listens any more."""
        self._asked.discard(http.session_hash or "")
        if http.session_hash in self._runs:
            self._runs[http.session_hash].superseded = True
            self._runs[http.session_hash].stop.set()

    def answer(self, request: Request, session: str) -> Iterator[dict[str, Any]]:
        """What a visitor asked for; from then on the welcome is not shown to that session."""
        self._asked.add(session)
        return self.perform(request, session)

    def welcome(self, session: str) -> Iterator[dict[str, Any]]:
        """A clip to look at and to hear before anything was asked: the shipped one, or else one made now and kept."""
        if session in self._asked:
            return
        if self._welcome is None:
            for message in self.perform(self.studio.request(seed=0), session):
                if message["kind"] == "clip":
                    self._welcome = message
                yield message
        else:
            yield self._welcome


def build(studio: Studio, welcome: Path | None = None) -> gr.Blocks:
    """The page with its endpoints. `welcome` is a WAV file beside the film (.json) of its run."""
    page = Page(studio, welcome)
    options = page.options
    blocks: gr.Blocks
    with gr.Blocks(
        title="Out of Noise",
        analytics_enabled=False,
        delete_cache=(FILE_AGE_S, FILE_AGE_S),
        fill_width=True,
    ) as blocks:
        gr.HTML((HERE / "header.html").read_text(), elem_id="header", padding=False)
        view = gr.HTML(
            html_template=(HERE / "score.html").read_text().replace("@notes", notes(studio.mel)),
            js_on_load=(HERE / "score.js").read_text(),
            value=None,
            elem_id="score",
            apply_default_css=False,
            padding=False,
        )
        with gr.Row(elem_id="deck"):
            with gr.Row(elem_id="presets"):
                presets = {
                    title: gr.Button(f"{title} · {preset['steps']} steps", size="sm")
                    for title, preset in options["presets"].items()
                }
            with gr.Row(elem_id="go"):
                stop = gr.Button("Stop", interactive=False, elem_id="stop")
                generate = gr.Button("Generate", variant="primary", interactive=False, elem_id="generate")
        with gr.Row(elem_id="rail"):
            controls, keep, dice = _controls(options)
        with gr.Row(elem_id="folds"):
            with gr.Accordion("Advanced: the sampler's own knobs", open=False, elem_id="advanced"):
                knobs, groups = _knobs(options)
            with gr.Accordion("Settings of this clip, as JSON", open=False, elem_id="settings"):
                settings = gr.JSON(label="All that makes this clip again; the WAV carries it too", elem_id="recipe")
        used = gr.State(-1)

        inputs = [controls[name] for name in ARGUMENTS]
        knob_inputs = list(knobs.values())

        def gather(values: tuple[Any, ...]) -> dict[str, Any]:
            arguments = dict(zip(ARGUMENTS, values, strict=False))
            own = options["knobs"].get(arguments["sampler"], {})
            given = dict(zip(knobs, values[len(ARGUMENTS) :], strict=True))
            return {**arguments, "knobs": {name: given[arguments["sampler"], name] for name in own}}

        def on_generate(http: gr.Request, kept: bool, before: int, *values: Any) -> Iterator[dict[Any, Any]]:
            arguments = gather(values)
            if arguments["seed"] in (None, before) and not (kept and before != -1):
                arguments["seed"] = -1
            idle = {generate: gr.Button(interactive=True), stop: gr.Button(interactive=False)}
            try:
                request = studio.request(**arguments)
                yield {
                    generate: gr.Button(interactive=False),
                    stop: gr.Button(interactive=True),
                    controls["seed"]: request.seed,
                    used: request.seed,
                }
                for message in page.answer(request, http.session_hash or ""):
                    if message["kind"] == "clip":
                        yield {view: message, settings: message["settings"], **idle}
                    else:
                        yield {view: message}
            except ValueError as error:
                yield {view: {"kind": "error", "text": _sentence(error)}, **idle}
            except Exception:
                yield {view: {"kind": "error", "text": "The model failed; its log says why. Try again."}, **idle}
                raise

        def on_load(http: gr.Request) -> dict[Any, Any]:
            query = _own_part(str(http.query_params or ""))
            fresh = {controls["seed"]: draw_seed(), generate: gr.Button(interactive=True)}
            if not query:
                return fresh
            try:
                request = Request.from_query(query)
                studio.check(replace(request, model=""))
            except ValueError as error:
                return fresh | {view: {"kind": "note", "text": f"The link cannot be followed. {_sentence(error)}"}}
            own = {knobs[request.sampler, name]: value for name, value in request.knobs.items()}
            values = {controls[name]: getattr(request, name) for name in ARGUMENTS}
            note = {"kind": "note", "text": "The link has set everything: generate to hear its clip."}
            if request.model not in ("", studio.digest):
                note["text"] = "The link was made with another model, so the same settings give another clip here."
            return fresh | values | own | {keep: True, view: note} | groups_for(request.sampler)

        def on_welcome(http: gr.Request) -> Iterator[dict[Any, Any]]:
            for message in page.welcome(http.session_hash or ""):
                yield {view: message} | ({settings: message["settings"]} if message["kind"] == "clip" else {})

        def groups_for(sampler: str) -> dict[Any, Any]:
            return {
                controls["sampler"]: gr.Dropdown(value=sampler, info=options["sampler"]["summaries"][sampler]),
                **{group: gr.Group(visible=name == sampler) for name, group in groups.items()},
            }

        blocks.load(
            on_load,
            outputs=[view, generate, keep, *inputs, *knob_inputs, *groups.values()],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        blocks.load(
            on_welcome,
            outputs=[view, settings],
            show_progress="hidden",
            api_visibility="private",
            concurrency_limit=RUNS_AT_ONCE,
            concurrency_id="model",
        )
        generate.click(
            on_generate,
            inputs=[keep, used, *inputs, *knob_inputs],
            outputs=[view, settings, controls["seed"], used, generate, stop],
            show_progress="hidden",
            api_visibility="private",
            concurrency_limit=RUNS_AT_ONCE,
            concurrency_id="model",
            trigger_mode="once",
        )
        stop.click(page.stop, queue=False, show_progress="hidden", api_visibility="private")
        blocks.unload(page.leave)
        dice.click(draw_seed, outputs=controls["seed"], queue=False, show_progress="hidden", api_visibility="private")
        controls["sampler"].input(
            groups_for,
            inputs=controls["sampler"],
            outputs=[controls["sampler"], *groups.values()],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        for title, button in presets.items():
            preset = options["presets"][title]
            button.click(
                lambda preset=preset: {controls["steps"]: preset["steps"], **groups_for(preset["sampler"])},
                outputs=[controls["steps"], controls["sampler"], *groups.values()],
                queue=False,
                show_progress="hidden",
                api_visibility="private",
            )
        _endpoints(page)
    blocks.queue(max_size=WAITING)
    return blocks


def launch(blocks: gr.Blocks, **arguments: Any) -> None:
    """Serve the page: nothing is fetched from or sent to anywhere else."""
    blocks.launch(
        theme=gr.themes.Base(
            primary_hue=AMBER,
            neutral_hue=INK,
            font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
            font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
        ),
        css=(HERE / "page.css").read_text(),
        footer_links=["api"],
        run_history=False,
        max_file_size=FILE_BYTES,
        ssr_mode=False,
        **arguments,
    )


def _controls(options: dict[str, Any]) -> tuple[dict[str, Any], gr.Checkbox, gr.Button]:
    """One component for each argument, the checkbox that keeps the seed and the button that draws one."""

    def choices(name: str) -> dict[str, Any]:
        pairs = [(options[name]["titles"][value], value) for value in options[name]["choices"]]
        return {"choices": pairs, "value": options[name]["default"], "info": options[name]["help"], "elem_id": name}

    def slider(name: str, label: str, step: float) -> gr.Slider:
        allowed = options[name]
        return gr.Slider(
            allowed["minimum"],
            allowed["maximum"],
            allowed["default"],
            step=step,
            label=label,
            info=allowed["help"],
            elem_id=name,
            buttons=[],
        )

    controls: dict[str, Any] = {}
    with gr.Column(elem_classes="wide"):
        controls["style"] = gr.Radio(label="Style", **choices("style"))
    with gr.Column(elem_classes="wide"):
        controls["ensemble"] = gr.Radio(label="Ensemble", **choices("ensemble"))
    with gr.Column():
        sampler = choices("sampler")
        sampler["info"] = options["sampler"]["summaries"][sampler["value"]]
        controls["sampler"] = gr.Dropdown(label="Sampler", filterable=False, **sampler)
    with gr.Column():
        steps = options["steps"]
        controls["steps"] = gr.Number(
            steps["default"], label="Steps", info=f"{steps['help']} 1 to 1000.", step=1, elem_id="steps"
        )
    with gr.Column():
        controls["guidance_scale"] = slider("guidance_scale", "Guidance", 0.1)
    with gr.Column():
        controls["duration_s"] = slider("duration_s", "Length", options["duration_s"]["minimum"])
    with gr.Column(elem_id="seed-group"):
        controls["seed"] = gr.Number(label="Seed", info=options["seed"]["help"], precision=0, elem_id="seed")
        with gr.Row(elem_id="seed-tools"):
            dice = gr.Button("Draw another", size="sm", elem_id="dice")
            keep = gr.Checkbox(False, label="Keep for the next clip", elem_id="keep", container=False)
    return controls, keep, dice


def _knobs(options: dict[str, Any]) -> tuple[dict[tuple[str, str], Any], dict[str, gr.Group]]:
    """A component for each (sampler, knob), and the group of each sampler; only the chosen one's is to be seen."""
    knobs: dict[tuple[str, str], Any] = {}
    groups: dict[str, gr.Group] = {}
    for sampler, own in options["knobs"].items():
        with gr.Group(visible=sampler == options["sampler"]["default"]) as groups[sampler]:
            if not own:
                gr.Markdown(f"{options['sampler']['titles'][sampler]} has no knobs: it is fine as it is.")
            for name, knob in own.items():
                knobs[sampler, name] = _knob(sampler, name, knob)
    return knobs, groups


def _knob(sampler: str, name: str, knob: dict[str, Any]) -> Any:
    common = {
        "value": knob["default"],
        "label": name.replace("_", " "),
        "info": knob["help"],
        "elem_id": f"{sampler}-{name}",
    }
    if knob["choices"]:
        return gr.Radio(choices=list(knob["choices"]), **common)
    if isinstance(knob["default"], bool):
        return gr.Checkbox(**common)
    if knob["range"]:
        low, high = knob["range"]
        step = 1 if isinstance(knob["default"], int) else (high - low) / 100
        return gr.Slider(low, high, step=step, buttons=[], **common)
    return gr.Number(**common)


def _endpoints(page: Page) -> None:
    """`/generate` and `/options`: unlike the page's own events they take anything, and say what is wrong in words."""
    options = page.options
    with gr.Group(visible=False):
        inputs: list[Any] = [
            gr.Textbox(options[name]["default"], label=name) for name in ("style", "ensemble", "sampler")
        ]
        inputs += [
            gr.Number(options[name]["default"], label=name)
            for name in ("steps", "guidance_scale", "seed", "duration_s")
        ]
        inputs.append(gr.JSON({}, label="knobs"))
        audio = gr.Audio(label="clip", type="filepath")
        settings = gr.JSON(label="settings")
        listing = gr.JSON(label="options")
        compose, describe = gr.Button(), gr.Button()

    def generate(
        style: str,
        ensemble: str,
        sampler: str,
        steps: int,
        guidance_scale: float,
        seed: int,
        duration_s: float,
        knobs: dict[str, Any],
        http: gr.Request,
    ) -> tuple[str, dict[str, Any]]:
        """Compose a clip. A seed of -1 is drawn; the settings that come back hold the one that was used."""
        try:
            request = page.studio.request(
                style=style,
                ensemble=ensemble,
                sampler=sampler,
                steps=steps,
                guidance_scale=guidance_scale,
                seed=seed,
                duration_s=duration_s,
                knobs=knobs,
            )
            clip = deque(page.studio.generate(request), maxlen=1)[0]
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error
        assert isinstance(clip, Clip)
        path = save_bytes_to_cache(clip.to_wav(), _file_name(clip.settings), cache_dir=audio.GRADIO_CACHE)
        return path, {**clip.settings, "seconds": round(clip.seconds, 2)}

    compose.click(
        generate,
        inputs=inputs,
        outputs=[audio, settings],
        api_name="generate",
        concurrency_limit=RUNS_AT_ONCE,
        concurrency_id="model",
    )
    describe.click(lambda: options, outputs=listing, api_name="options", queue=False)


def _clip_message(
    run: str, settings: dict[str, Any], seconds: float, film: list[dict[str, Any]], picture: str, wav: bytes
) -> dict[str, Any]:
    style, ensemble = (settings[name].replace("_", " ") for name in ("style", "ensemble"))
    words = [word for word in (style, ensemble) if word != "any"]
    return {
        "kind": "clip",
        "run": run,
        "title": f"{' for '.join(words).capitalize() or 'Anything'}, made of noise {settings['seed']}.",
        "settings": settings,
        "seconds": round(seconds, 2),
        "film": film,
        "score": picture,
        "audio": base64.b64encode(wav).decode(),
        "name": _file_name(settings),
        "query": Request.from_dict(settings).to_query(),
    }


def _read_welcome(path: Path) -> dict[str, Any] | None:
    """The message of a clip that `generate --out WAV --film JSON` wrote, or None where there is none."""
    film = path.with_suffix(".json")
    if not (path.is_file() and film.is_file()):
        return None
    story = json.loads(film.read_text())
    return _clip_message(
        "welcome", story["settings"], story["seconds"], story["film"], story["score"], path.read_bytes()
    )


def _file_name(settings: dict[str, Any]) -> str:
    return f"out-of-noise-{settings['style']}-{settings['ensemble']}-{settings['seed']}.wav"


def _own_part(query: str) -> str:
    """A query without what hosts add to it: double underscores begin Gradio's and Hugging Face's own keys."""
    return "&".join(part for part in query.split("&") if not part.startswith("__"))


def _sentence(error: Exception) -> str:
    text = str(error)
    return text if text.endswith(".") else f"{text}."

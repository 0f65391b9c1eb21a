"""The page: controls to requests, previews and clips to what the browser shows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from html import escape
from pathlib import Path
from textwrap import shorten
from typing import Any
from uuid import uuid4

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")  # each event sums up all that are kept, 10000 without this

import gradio as gr
from fastapi import HTTPException
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from diffusion.studio import Request, Studio, draw_seed, seed_of
from diffusion.ui.assets import BROWSER, starting
from diffusion.ui.compare import Comparisons, compare_room, connect
from diffusion.ui.controls import EXPLAINED, Rail, build_presets, preset_of
from diffusion.ui.endpoints import build_endpoints
from diffusion.ui.events import AT_ONCE, MODEL, QUEUED
from diffusion.ui.film import notes
from diffusion.ui.gallery import gallery_routes, gallery_wall
from diffusion.ui.links import filed, linked, shared
from diffusion.ui.phone import Handouts
from diffusion.ui.race import Races, is_shared
from diffusion.ui.stage import staged
from diffusion.ui.theme import theme
from diffusion.ui.visits import Visits
from diffusion.ui.words import TRANSLATIONS, sentence, tr

REFUSED = "() => document.dispatchEvent(new Event('refused'))"
SESSIONS = 64  # whose components Gradio remembers, at about 400 kB each; for an older one they are as at first
WAITING = 32
FILE_AGE_S = 3600
FILE_BYTES = 64 * 2**20
NOTE_CHARACTERS = 300


def build(
    studio: Studio,
    welcome: Path | None = None,
    host: str | None = None,
    public_url: str | None = None,
    handouts: Handouts | None = None,
    gallery: Path | None = None,
) -> gr.Blocks:
    """The page with its endpoints. `welcome` is a WAV file beside the film (.json) of its run.

    `host` is what the server will listen on and `public_url` how others call it, for links that travel. Finished
    clips are kept in `handouts`, whose routes `launch` serves, as it does the `gallery` of the studio's model.
    """
    handouts = handouts or Handouts()
    visits = Visits(studio, welcome, handouts)
    races = Races(studio, is_shared())
    options = studio.options()

    def qr(link: Any) -> dict[str, Any]:
        try:
            return shared(link.get("page"), link.get("query"), host, public_url)
        except (AttributeError, ValueError) as error:
            raise HTTPException(422, str(error)) from error

    def whereabouts(visitor: Any) -> dict[str, Any]:
        """Where a visitor's run is: its place in the queue from 1, or under way; and whether no more may wait."""
        queue: Any = blocks._queue  # Gradio tells a page its place only where it shows its own progress bar
        model = queue.event_queue_per_concurrency_id.get(MODEL["concurrency_id"])
        waiting = [event.session_hash for event in model.queue] if model else []
        return {
            "place": waiting.index(visitor) + 1 if visitor in waiting else None,
            "running": visits.has(visitor),
            "full": len(queue) >= queue.max_size,
        }

    async def race_news(asked: Any) -> dict[str, Any] | None:
        return await races.news(asked)

    def race_halt(asked: Any) -> None:
        races.halt(asked)

    def phone(asked: Any) -> dict[str, str] | None:
        return handouts.link(asked, host, public_url)

    def belief(asked: Any) -> dict[str, Any] | None:
        return visits.belief(asked)

    blocks: gr.Blocks
    with gr.Blocks(
        title="Out of Noise",
        analytics_enabled=False,
        delete_cache=(FILE_AGE_S, FILE_AGE_S),
        fill_width=True,
    ) as blocks:
        gr.HTML((BROWSER / "header.html").read_text(), elem_id="header", padding=False)
        view = gr.HTML(
            html_template=(BROWSER / "score.html").read_text().replace("@notes", notes(studio.mel)),
            js_on_load=starting("main.js", ["restore", "switch", "stage", "raced", "leave"]),
            value=None,
            elem_id="score",
            apply_default_css=False,
            padding=False,
            server_functions=[whereabouts, race_news, race_halt, qr, phone, belief],
        )
        comparisons = Comparisons(studio, visits.clips)
        room = compare_room(comparisons)
        with gr.Row(elem_id="deck"):
            presets = build_presets(options)
            with gr.Row(elem_id="go"):
                stop = gr.Button(tr("Stop"), interactive=False, elem_id="stop")
                generate = gr.Button(tr("Generate"), variant="primary", interactive=False, elem_id="generate")
        rail = Rail(studio)
        gr.HTML((BROWSER / "takes.html").read_text(), elem_id="takes", apply_default_css=False, padding=False)
        if gallery:
            gallery_wall()

        busy: dict[Any, Any] = {generate: gr.update(interactive=False), stop: gr.update(interactive=True)}
        idle: dict[Any, Any] = {generate: gr.update(interactive=True), stop: gr.update(interactive=False)}

        def on_generate(http: gr.Request, kept: bool, before: str, *values: Any) -> Iterator[dict[Any, Any]]:
            try:
                request, seed = rail.asked(kept, before, values)
            except ValueError as error:
                yield {view: {"kind": "error", "text": sentence(error)}, **idle}
                return
            yield from shown(visits.answer(request, http.session_hash or ""), seed)

        def shown(messages: Iterator[dict[str, Any]], updates: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
            """The messages of a run that was asked for, and the buttons beside it.

            The first one takes the `updates` along: an answer of their own would delay it.
            """
            updates = updates | busy
            try:
                for message in messages:
                    done = {rail.settings: message["settings"], **idle} if message["kind"] == "clip" else {}
                    yield updates | {view: message} | done
                    updates = {}
            except Exception:
                yield {view: {"kind": "error", "text": "The model failed; its log says why. Try again."}, **idle}
                raise

        def elsewhere(request: Request) -> str | None:
            """Which other model than the one here the request is for, in words."""
            if request.model in ("", studio.digest):
                return None
            which = studio.removal(request.model) or f"{request.model}, which is not here"
            return f"for the model {which}: with {studio.name} ({studio.digest}) the same settings make another clip."

        def restored(request: Request) -> dict[Any, Any]:
            """As `Rail.restored`; the error says if the model is one that was removed."""
            try:
                return rail.restored(request)
            except ValueError as error:
                removal = studio.removal(request.model)
                raise ValueError(f"It is for the model {removal}. {error}" if removal else str(error)) from error

        def on_load(http: gr.Request) -> dict[Any, Any]:
            visitor = {"visitor": http.session_hash}
            updates: dict[Any, Any] = {rail.controls["seed"]: draw_seed(), generate: gr.Button(interactive=True)}
            updates[view] = {"kind": "visitor", **visitor}
            try:
                request = linked(str(http.query_params or ""))
                if request is None:
                    return updates
                updates |= restored(request)
            except ValueError as error:
                note = _note(f"The link cannot be followed. {sentence(error)}", wrong=True)
            else:
                note = _note("This is the clip of the link: press play.")
                if other := elsewhere(request):
                    note = _note(f"The link is {other}", wrong=True)
            return updates | {view: note | visitor}

        def on_welcome(http: gr.Request) -> Iterator[dict[Any, Any]]:
            session = http.session_hash or ""
            request = followed(http)
            if request is not None:
                yield from shown(visits.answer(request, session), {})
                return
            for message in visits.welcome(session):
                yield {view: message} | ({rail.settings: message["settings"]} if message["kind"] == "clip" else {})

        def followed(http: gr.Request) -> Request | None:
            """What the link that led here asks for; None without one, or if `on_load` has refused it."""
            try:
                request = linked(str(http.query_params or ""))
                if request is not None:
                    studio.check(request)
            except ValueError:
                return None
            return request

        def on_restore(event: gr.EventData) -> dict[Any, Any]:
            given, name = event._data.get("settings"), event._data.get("name")
            try:
                request = filed(given)
                updates = restored(request)
            except ValueError as error:
                return {view: _note(f"{name} was not restored. {sentence(error)}", wrong=True)}
            if other := elsewhere(request):
                text = f"Settings restored. They are {other}"
            elif given.get("stopped_at") is not None:
                text = "Settings restored. That clip was stopped early: generate to hear it finished."
            elif event._data.get("vary"):
                text = "Settings restored: Generate makes a variation with another seed."
                updates |= {rail.keep: False, rail.used: str(request.seed)}
            else:
                text = "Settings restored: generate to hear it."
            return updates | {view: _note(text, wrong=request.model in studio.removed)}

        def on_switch(event: gr.EventData, http: gr.Request, kept: bool, *values: Any) -> Iterator[dict[Any, Any]]:
            """Another label was chosen: where the seed on show is locked, it is heard at once."""
            try:
                request, seed = rail.asked(kept, "", values)
            except ValueError as error:
                yield {view: {"kind": "error", "text": sentence(error)}}
                return
            if kept and request.seed == event._data.get("seed"):
                yield from shown(visits.answer(request, http.session_hash or ""), seed)

        def on_race(http: gr.Request, kept: bool, before: str, *values: Any) -> dict[Any, Any]:
            """The labels of the rail, raced; the browser asks for its news, and says when it is over."""
            try:
                request, seed = rail.asked(kept, before, values)
                message = races.start(request, http.session_hash or "")
            except ValueError as error:
                return {view: {"kind": "error", "text": sentence(error)}}
            visits.end(http.session_hash or "")
            return {view: message, **busy} | ({} if races.shared else seed)

        def on_stage(event: gr.EventData, http: gr.Request) -> Iterator[dict[Any, Any]]:
            """A presenter's key. The messages say which `ask` they answer, and with what settings."""
            try:
                request = staged(studio, event._data)
            except ValueError as error:
                yield {view: {"kind": "error", "text": sentence(error)}}
                return
            mark = {"ask": event._data.get("ask"), "asked": request.to_dict()}
            messages = visits.answer(request, http.session_hash or "")
            updates = rail.restored(request) | {rail.keep: False, rail.used: str(request.seed)}
            yield from shown(({**message, **mark} for message in messages), updates)

        def on_preset(event: gr.EventData) -> dict[Any, Any]:
            return rail.preset(event._data["preset"])

        to_hear = [view, rail.settings, rail.controls["seed"], rail.used, generate, stop]
        blocks.load(on_load, outputs=[view, generate, *rail.outputs], **AT_ONCE)
        blocks.load(on_welcome, outputs=[view, rail.settings, generate, stop], **QUEUED)
        view.restore(on_restore, outputs=[view, rail.used, *rail.outputs], **AT_ONCE)
        runs = [
            generate.click(
                on_generate, inputs=[rail.keep, rail.used, *rail.inputs], outputs=to_hear, trigger_mode="once", **QUEUED
            ),
            # The newest of these ends the others.
            view.switch(
                on_switch, inputs=[rail.keep, *rail.inputs], outputs=to_hear, trigger_mode="multiple", **QUEUED
            ),
            view.stage(
                on_stage,
                outputs=[view, rail.settings, rail.used, generate, stop, *rail.outputs],
                trigger_mode="multiple",
                **QUEUED,
            ),
        ]
        for run in runs:
            run.failure(None, js=REFUSED, api_visibility="private")
        presets.race(
            on_race,
            inputs=[rail.keep, rail.used, *rail.inputs],
            outputs=[view, rail.controls["seed"], rail.used, generate, stop],
            trigger_mode="once",
            **AT_ONCE,
        )
        view.raced(lambda: idle, outputs=[generate, stop], **AT_ONCE)
        stop.click(visits.stop, **AT_ONCE)
        view.leave(lambda: idle, outputs=[generate, stop], cancels=runs, **AT_ONCE)
        blocks.unload(visits.leave)
        blocks.unload(races.leave)
        sampler, steps, seed = (rail.controls[name] for name in ("sampler", "steps", "seed"))
        rail.dice.click(draw_seed, outputs=seed, **AT_ONCE)
        sampler.input(rail.shown, inputs=sampler, outputs=[sampler, *rail.groups.values()], **AT_ONCE)
        for name in EXPLAINED:
            radio = rail.controls[name]
            radio.input(partial(rail.explained, name), inputs=radio, outputs=radio, **AT_ONCE)
        seed.change(_meaning, inputs=seed, outputs=rail.meaning, trigger_mode="always_last", **AT_ONCE)
        presets.choose(on_preset, outputs=[steps, sampler, *rail.groups.values()], **AT_ONCE)
        gr.on(
            [sampler.change, steps.change],
            lambda sampler, steps: preset_of(options, sampler, steps),
            inputs=[sampler, steps],
            outputs=presets,
            **AT_ONCE,
        )
        connect(blocks, room, comparisons, lambda values: rail.asked(True, "", values)[0], rail.inputs)
        build_endpoints(visits)
    blocks.queue(max_size=WAITING)
    return blocks


def launch(blocks: gr.Blocks, handouts: Handouts | None = None, gallery: Path | None = None, **arguments: Any) -> None:
    """Serve the page, the `handouts` and the `gallery`: nothing is fetched from or sent to anywhere else."""
    routes: list[BaseRoute] = [Mount("/page", StaticFiles(directory=BROWSER))]
    routes += handouts.routes() if handouts else []
    routes += gallery_routes(gallery) if gallery else []
    blocks.launch(
        app_kwargs={"routes": routes},
        theme=theme(),
        css="".join(sheet.read_text() for sheet in sorted(BROWSER.glob("*.css"))),
        footer_links=["api"],
        run_history=False,
        mcp_server=True,
        i18n=TRANSLATIONS,
        max_file_size=FILE_BYTES,
        state_session_capacity=SESSIONS,
        ssr_mode=False,
        **arguments,
    )


def _note(text: str, wrong: bool = False) -> dict[str, Any]:
    """A message for the score, never equal to the one before; what visitors sent may be in it, so it has an end."""
    return {"kind": "note", "text": shorten(text, NOTE_CHARACTERS, placeholder=" …"), "wrong": wrong, "id": uuid4().hex}


def _meaning(text: str | None) -> str:
    """What the seed field says, where it is no number: the number that it stands for."""
    try:
        seed = seed_of(text or "")
    except ValueError:
        return ""
    word = " ".join((text or "").split())
    if seed < 0 or word == str(seed):
        return ""
    return f'<span data-seed="{seed}"><b>{escape(shorten(word, 16, placeholder="…"))}</b> = seed {seed}</span>'

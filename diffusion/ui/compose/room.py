"""The room in which a clip is composed: what its visitors do, and what they are answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
from fastapi import HTTPException

from diffusion.audio.wav import FILE_BYTES
from diffusion.request import Request
from diffusion.settings import PRESETS, draw_seed
from diffusion.ui import messages
from diffusion.ui.compose.canvas import notes
from diffusion.ui.compose.links import filed, linked
from diffusion.ui.compose.presets import AGREED, preset_facts, preset_of, presets_view
from diffusion.ui.compose.race import Races
from diffusion.ui.compose.rail import Rail, Updates
from diffusion.ui.compose.visits import Visits
from diffusion.ui.hands.hands import asked, hands_facts
from diffusion.ui.messages import (
    CANVAS_EVENTS,
    CanvasFacts,
    Chosen,
    Edit,
    EditCostMessage,
    NoteMessage,
    Restore,
    RunMessage,
    Stage,
    Switch,
    VisitorMessage,
    Whereabouts,
)
from diffusion.ui.shared.assets import asset, starting
from diffusion.ui.shared.events import AT_ONCE, QUEUED, is_full, places, served, session_of, telling
from diffusion.ui.shared.reach import Link
from diffusion.ui.shared.words import sentence, tr
from diffusion.ui.stage.wish import STALL_S, staged, turned

REMEMBERED = "() => { try { return [JSON.parse(sessionStorage.getItem('rail'))]; } catch { return [null]; } }"
LINKED = "This is the clip of the link: press play."
LINKED_AND_ROUNDED = "This is the clip of the link, with another length, which this model can make: press play."


class ComposeRoom:
    """The room on the page: canvas, deck, rail and takes. Built where it is made, inside `gr.Blocks`.

    The handlers are its methods. What they return are components and what these become; the canvas becomes messages.
    """

    def __init__(self, blocks: gr.Blocks, visits: Visits, races: Races) -> None:
        self.blocks, self.visits, self.races = blocks, visits, races
        self.studio, self.reach = visits.studio, visits.handouts.reach
        self.canvas = gr.HTML(
            html_template=asset("compose/canvas.html").replace("@notes", notes(self.studio.mel)),
            js_on_load=starting("compose/compose.js", CANVAS_EVENTS, self._facts()),
            value=None,
            elem_id="canvas",
            apply_default_css=False,
            padding=False,
            server_functions=served(
                whereabouts=self.whereabouts,
                race_news=races.news,
                race_halt=races.halt,
                qr=self.qr,
                phone=visits.handouts.link,
                belief=visits.belief,
                doubt=visits.doubt,
            ),
        )
        with gr.Row(elem_id="deck"):
            self.presets = presets_view()
            with gr.Row(elem_id="go"):
                self.stop = gr.Button(tr("Stop"), interactive=False, elem_id="stop")
                self.generate = gr.Button(tr("Generate"), variant="primary", interactive=False, elem_id="generate")
        self.rail = Rail(self.studio)
        gr.HTML(asset("compose/takes.html"), elem_id="takes", apply_default_css=False, padding=False)
        self._connect()

    def whereabouts(self, visitor: Any) -> Whereabouts:
        """Where a visitor's run is."""
        waiting = places(self.blocks)
        return {
            "place": waiting.index(visitor) + 1 if visitor in waiting else None,
            "running": visitor in self.visits.runs,
            "full": is_full(self.blocks),
        }

    def qr(self, asked: Any) -> Link:
        """The link {page, query} of a clip for other devices."""
        try:
            return self.reach.link(asked.get("page"), asked.get("query"))
        except (AttributeError, ValueError) as error:
            raise HTTPException(422, str(error)) from error

    def on_load(self, remembered: Any, http: gr.Request) -> Updates:
        """The page is there: the seed that it had, or a new one, and the settings of the link that led here."""
        session, before = session_of(http), messages.remembered(remembered)
        updates: Updates = {
            self.rail.fields["seed"]: before.seed or draw_seed(),
            self.rail.keep: bool(before.locked),
            self.rail.used: before.seed if before.heard else "",
            self.generate: gr.Button(interactive=True),
        }
        try:
            request = linked(str(http.query_params or ""), self.studio)
            if request is None:
                return updates | {self.canvas: self._first(session)}
            self.visits.sources(self.studio.complete(request), session)
            updates |= self._restored(request)
        except ValueError as error:
            note = messages.note(f"The link cannot be followed. {sentence(error)}", wrong=True)
        else:
            rounded = self.studio.rounding(request.duration_s, self.studio.complete(request))
            note = messages.note(LINKED_AND_ROUNDED if rounded else LINKED)
            if other := self._elsewhere(request):
                note = messages.note(f"The link is {other}", wrong=True)
        return updates | {self.canvas: {**note, "visitor": session}}

    def on_welcome(self, http: gr.Request) -> Iterator[Updates]:
        """Before anything was asked: the clip of the link that led here, or else the welcome."""
        session, request = session_of(http), self._followed(http)
        if request is not None:
            yield from self._shown(self.visits.answer(request, session), {})
            return
        for message in self.visits.welcome(session):
            settings = {self.rail.settings: message["settings"]} if message["kind"] == "clip" else {}
            yield {self.canvas: message} | settings

    def on_generate(self, http: gr.Request, kept: bool, before: str, *values: Any) -> Iterator[Updates]:
        """What the rail asks for."""
        try:
            request, seed = self.rail.asked(kept, before, values)
            answer = self.visits.answer(request, session_of(http))
        except ValueError as error:
            yield {self.canvas: messages.error(error)} | self._idle
            return
        yield from self._shown(answer, seed)

    def on_edit(self, event: gr.EventData, http: gr.Request, *values: Any) -> Iterator[Updates]:
        """A hand on the clip on show. The settings of the rail stay as they are."""
        wish = messages.read(Edit, event)
        try:
            answer = self.visits.edit(wish, session_of(http), self._rail(wish, values))
        except ValueError as error:
            yield {self.canvas: messages.error(error)} | self._idle
            return
        yield from self._shown(messages.descending(str(wish.run), answer), {})

    def on_cost(self, event: gr.EventData, *values: Any) -> dict[Any, EditCostMessage]:
        """What an edit would take, or what is wrong with it."""
        wish = messages.read(Edit, event)
        try:
            request = asked(self.studio, wish, self._rail(wish, values))
        except ValueError as error:
            return {self.canvas: messages.edit_cost(str(wish.ask), wrong=error)}
        return {self.canvas: messages.edit_cost(str(wish.ask), request.evaluations)}

    def on_switch(self, event: gr.EventData, http: gr.Request, kept: bool, *values: Any) -> Iterator[Updates]:
        """Another label was chosen: where the seed on show is locked, it is heard at once."""
        try:
            request, seed = self.rail.asked(kept, "", values)
            if not kept or request.seed != messages.read(Switch, event).seed:
                return
            answer = self.visits.answer(request, session_of(http))
        except ValueError as error:
            yield {self.canvas: messages.error(error)}
            return
        yield from self._shown(answer, seed)

    def on_stage(self, event: gr.EventData, http: gr.Request) -> Iterator[Updates]:
        """A presenter's key. The messages say which `ask` they answer, and what it asked for."""
        wish = messages.read(Stage, event)
        try:
            request = staged(self.studio, wish)
        except ValueError as error:
            yield {self.canvas: messages.error(error)}
            return
        answer = messages.answering(wish.ask, request, self.visits.answer(request, session_of(http)))
        yield from self._shown(answer, self._varied(request))

    def on_restore(self, event: gr.EventData) -> Updates:
        """Settings come back from a file, a take or an example."""
        asked = messages.read(Restore, event)
        try:
            request = filed(asked.settings)
            updates = self._restored(request)
        except ValueError as error:
            text = f"{asked.name} was not restored. {sentence(error)}"
            return {self.canvas: messages.note(text, wrong=True)}
        if other := self._elsewhere(request):
            text = f"Settings restored. They are {other}"
        elif asked.settings.get("stopped_at") is not None:
            text = "Settings restored. That clip was stopped early: generate to hear it finished."
        elif asked.vary:
            text = "Settings restored: Generate makes a variation with another seed."
            updates = self._varied(request)
        elif self.studio.rounding(request.duration_s, self.studio.complete(request)):
            text = "Settings restored, with another length, which this model can make: generate to hear it."
        else:
            text = "Settings restored: generate to hear it."
        return updates | {self.canvas: messages.note(text, wrong=request.model in self.studio.removed)}

    def on_race(self, http: gr.Request, kept: bool, before: str, *values: Any) -> Updates:
        """The labels of the rail, raced; the browser asks for its news, and says when it is over."""
        session = session_of(http)
        try:
            request, seed = self.rail.asked(kept, before, values)
            message = self.races.start(request.changed(edits={}), session)
        except ValueError as error:
            return {self.canvas: messages.error(error)}
        self.visits.end(session)
        return {self.canvas: message} | self._busy | ({} if self.races.public else seed)

    def on_rest(self) -> Updates:
        """Nothing is under way any more."""
        return self._idle

    def on_preset(self, event: gr.EventData) -> Updates:
        """The settings of a preset."""
        return self.rail.preset(PRESETS[messages.read(Chosen, event).preset])

    def _first(self, session: str) -> VisitorMessage | NoteMessage:
        """The first message to a visitor who brings no link. A schedule that does not end in noise is said in it."""
        if not self.studio.warning:
            return messages.visitor(session)
        return {**messages.note(self.studio.warning, wrong=True), "visitor": session}

    @property
    def _busy(self) -> Updates:
        return {self.generate: gr.update(interactive=False), self.stop: gr.update(interactive=True)}

    @property
    def _idle(self) -> Updates:
        return {self.generate: gr.update(interactive=True), self.stop: gr.update(interactive=False)}

    def _shown(self, said: Iterator[RunMessage], updates: Updates) -> Iterator[Updates]:
        """The messages of a run that was asked for, and the buttons beside it.

        The first one takes the `updates` along: an answer of their own would delay it.
        """
        updates = updates | self._busy
        try:
            for message in said:
                done = {self.rail.settings: message["settings"]} if message["kind"] == "clip" else {}
                done |= self._idle if message["kind"] in ("clip", "error") else {}
                yield updates | {self.canvas: message} | done
                updates = {}
        except Exception:
            yield {self.canvas: messages.error(messages.FAILED)} | self._idle
            raise

    def _rail(self, wish: Edit, values: Sequence[Any]) -> Request | None:
        """What the rail asks for, where a wish takes it over; ValueError if it cannot be asked."""
        return self.rail.asked(True, "", values)[0] if wish.rail is True else None

    def _followed(self, http: gr.Request) -> Request | None:
        """What the link that led here asks for; None without one, or if `on_load` has refused it."""
        try:
            request = linked(str(http.query_params or ""), self.studio)
            if request is None:
                return None
            self.studio.check(request)
            request = self.studio.complete(request)
            self.visits.sources(request, session_of(http))
        except ValueError:
            return None
        return request

    def _restored(self, request: Request) -> Updates:
        """As `Rail.restored`; the error says if another model is meant."""
        try:
            return self.rail.restored(request)
        except ValueError as error:
            other = self._other(request)
            raise ValueError(f"It is for the model {other}. {error}" if other else str(error)) from error

    def _varied(self, request: Request) -> Updates:
        """As `Rail.restored`, and the next clip has another seed."""
        return self.rail.restored(request) | {self.rail.keep: False, self.rail.used: str(request.seed)}

    def _elsewhere(self, request: Request) -> str | None:
        """What is to be said if the request is for another model than the one here."""
        other, here = self._other(request), f"{self.studio.name} ({self.studio.digest})"
        return f"for the model {other}: with {here} the same settings make another clip." if other else None

    def _other(self, request: Request) -> str | None:
        """Which other model than the one here the request is for, in words."""
        if request.model in ("", self.studio.digest):
            return None
        return self.studio.removal(request.model) or f"{request.model}, which is not here"

    def _facts(self) -> CanvasFacts:
        label = turned(self.studio)
        return {
            "stall_ms": 1000 * STALL_S,
            "file_bytes": FILE_BYTES,
            "sample_rate_hz": self.studio.mel.sample_rate_hz,
            "presets": preset_facts(),
            "turn": label.title if label else None,
            "hands": hands_facts(self.studio),
        }

    def _connect(self) -> None:
        canvas, rail = self.canvas, self.rail
        buttons = [self.generate, self.stop]
        asked = [rail.keep, rail.used, *rail.inputs]
        heard = [canvas, rail.settings, *rail.answered, *buttons]
        self.blocks.load(
            self.on_load,
            inputs=canvas,
            outputs=[canvas, self.generate, rail.used, *rail.outputs],
            js=REMEMBERED,
            **AT_ONCE,
        )
        self.blocks.load(self.on_welcome, outputs=[canvas, rail.settings, *buttons], **QUEUED)
        canvas.restore(self.on_restore, outputs=[canvas, rail.used, *rail.outputs], **AT_ONCE)
        runs = [
            self.generate.click(self.on_generate, inputs=asked, outputs=heard, trigger_mode="once", **QUEUED),
            # The newest of these ends the others.
            canvas.switch(
                self.on_switch, inputs=[rail.keep, *rail.inputs], outputs=heard, trigger_mode="multiple", **QUEUED
            ),
            canvas.edit(self.on_edit, inputs=list(rail.inputs), outputs=heard, trigger_mode="multiple", **QUEUED),
            canvas.stage(
                self.on_stage,
                outputs=[canvas, rail.settings, rail.used, *buttons, *rail.outputs],
                trigger_mode="multiple",
                **QUEUED,
            ),
        ]
        for run in runs:
            run.failure(None, js=telling("refused"), api_visibility="private")
        canvas.cost(self.on_cost, inputs=list(rail.inputs), outputs=canvas, trigger_mode="multiple", **AT_ONCE)
        raced = [canvas, *rail.answered, *buttons]
        for race in (self.presets.race, canvas.race):
            race(self.on_race, inputs=asked, outputs=raced, trigger_mode="once", **AT_ONCE)
        canvas.raced(self.on_rest, outputs=buttons, **AT_ONCE)
        canvas.leave(self.on_rest, outputs=buttons, cancels=runs, **AT_ONCE)
        self.stop.click(self.visits.stop, **AT_ONCE)
        self.blocks.unload(self.visits.leave)
        self.blocks.unload(self.races.leave)
        self.presets.choose(self.on_preset, outputs=rail.outputs, **AT_ONCE)
        agreed = [rail.fields[name] for name in AGREED]
        gr.on([each.change for each in agreed], preset_of, inputs=agreed, outputs=self.presets, **AT_ONCE)

"""What the visitors of one page have in common: the studio, and the run that each has under way."""

from __future__ import annotations

import ctypes
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, TypeVar, cast

import gradio as gr

from diffusion.compose import frames_of
from diffusion.conditions import part_of
from diffusion.edits import SOURCED, Source, Sources
from diffusion.engine import Clip
from diffusion.film import Film, finished_picture
from diffusion.request import Request
from diffusion.studio import Studio
from diffusion.ui import messages
from diffusion.ui.compose.reel import Reel, Reels
from diffusion.ui.hands.hands import Shelf, asked
from diffusion.ui.messages import ClipMessage, Doubt, Edit, Heard, RunMessage, SourceName
from diffusion.ui.phone.handouts import Handouts
from diffusion.ui.shared.events import session_of
from diffusion.ui.shared.latest import Latest, latest_clips

Item = TypeVar("Item")
AGAIN = "The clip is made again first: the server has lost it."
NOT_AGAIN = "Stopped before the clip was made again: nothing is changed."


@dataclass
class Run:
    """What can happen to a run from outside: its visitor stops it, or starts another."""

    stop: threading.Event = field(default_factory=threading.Event)
    superseded: bool = False

    def supersede(self) -> None:
        """Nobody listens any more: let it end without a clip."""
        self.superseded = True
        self.stop.set()


class Visits:
    """The visitors of a page, by session, and their `runs` under way.

    Finished clips are kept in `clips`, for comparisons, in `handouts`, for phones, and on the `shelf` of their visitor,
    for edits.
    """

    def __init__(
        self,
        studio: Studio,
        welcome: ClipMessage | None = None,
        clips: Latest[Clip] | None = None,
        handouts: Handouts | None = None,
    ) -> None:
        self.studio = studio
        self.clips = latest_clips() if clips is None else clips
        self.handouts = handouts or Handouts()
        self.reels = Reels()
        self.shelf = Shelf()
        self.runs: dict[str, Run] = {}
        self._asked: set[str] = set()  # sessions that have seen what they asked for
        self._welcome = welcome
        self._rewinding = threading.Lock()

    def perform(self, request: Request, session: str) -> Iterator[RunMessage]:
        """The messages of one run: pictures as they come, and the clip at last.

        A visitor's next run ends the one before without a clip, and so does closing the iterator. ValueError, at once,
        for a source that the visitor has not.
        """
        sources = self.sources(request, session)
        return self._under_way(session, lambda run: self._messages(request, session, run, sources))

    def sources(self, request: Request, session: str) -> Sources:
        """What a request needs of the visitor's sources; ValueError for one that is not here, or that does not fit."""
        sources, configuration = self.shelf.sources(session, request), self.studio.engine.model.configuration
        if sources:
            part_of(configuration, request, frames_of(configuration, request), sources)
        return sources

    def edit(self, wish: Edit, session: str, rail: Request | None = None) -> Iterator[RunMessage]:
        """What a visitor's hands ask for; `rail` is what the rail asks for. ValueError, at once, if it cannot be."""
        request = asked(self.studio, wish, rail)
        self._asked.add(session)
        if any(name in SOURCED and "source" not in each for name, each in (wish.edits or {}).items() if each):
            return self._under_way(session, lambda run: self._edited(wish, session, rail, run))
        return self.perform(request, session)

    def _under_way(self, session: str, messages_of: Callable[[Run], Iterator[RunMessage]]) -> Iterator[RunMessage]:
        run = Run()
        self.end(session)
        self.runs[session] = run
        try:
            yield from ahead(messages_of(run))
        finally:
            run.supersede()
            if self.runs.get(session) is run:
                del self.runs[session]
            _return_memory()

    def _edited(self, wish: Edit, session: str, rail: Request | None, run: Run) -> Iterator[RunMessage]:
        """The messages of an edit that begins from the clip on show, which is made again where it is lost."""
        named = wish.source if isinstance(wish.source, dict) else {}
        source = self.shelf.get(session, named.get("source"))
        try:
            if source is None:
                yield messages.note(AGAIN)
                source = self._made_again(wish, session, run)
                if run.stop.is_set():
                    yield messages.error(NOT_AGAIN)
                    return
            request = asked(self.studio, wish, rail, self._named(source))
            sources = self.sources(request, session)
        except ValueError as error:
            yield messages.error(error)
            return
        yield from self._messages(request, session, run, sources)

    def _named(self, source: Source) -> SourceName:
        return cast(SourceName, source.named(self.studio.mel.frames_per_s))

    def _made_again(self, wish: Edit, session: str, run: Run) -> Source:
        """The clip on show as a source; ValueError, which names it, where its settings do not make it."""
        request = Request.from_dict(wish.settings)
        if wish.settings.get("stopped_at") is not None:
            named = wish.source if isinstance(wish.source, dict) else {}
            raise ValueError(
                f"edits: need the source {named.get('source')} of {request.duration_s:g} s, which is not here, and its "
                "settings do not make it again, since it was stopped"
            )
        *_, clip = self.studio.generate(request, run.stop, self.sources(request, session))
        assert isinstance(clip, Clip)
        source = Source.of(clip.features)
        self.shelf.keep(session, source, clip.deviation)
        return source

    def _messages(self, request: Request, session: str, run: Run, sources: Sources = ()) -> Iterator[RunMessage]:
        name, film = uuid.uuid4().hex, Film(self.studio.codec, request)
        with closing(self.studio.generate(request, run.stop, sources)) as steps:
            for each in steps:
                if run.superseded:
                    return
                if isinstance(each, Clip):
                    if each.settings["stopped_at"] is None and not sources:  # comparisons are everybody's
                        self.clips[each.request.identity] = each
                    self.reels.keep(name, session, Reel.of(film, each, self.studio))
                    source = Source.of(each.features)
                    self.shelf.keep(session, source, each.deviation)
                    picture = finished_picture(each.features, self.studio.codec)
                    sound = each.wave, each.sample_rate_hz
                    clip = messages.clip(name, each.settings, each.seconds, film.frames, picture, each.to_wav(), sound)
                    clip["source"] = self._named(source)
                    yield self.handouts.keep(clip)
                elif frame := film.add(each):
                    yield messages.frame(name, frame)

    def stop(self, http: gr.Request) -> None:
        """Let this visitor's run end with what the model believes now."""
        run = self.runs.get(session_of(http))
        if run:
            run.stop.set()

    def end(self, session: str) -> None:
        """Let a visitor's run end without a clip."""
        run = self.runs.get(session)
        if run:
            run.supersede()

    def leave(self, http: gr.Request) -> None:
        """Nobody listens any more."""
        session = session_of(http)
        self._asked.discard(session)
        self.reels.drop(session)
        self.shelf.drop(session)
        self.end(session)

    def answer(self, request: Request, session: str) -> Iterator[RunMessage]:
        """What a visitor asked for; from then on the welcome is not shown to that session."""
        self._asked.add(session)
        return self.perform(request, session)

    def welcome(self, session: str) -> Iterator[RunMessage]:
        """A clip to look at and to hear before anything was asked: the shipped one, or else one made now and kept.

        Its messages say that they are a `welcome`.
        """
        if session in self._asked:
            return
        if self._welcome is None:
            for message in self.perform(self.studio.request(seed=0), session):
                if message["kind"] in ("frame", "clip"):
                    message["welcome"] = True
                if message["kind"] == "clip":
                    self._welcome = message
                yield message
        else:
            yield self.handouts.keep(self._welcome)

    def belief(self, asked: Any) -> Heard | None:
        """What is heard of {run, step}; None where the run's film has expired or never was."""
        run, step = (asked.get("run"), asked.get("step")) if isinstance(asked, dict) else (None, None)
        if not isinstance(run, str) or type(step) is not int:
            return None
        reel = self.reels.get(run) or self._welcome_reel(run)
        return reel.heard(step, self.studio) if reel and step in reel.beliefs else None

    def doubt(self, asked: Any) -> Doubt | None:
        """How sure the model was of {visitor, source}, a clip of theirs; None where it is not kept."""
        if not isinstance(asked, dict):
            return None
        return self.shelf.doubt(str(asked.get("visitor")), asked.get("source"), self.studio.mel.unit_db)

    def _welcome_reel(self, run: str) -> Reel | None:
        """The reel of the welcome, which is composed once more when somebody wants to hear it emerge."""
        with self._rewinding:
            reel = self.reels.get(run)
            if reel or self._welcome is None or self._welcome["run"] != run:
                return reel
            try:
                request = Request.from_dict(self._welcome["settings"])
                film = Film(self.studio.codec, request)
                for each in self.studio.generate(request):
                    if isinstance(each, Clip):
                        reel = Reel.of(film, each, self.studio)
                        self.reels.keep(run, "welcome", reel)
                    else:
                        film.add(each)
            except ValueError:  # the welcome was made with another model
                pass
            return reel


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, made in a thread of their own: sending a picture to a browser does not hold the sampler up."""
    made: SimpleQueue[tuple[Item] | Exception | None] = SimpleQueue()

    def make() -> None:
        try:
            for item in items:
                made.put((item,))
            made.put(None)
        except Exception as error:  # noqa: BLE001 - it is raised again where the items are wanted
            made.put(error)

    threading.Thread(target=make, name="run", daemon=True).start()
    while (each := made.get()) is not None:
        if isinstance(each, Exception):
            raise each
        yield each[0]


def _return_memory() -> None:
    """Give what was freed back to the system: glibc would keep it for each thread, and grow with the runs."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim:
        trim(0)

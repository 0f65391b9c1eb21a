"""What the visitors of one page have in common: the studio, and the run that each has under way."""

from __future__ import annotations

import ctypes
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, TypeVar

import gradio as gr

from diffusion.engine import Clip
from diffusion.film import Film, finished_picture
from diffusion.request import Request
from diffusion.studio import Studio
from diffusion.ui import messages
from diffusion.ui.compose.reel import Reel, Reels
from diffusion.ui.messages import ClipMessage, Heard, RunMessage
from diffusion.ui.phone.handouts import Handouts
from diffusion.ui.shared.events import session_of
from diffusion.ui.shared.latest import Latest, latest_clips

Item = TypeVar("Item")


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

    Finished clips are kept in `clips`, for comparisons, and in `handouts`, for phones.
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
        self.runs: dict[str, Run] = {}
        self._asked: set[str] = set()  # sessions that have seen what they asked for
        self._welcome = welcome
        self._rewinding = threading.Lock()

    def perform(self, request: Request, session: str) -> Iterator[RunMessage]:
        """The messages of one run: pictures as they come, and the clip at last.

        A visitor's next run ends the one before without a clip, and so does closing the iterator.
        """
        run = Run()
        self.end(session)
        self.runs[session] = run
        try:
            yield from ahead(self._messages(request, session, run))
        finally:
            run.supersede()
            if self.runs.get(session) is run:
                del self.runs[session]
            _return_memory()

    def _messages(self, request: Request, session: str, run: Run) -> Iterator[RunMessage]:
        name, film = uuid.uuid4().hex, Film(self.studio.codec, request)
        with closing(self.studio.generate(request, run.stop)) as steps:
            for each in steps:
                if run.superseded:
                    return
                if isinstance(each, Clip):
                    if each.settings["stopped_at"] is None:
                        self.clips[each.request.identity] = each
                    self.reels.keep(name, session, Reel.of(film, each, self.studio))
                    picture = finished_picture(each.features, self.studio.codec)
                    sound = each.wave, each.sample_rate_hz
                    yield self.handouts.keep(
                        messages.clip(name, each.settings, each.seconds, film.frames, picture, each.to_wav(), sound)
                    )
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

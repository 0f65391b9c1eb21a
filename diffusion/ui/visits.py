"""What the visitors of one page share: the studio, and the run that each has under way."""

from __future__ import annotations

import base64
import ctypes
import io
import json
import math
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import gradio as gr
import numpy as np
import soundfile
import torch

from diffusion.audio.loudness import loudness_db
from diffusion.compare import key
from diffusion.samplers import SAMPLERS
from diffusion.studio import ANY, LATER, Clip, Request, Studio
from diffusion.ui.clips import latest_clips
from diffusion.ui.film import Film, score
from diffusion.ui.phone import Handouts
from diffusion.ui.reel import Reel, Reels

Item = TypeVar("Item")


@dataclass
class _Run:
    """What can happen to a run from outside: its visitor stops it, or starts another."""

    stop: threading.Event = field(default_factory=threading.Event)
    superseded: bool = False

    def supersede(self) -> None:
        """Nobody listens any more: let it end without a clip."""
        self.superseded = True
        self.stop.set()


class Visits:
    """The runs of all visitors of a page, by session."""

    def __init__(self, studio: Studio, welcome: Path | None = None, handouts: Handouts | None = None) -> None:
        self.studio = studio
        self.handouts = handouts or Handouts()
        self.reels = Reels()
        self.clips = latest_clips()
        self._runs: dict[str, _Run] = {}
        self._asked: set[str] = set()  # sessions that have seen what they asked for
        self._welcome = read_welcome(welcome) if welcome else None
        self._rewinding = threading.Lock()

    def perform(self, request: Request, session: str) -> Iterator[dict[str, Any]]:
        """The messages of one run for the score: pictures as they come, and the clip at last.

        A visitor's next run ends the one before without a clip, and so does closing the iterator.
        """
        run = _Run()
        if session in self._runs:
            self._runs[session].supersede()
        self._runs[session] = run
        try:
            yield from ahead(self._messages(request, session, run))
        finally:
            run.supersede()
            if self._runs.get(session) is run:
                del self._runs[session]
            _return_memory()

    def _messages(self, request: Request, session: str, run: _Run) -> Iterator[dict[str, Any]]:
        name, film = uuid.uuid4().hex, Film(self.studio.mel, request)
        with closing(self.studio.generate(request, run.stop)) as steps:
            for each in steps:
                if run.superseded:
                    return
                if isinstance(each, Clip):
                    if each.settings["stopped_at"] is None:
                        self.clips[key(each.request)] = each
                    wav = each.to_wav()
                    self.reels.keep(name, session, Reel.of(film, each, self.studio))
                    picture = score(each.features, self.studio.mel)
                    sound = each.wave, each.sample_rate_hz
                    message = clip_message(name, each.settings, each.seconds, film.frames, picture, wav, sound)
                    yield self.handouts.keep(message)
                elif frame := film.add(each):
                    yield {"kind": "frame", "run": name, **frame}

    def has(self, session: str) -> bool:
        """Whether a visitor's run is under way."""
        return session in self._runs

    def stop(self, http: gr.Request) -> None:
        """Let this visitor's run end with what the model believes now."""
        if http.session_hash in self._runs:
            self._runs[http.session_hash].stop.set()

    def leave(self, http: gr.Request) -> None:
        """Nobody listens any more."""
        self._asked.discard(http.session_hash or "")
        self.reels.drop(http.session_hash or "")
        self.end(http.session_hash or "")

    def end(self, session: str) -> None:
        """Let a visitor's run end without a clip."""
        if session in self._runs:
            self._runs[session].supersede()

    def answer(self, request: Request, session: str) -> Iterator[dict[str, Any]]:
        """What a visitor asked for; from then on the welcome is not shown to that session."""
        self._asked.add(session)
        return self.perform(request, session)

    def welcome(self, session: str) -> Iterator[dict[str, Any]]:
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

    def belief(self, asked: Any) -> dict[str, Any] | None:
        """What is heard of {run, step}, as `Reel.sound` has it; None where the run's film has expired or never was."""
        run, step = (asked.get("run"), asked.get("step")) if isinstance(asked, dict) else (None, None)
        if not isinstance(run, str) or type(step) is not int:
            return None
        reel = self.reels.get(run) or self._welcome_reel(run)
        return reel.sound(step, self.studio) if reel and step in reel.beliefs else None

    def _welcome_reel(self, run: str) -> Reel | None:
        """The reel of the welcome, which is composed once more when somebody wants to hear it emerge."""
        with self._rewinding:
            reel = self.reels.get(run)
            if reel or self._welcome is None or self._welcome["run"] != run:
                return reel
            try:
                request = Request.from_dict(self._welcome["settings"])
                film = Film(self.studio.mel, request)
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
        except Exception as error:
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


def clip_message(
    run: str,
    settings: dict[str, Any],
    seconds: float,
    film: list[dict[str, Any]],
    picture: str,
    wav: bytes,
    sound: tuple[np.ndarray, int] | None = None,
) -> dict[str, Any]:
    """A finished clip, as the score takes it. `sound` is what `wav` holds, (N,), and its rate in Hz, if at hand."""
    return {
        "kind": "clip",
        "run": run,
        "settings": settings,
        "seconds": round(seconds, 2),
        "film": film,
        "score": picture,
        "audio": base64.b64encode(wav).decode(),
        "loudness_db": _loudness_db(*(sound or soundfile.read(io.BytesIO(wav)))),
        "method": SAMPLERS[settings["sampler"]].title,
        "name": file_name(settings),
        "query": Request.from_dict(settings).to_query(),
    }


def _loudness_db(wave: np.ndarray, sample_rate_hz: int) -> float | None:
    """How loud a wave (N,) is, None if it is silent."""
    loudness = float(loudness_db(torch.from_numpy(wave)[None], sample_rate_hz))
    return round(loudness, 2) if math.isfinite(loudness) else None


def read_welcome(path: Path) -> dict[str, Any] | None:
    """The message of a clip that `generate --out WAV --film JSON` wrote, or None where there is none."""
    film = path.with_suffix(".json")
    if not (path.is_file() and film.is_file()):
        return None
    story = json.loads(film.read_text())
    clip = clip_message(
        "welcome", story["settings"], story["seconds"], story["film"], story["score"], path.read_bytes()
    )
    return {**clip, "welcome": True}


def file_name(settings: dict[str, Any]) -> str:
    """What a clip is called on a visitor's disk."""
    later = [settings[name].replace("#", "sharp") for name in LATER if settings.get(name, ANY) != ANY]
    return "-".join(["out-of-noise", settings["style"], settings["ensemble"], *later, f"{settings['seed']}.wav"])

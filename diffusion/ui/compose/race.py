"""The race: what took a thousand steps in 2020 beside what takes eight today, from the same noise."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Hashable
from contextlib import closing, nullcontext
from typing import Any

import gradio as gr

from diffusion.engine import Clip, Preview
from diffusion.film import belief_picture, finished_picture, state_picture
from diffusion.request import Request
from diffusion.samplers import SAMPLERS
from diffusion.studio import Studio
from diffusion.ui import messages
from diffusion.ui.messages import Lane, RacedClip, RaceEnd, RaceMessage, RaceNews, RaceStep, encoded
from diffusion.ui.shared.events import session_of

PUBLIC = ("SPACE_ID", "OUT_OF_NOISE_SHARED")  # environment variables of a server that many visitors use
RACE = "2020"  # the preset that is raced against another, and no setting of the rail
RACERS = ("Instant", RACE)  # presets, on the left and on the right
SEED = 2020  # of recordings
RECORDINGS, LIVE = 12, 4  # races in memory, of some three megabytes each
PICTURES = 120  # of a run with more steps than that
INTERVAL_S = 0.05  # between the counts of a run
PATIENCE_S = 60  # a live race that nobody has asked about for so long is stopped
ANSWER_S = 1.0  # after which a visitor who waits for news is told that there is none
AT_ONCE = 48  # messages of one answer


def is_public() -> bool:
    """Whether many visitors use this server: then races are recorded, once each, and shown to all."""
    return any(os.environ.get(name) for name in PUBLIC)


class Race:
    """Two runs at once, and their timed `messages`."""

    def __init__(self, studio: Studio, request: Request, recorded: bool) -> None:
        self.name = uuid.uuid4().hex
        self.recorded = recorded
        self.requests = [studio.by_preset(request, name) for name in RACERS]
        self.messages: list[RaceStep | RaceEnd] = []
        self.stop = threading.Event()
        self.begun = self.over = self.failed = False
        self._studio = studio
        self._heard = time.monotonic()
        for each in self.requests:
            studio.check(each)

    def run(self) -> None:
        """Both lanes; they take turns at the model, evaluation by evaluation."""
        self.begun, start = True, time.perf_counter()
        lanes = [
            threading.Thread(target=self._lane, args=(lane, start), daemon=True) for lane in range(len(self.requests))
        ]
        for each in lanes:
            each.start()
        for each in lanes:
            each.join()
        self.over = True

    def news(self, after: int) -> RaceNews:
        """The messages from number `after` on, as many as one answer takes."""
        self._heard = time.monotonic()
        over = self.over  # before the messages: none comes after it
        said = self.messages[after : after + AT_ONCE]
        over = over and after + len(said) == len(self.messages)
        return {"messages": said, "begun": self.begun, "failed": self.failed, "over": over}

    def announcement(self) -> RaceMessage:
        """The message that tells the canvas of it."""
        lanes: list[Lane] = [
            {"name": name, "method": SAMPLERS[each.sampler].title, "steps": each.steps}
            for name, each in zip(RACERS, self.requests, strict=True)
        ]
        return messages.race(self.name, self.recorded, self.requests[0], lanes)

    def _lane(self, lane: int, start: float) -> None:
        last_s, place = -INTERVAL_S, -1
        try:
            with closing(self._studio.generate(self.requests[lane], self.stop)) as steps:
                for each in steps:
                    at = round(time.perf_counter() - start, 3)
                    if isinstance(each, Clip):
                        self.messages.append({"lane": lane, "at": at, "clip": self._clip(each)})
                        return
                    due = each.index * PICTURES // max(each.total, PICTURES)
                    if due != place or at - last_s >= INTERVAL_S:
                        self.messages.append(
                            {
                                "lane": lane,
                                "at": at,
                                "index": each.index,
                                "total": each.total,
                                "evaluations": each.evaluations,
                                "picture": self._picture(each) if due != place else None,
                            }
                        )
                        last_s, place = at, due
                    if not self.recorded and time.monotonic() - self._heard > PATIENCE_S:
                        self.stop.set()
        except Exception:
            self.failed = True
            self.stop.set()
            raise

    def _picture(self, preview: Preview) -> str:
        codec = self._studio.codec
        return state_picture(preview, codec) if preview.x0 is None else belief_picture(preview.x0, codec)

    def _clip(self, clip: Clip) -> RacedClip:
        picture = finished_picture(clip.features, self._studio.codec)
        return {"settings": clip.settings, "picture": picture, "audio": encoded(clip.to_wav())}


class Races:
    """The races in memory: on a public server one recording for each choice of labels, otherwise one live race for
    each visitor. The one that was asked for longest ago gives way."""

    def __init__(self, studio: Studio, public: bool) -> None:
        self.public = public
        self.kept: OrderedDict[Hashable, Race] = OrderedDict()
        self._studio = studio
        self._lock = threading.Lock()
        self._recording = threading.Lock()  # a thousand steps for one race at a time

    def start(self, request: Request, session: str) -> RaceMessage:
        """Begin the race of a request, or find its recording; returns the message that tells the canvas of it."""
        key: Hashable = session
        if self.public:
            request = self._studio.request(**request.labels, seed=SEED)
            key = request.identity
        with self._lock:
            race = self.kept.get(key)
            if race is None or race.failed or not self.public:
                if race is not None:
                    race.stop.set()
                race = self.kept[key] = Race(self._studio, request, self.public)
                threading.Thread(target=self._run, args=(race,), name="race", daemon=True).start()
            self.kept.move_to_end(key)
            while len(self.kept) > (RECORDINGS if self.public else LIVE):
                self.kept.popitem(last=False)[1].stop.set()
        return race.announcement()

    async def news(self, asked: Any) -> RaceNews | None:
        """The messages of a race {race, after}, as soon as there are some; None if there is no such race any more."""
        race, after = self._find(asked), asked.get("after") if isinstance(asked, dict) else None
        if race is None or type(after) is not int or after < 0:
            return None
        end_s = time.monotonic() + ANSWER_S
        while not (race.over or race.failed or len(race.messages) > after) and time.monotonic() < end_s:
            await asyncio.sleep(INTERVAL_S)
        return race.news(after)

    def halt(self, asked: Any) -> None:
        """End a live race {race} with what the model believes now; a recording goes on for others."""
        race = self._find(asked)
        if race is not None and not race.recorded:
            race.stop.set()

    def leave(self, http: gr.Request) -> None:
        """The visitor has gone, and with them their live race."""
        with self._lock:
            race = self.kept.pop(session_of(http), None)
        if race is not None:
            race.stop.set()

    def _run(self, race: Race) -> None:
        with self._recording if self.public else nullcontext():
            if not race.stop.is_set():
                race.run()

    def _find(self, asked: Any) -> Race | None:
        name = asked.get("race") if isinstance(asked, dict) else None
        with self._lock:
            return next((race for race in self.kept.values() if race.name == name), None)

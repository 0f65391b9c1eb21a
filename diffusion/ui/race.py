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
from dataclasses import replace
from typing import Any

import gradio as gr

from diffusion.picture import belief_range, data_uri, state_range
from diffusion.studio import LABELS, PRESETS, Clip, Preview, Request, Studio
from diffusion.ui.controls import RACE
from diffusion.ui.film import FRAME_QUALITY, score
from diffusion.ui.visits import clip_message

SHARED = ("SPACE_ID", "OUT_OF_NOISE_SHARED")  # environment variables of a server that many visitors share
RACERS = ("Instant", RACE)  # presets, on the left and on the right
SEED = 2020  # of recordings
RECORDINGS, LIVE = 12, 4  # races in memory, of some three megabytes each
PICTURES = 120  # of a run with more steps than that
INTERVAL_S = 0.05  # between the counts of a run
PATIENCE_S = 60  # a live race that nobody has asked about for so long is stopped
ANSWER_S = 1.0  # after which a visitor who waits for news is told that there is none
AT_ONCE = 48  # messages of one answer


def is_shared() -> bool:
    """Whether visitors share this server: then races are recorded, once each, and shown to all."""
    return any(os.environ.get(name) for name in SHARED)


class Race:
    """Two runs at once, and their timed messages: {lane, at (seconds), index, total, evaluations, picture | None} for
    steps and {lane, at, clip} at the end."""

    def __init__(self, studio: Studio, request: Request, recorded: bool) -> None:
        presets = [PRESETS[name] for name in RACERS]
        self.name = uuid.uuid4().hex
        self.recorded = recorded
        self.requests = [replace(request, **{"knobs": {}, **preset}) for preset in presets]
        self.messages: list[dict[str, Any]] = []
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

    def _lane(self, lane: int, start: float) -> None:
        last_s, place = -INTERVAL_S, -1
        try:
            with closing(self._studio.generate(self.requests[lane], self.stop)) as steps:
                for each in steps:
                    message = {"lane": lane, "at": round(time.perf_counter() - start, 3)}
                    if isinstance(each, Clip):
                        self.messages.append({**message, "clip": self._clip(each)})
                        return
                    due = each.index * PICTURES // max(each.total, PICTURES)
                    if due != place or message["at"] - last_s >= INTERVAL_S:
                        picture = self._picture(each) if due != place else None
                        counts = {"index": each.index, "total": each.total, "evaluations": each.evaluations}
                        self.messages.append({**message, **counts, "picture": picture})
                        last_s, place = message["at"], due
                    if not self.recorded and time.monotonic() - self._heard > PATIENCE_S:
                        self.stop.set()
        except Exception:
            self.failed = True
            self.stop.set()
            raise

    def _picture(self, preview: Preview) -> str:
        mel = self._studio.mel
        if preview.x0 is None:
            return data_uri(preview.x, state_range(mel, preview.alpha, preview.sigma), FRAME_QUALITY)
        return data_uri(preview.x0, belief_range(mel), FRAME_QUALITY)

    def _clip(self, clip: Clip) -> dict[str, Any]:
        picture = score(clip.features, self._studio.mel)
        sound = clip.wave, clip.sample_rate_hz
        return clip_message(uuid.uuid4().hex, clip.settings, clip.seconds, [], picture, clip.to_wav(), sound)

    def news(self, after: int) -> dict[str, Any]:
        """The messages from number `after` on, as many as one answer takes."""
        self._heard = time.monotonic()
        over = self.over  # before the messages: none comes after it
        messages = self.messages[after : after + AT_ONCE]
        over = over and after + len(messages) == len(self.messages)
        return {"messages": messages, "begun": self.begun, "failed": self.failed, "over": over}


class Races:
    """The races in memory: one recording for each choice of labels on a shared server, otherwise one live race for
    each visitor. The one that was asked for longest ago gives way."""

    def __init__(self, studio: Studio, shared: bool) -> None:
        self.shared = shared
        self._studio = studio
        self._races: OrderedDict[Hashable, Race] = OrderedDict()
        self._lock = threading.Lock()
        self._recording = threading.Lock()  # a thousand steps for one race at a time

    def start(self, request: Request, session: str) -> dict[str, Any]:
        """Begin the race of a request, or find its recording; returns the message that tells the score of it."""
        labels = {name: getattr(request, name) for name in LABELS}
        key: Hashable = tuple(labels.values()) if self.shared else session
        if self.shared:
            request = self._studio.request(**labels, seed=SEED)
        with self._lock:
            race = self._races.get(key)
            if race is None or race.failed or not self.shared:
                if race is not None:
                    race.stop.set()
                race = self._races[key] = Race(self._studio, request, self.shared)
                threading.Thread(target=self._run, args=(race,), name="race", daemon=True).start()
            self._races.move_to_end(key)
            while len(self._races) > (RECORDINGS if self.shared else LIVE):
                self._races.popitem(last=False)[1].stop.set()
        return self._announcement(race)

    def _run(self, race: Race) -> None:
        with self._recording if self.shared else nullcontext():
            if not race.stop.is_set():
                race.run()

    def _announcement(self, race: Race) -> dict[str, Any]:
        titles = self._studio.options()["sampler"]["titles"]
        request = race.requests[0]
        return {
            "kind": "race",
            "race": race.name,
            "id": uuid.uuid4().hex,  # the same race may be asked for twice
            "recorded": race.recorded,
            **{name: getattr(request, name) for name in LABELS},
            "seed": request.seed,
            "lanes": [
                {"name": name, "method": titles[each.sampler], "steps": each.steps}
                for name, each in zip(RACERS, race.requests, strict=True)
            ],
        }

    async def news(self, asked: Any) -> dict[str, Any] | None:
        """The messages of a race {race, after}, as soon as there are some; None if there is no such race any more."""
        race, after = self._find(asked), asked.get("after") if isinstance(asked, dict) else None
        if race is None or type(after) is not int or after < 0:
            return None
        end_s = time.monotonic() + ANSWER_S
        while not (race.over or race.failed or len(race.messages) > after) and time.monotonic() < end_s:
            await asyncio.sleep(INTERVAL_S)
        return race.news(after)

    def halt(self, asked: Any) -> None:
        """End a live race with what the model believes now; a recording goes on for others."""
        race = self._find(asked)
        if race is not None and not race.recorded:
            race.stop.set()

    def leave(self, http: gr.Request) -> None:
        """The visitor has gone, and with them their live race."""
        with self._lock:
            race = self._races.pop(http.session_hash, None)
        if race is not None:
            race.stop.set()

    def _find(self, asked: Any) -> Race | None:
        name = asked.get("race") if isinstance(asked, dict) else None
        with self._lock:
            return next((race for race in self._races.values() if race.name == name), None)

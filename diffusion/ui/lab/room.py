"""The lab: what its experiments are asked, and what they answer."""

from __future__ import annotations

import base64
import binascii
import threading
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, cast
from urllib.parse import urlencode

import gradio as gr
import numpy as np

from diffusion.lab import EXPERIMENTS, INDEX
from diffusion.lab.apart import apart
from diffusion.lab.experiment import SWITCH, Experiment, Frame, Measured
from diffusion.lab.index import Place
from diffusion.lab.noising import MOST_BYTES
from diffusion.settings import SETTINGS, Choice, Number, Setting, draw_seed
from diffusion.ui import messages
from diffusion.ui.lab.code import coloured, formula
from diffusion.ui.lab.encoding import frame
from diffusion.ui.messages import (
    LAB_EVENTS,
    LabBrought,
    LabFacts,
    LabFrame,
    LabKnob,
    LabMessage,
    LabNumber,
    LabPlace,
    LabRun,
)
from diffusion.ui.shared.assets import asset, starting
from diffusion.ui.shared.events import QUIET, served, session_of, telling
from diffusion.ui.shared.latest import Latest

RUNS_AT_ONCE = 2  # of all visitors; each takes a second or two
TRAININGS_AT_ONCE = 1
BROUGHT, BROUGHT_BYTES = 64, 16 * 2**20  # pictures and clips of all visitors that are remembered
INTERVAL_S = 0.1  # between two messages of a run
RUNS: dict[str, Any] = QUIET | {"concurrency_limit": RUNS_AT_ONCE, "concurrency_id": "lab"}
TRAININGS: dict[str, Any] = QUIET | {"concurrency_limit": TRAININGS_AT_ONCE, "concurrency_id": "lab-training"}


class LabRoom:
    """The room on the page. Built where it is made, inside `gr.Blocks`. A visitor has one run under way."""

    def __init__(self, blocks: gr.Blocks) -> None:
        self.view = gr.HTML(
            html_template=asset("lab/lab.html"),
            js_on_load=starting("lab/lab.js", LAB_EVENTS, LabFacts(most_bytes=MOST_BYTES, index=_index())),
            elem_id="lab",
            apply_default_css=False,
            padding=False,
            server_functions=served(experiments=self.experiments, bring=self.bring),
        )
        self._brought: Latest[np.ndarray] = Latest(BROUGHT, BROUGHT_BYTES, lambda each: each.nbytes)
        self._stops: dict[str, threading.Event] = {}
        # The newest run ends the one before.
        runs = [
            self.view.run(self.on_run, outputs=self.view, trigger_mode="multiple", **RUNS),
            self.view.train(self.on_train, outputs=self.view, trigger_mode="multiple", **TRAININGS),
        ]
        for each in runs:
            each.failure(None, js=telling("unrun"), api_visibility="private")
        self.view.halt(self.on_halt, queue=False, **QUIET)
        blocks.unload(self.on_halt)

    def experiments(self, _: Any) -> list[messages.LabExperiment]:
        """What there is to play with."""
        return [_facts(each) for each in EXPERIMENTS.values()]

    def bring(self, asked: Any) -> LabBrought:
        """A file {experiment, kind, file} of a visitor, in base64, to be used in place of what ships."""
        asked = asked if isinstance(asked, dict) else {}
        try:
            own, kind, file = _experiment(asked.get("experiment")).own, asked.get("kind"), asked.get("file")
            if kind not in own:
                raise ValueError(f"kind: got {kind!r}, allowed {', '.join(own) or 'none'}")
            if not isinstance(file, str) or len(file) > 2 * MOST_BYTES:
                raise ValueError(f"{kind}: got no file, or one of more than {MOST_BYTES / 1e6:g} MB")
            name = uuid.uuid4().hex
            self._brought[name] = own[kind](base64.b64decode(file))
        except (ValueError, binascii.Error) as error:
            return {"error": messages.error(error)["text"]}
        return {"name": name}

    def on_run(self, event: gr.EventData, http: gr.Request) -> Iterator[LabMessage]:
        """A run from what ships."""
        yield from self._answer(messages.read(LabRun, event), session_of(http), trains=False)

    def on_train(self, event: gr.EventData, http: gr.Request) -> Iterator[LabMessage]:
        """A training from the start, in a process of its own, so that nobody's music waits for it."""
        yield from self._answer(messages.read(LabRun, event), session_of(http), trains=True)

    def on_halt(self, http: gr.Request) -> None:
        """End what the visitor has under way."""
        if stop := self._stops.get(session_of(http)):
            stop.set()

    def _answer(self, asked: LabRun, session: str, trains: bool) -> Iterator[LabMessage]:
        try:
            experiment = self._with_own(_experiment(asked.experiment), asked.own)
            knobs, seed = experiment.asked(_knobs(asked.knobs)), _seed(asked.seed)
            if trains and not experiment.trains:
                raise ValueError(f"{experiment.name}: there is nothing to train")
            yield from self._perform(experiment, knobs, seed, session, trains)
        except ValueError as error:
            yield messages.error(error)
        except Exception:
            yield messages.error(messages.FAILED)
            raise

    def _with_own(self, experiment: Experiment, own: Any) -> Experiment:
        """The experiment with what its visitor has brought."""
        found = {}
        for kind, name in own.items() if isinstance(own, dict) else ():
            if kind in experiment.own:
                if not isinstance(name, str) or name not in self._brought:
                    raise ValueError(f"{kind}: yours is no longer here; bring it again")
                found[kind] = self._brought[name]
        return replace(experiment, **found) if found else experiment  # type: ignore[type-var]

    def _perform(
        self, experiment: Experiment, knobs: dict[str, Any], seed: int, session: str, trains: bool
    ) -> Iterator[LabMessage]:
        run, stop = uuid.uuid4().hex, threading.Event()
        if before := self._stops.get(session):
            before.set()
        self._stops[session] = stop
        yield messages.lab_begun(
            run, experiment.name, coloured(experiment.source_code(knobs), experiment.lit(knobs)), trains
        )
        seen: list[Frame] = []
        fresh: list[LabFrame] = []
        sent = 0.0
        try:
            begin = partial(apart, experiment.name) if trains else experiment.run
            with closing(cast(Generator[Frame, None, None], begin(knobs, seed, stop))) as frames:
                for each in frames:
                    seen.append(each)
                    fresh.append(frame(each))
                    if time.monotonic() - sent >= INTERVAL_S:
                        yield messages.lab_frames(run, fresh)
                        fresh, sent = [], time.monotonic()
            whole = not stop.is_set()
            yield messages.lab_over(run, fresh, _numbers(experiment.holds(seen)) if whole else [], stopped=not whole)
        finally:
            stop.set()
            if self._stops.get(session) is stop:
                del self._stops[session]


def _experiment(name: Any) -> Experiment:
    if not isinstance(name, str) or name not in EXPERIMENTS:
        raise ValueError(f"experiment: got {name!r}, allowed {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def _knobs(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ValueError(f"knobs: got {given!r}, need an object with the knobs of the experiment")
    return given


def _seed(given: Any) -> int:
    return draw_seed() if given is None else SETTINGS["seed"].checked(given)


def _numbers(measured: list[Measured]) -> list[LabNumber]:
    return [
        {"name": each.name, "value": each.value, "unit": each.unit, "said": each.said, "holds": each.holds}
        for each in measured
    ]


def _index() -> dict[str, list[LabPlace]]:
    return {document: [_place(each) for each in places] for document, places in INDEX.items()}


def _place(each: Place) -> LabPlace:
    return {"what": each.what, "experiment": each.experiment, "query": urlencode(each.knobs)}


def _facts(experiment: Experiment) -> messages.LabExperiment:
    return {
        "name": experiment.name,
        "title": experiment.title,
        "summary": experiment.summary,
        "document": experiment.source.document,
        "place": experiment.source.place,
        "claim": experiment.claim,
        "formula": formula(experiment.formula),
        "knobs": [_knob(each) for each in experiment.knobs.values()],
        "trains": experiment.trains,
        "training": experiment.training,
        "own": list(experiment.own),
    }


def _knob(setting: Setting) -> LabKnob:
    facts: LabKnob = {
        "name": setting.name,
        "title": setting.title,
        "help": setting.help,
        "default": setting.default,
    }
    if isinstance(setting, Choice):
        facts["titles"] = {name: entry.title for name, entry in setting.catalogue.items()}
        if setting.catalogue is not SWITCH:
            facts["summaries"] = {name: entry.summary for name, entry in setting.catalogue.items()}
    elif isinstance(setting, Number):
        facts["range"] = setting.range
        facts["step"] = setting.step or (1 if setting.whole else None)
    return facts

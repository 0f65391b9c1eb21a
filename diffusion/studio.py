"""From a request to a clip: what one model can be asked for, and its engine that many visitors share."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Generator, Sequence
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffusion.checkpoint import CheckpointError
from diffusion.codecs import Codec, LogMel
from diffusion.conditions import guidable
from diffusion.denoisers import LEARNED_VARIANCES
from diffusion.edits import Inpaint, Sources, Timeline, Transform
from diffusion.engine import Clip, Engine, Preview, Stop
from diffusion.engine.local import LocalEngine
from diffusion.request import KNOBS, Request, check_batch
from diffusion.samplers import SAMPLERS
from diffusion.settings import (
    ANY,
    BY_THE_BOOK,
    DRAWN,
    LONGEST_S,
    PRESETS,
    RESULTS,
    SETTINGS,
    SHORTEST_S,
    Choice,
    Edits,
    Knobs,
    Label,
    Number,
    Seed,
    Setting,
    draw_seed,
    label_of,
    seed_of,
)
from diffusion.theory import schedule_from


def open_studio(folder: Path, device: str = "auto", dtype: torch.dtype | None = None) -> Studio:
    """The studio of a checkpoint, with the engine for this machine. Errors as `LocalEngine` has them."""
    if "SPACES_ZERO_GPU" not in os.environ:
        return Studio(LocalEngine(folder, device, dtype))
    from diffusion.engine.zero_gpu import ZeroGpuEngine

    return Studio(ZeroGpuEngine(lambda: LocalEngine(folder, device, dtype)))


class Studio:
    """One model, as it can be asked. `settings` has what applies to it, by name, `labels` the words of each label, and
    `warning` what people should know of its schedule.

    A label that the model lacks can still be asked for as ANY, if all music has it.
    """

    def __init__(self, engine: Engine) -> None:
        """CheckpointError for a model that has a label with the name of a setting."""
        self.engine = engine
        model = engine.model
        self.name, self.digest, self.removed, self.device = model.name, model.digest, model.removed, model.device
        self.labels = model.configuration.labels
        self.codec: Codec = model.configuration.features
        self.decoder = model.decoders[0] if model.decoders else ""
        self.warning = schedule_from(model.configuration.schedule).warning
        for name in self.labels:
            if name in KNOBS or name in RESULTS or not isinstance(SETTINGS.get(name, label_of(name)), Label):
                raise CheckpointError(f"checkpoint {self.name}: got the label {name}, which is the name of a setting")
        self.settings = self._settings()

    @property
    def mel(self) -> LogMel:
        """The codec of a model that makes sound; ValueError for any other."""
        if not isinstance(self.codec, LogMel):
            raise ValueError(f"checkpoint: got {self.name}, whose output is of kind {self.codec.medium}, need sound")
        return self.codec

    def options(self) -> dict[str, Any]:
        """Choices, ranges, defaults and a sentence for every setting, as JSON values."""
        options = {name: self._option(each) for name, each in self.settings.items() if name != "model"}
        options["knobs"] = {
            name: {
                each.name: {"default": getattr(sampler, each.name), **each.metadata, "choices": self._choices(each)}
                for each in fields(sampler)
            }
            for name, sampler in SAMPLERS.items()
        }
        options["presets"] = {title: dict(preset) for title, preset in PRESETS.items()}
        options["model"] = {"name": self.name, "digest": self.digest}
        return options

    def values(self, name: str) -> list[str]:
        """What may be chosen of a label or of another choice."""
        setting = self.settings[name]
        if isinstance(setting, Label):
            return [ANY, *self.labels.get(name, ())]
        assert isinstance(setting, Choice)
        if name == "decoder":
            return list(self.engine.model.decoders)
        return [each for each in setting.catalogue if self._is_sound or each not in setting.of_time]

    def default(self, name: str) -> Any:
        """What a visitor gets who says nothing."""
        setting = self.settings[name]
        if isinstance(setting, Label):
            return ANY if setting.open else [*self.labels.get(name, ()), ANY][0]
        if not isinstance(setting, Choice):
            return setting.default
        values = self.values(name)
        return setting.default if setting.default in values else values[0]

    def request(self, **arguments: Any) -> Request:
        """A checked request for this model; what is missing takes its default, and so do words that are None.

        A seed may be a number or a text for `seed_of`; DRAWN draws one. A duration off the model's raster is rounded to
        it, as `rounding` says. ValueError as `check` has it, and for a number that was left empty.
        """
        for name, value in arguments.items():
            setting = self.settings.get(name)
            if value is None and isinstance(setting, Number) and not isinstance(setting, Seed):
                raise ValueError(f"{name}: got nothing, allowed {setting.range[0]} to {setting.range[1]}")
        given = {name: value for name, value in arguments.items() if value is not None}
        seed = given.get("seed", DRAWN)
        if isinstance(seed, str):
            seed = seed_of(seed)
        defaults = {name: self.default(name) for name in self.settings if name not in ("knobs", "model")}
        request = Request.from_dict({**defaults, **given, "seed": draw_seed() if seed == DRAWN else seed})
        if "duration_s" not in given:
            request = self._as_long_as_source(request)
        self.check(request)
        return self.complete(request)

    def by_preset(self, request: Request, name: str) -> Request:
        """The request as a preset makes it, its knobs at their defaults; what was by the book is so no longer, unless
        the preset is."""
        decided = ("by_the_book", *BY_THE_BOOK) if request.booked else ()
        before = {each: self.default(each) for each in decided if each in self.settings}
        return request.changed(**{"knobs": {}, **before, **PRESETS[name]})

    def check(self, request: Request) -> None:
        """ValueError if the request does not fit this model."""
        if request.model in self.removed:  # said before anything about its labels, which were others
            raise ValueError(f"model: got {self.removal(request.model)}, and the one loaded here is {self.digest}")
        for name, value in request.labels.items():
            if not isinstance(self.settings.get(name), Label):
                raise ValueError(f"{name}: got {value!r}, but the settings are {', '.join(self.settings)}")
        for name, setting in self.settings.items():
            if isinstance(setting, Label):
                self._check_label(setting, request)
            elif isinstance(setting, Choice) and request[name] not in ("", *self.values(name)):
                allowed = ", ".join(self.values(name))
                raise ValueError(f"{name}: got {request[name]!r}, allowed {allowed} (for this model)")
        for knob in fields(SAMPLERS[request.sampler]):
            value, choices = request.knobs[knob.name], self._choices(knob)
            if choices and value not in choices:
                raise ValueError(
                    f"{knob.name}: got {value!r}, allowed {', '.join(choices)} (this model has learned no variance)"
                )
        if request.model not in ("", self.digest):
            raise ValueError(f"model: got {request.model!r}, but the one loaded here is {self.digest}")
        self._check_edits(request)

    def complete(self, request: Request) -> Request:
        """The request with the model, the decoder and the duration that it leaves open; without what does not apply.

        Its duration is on the model's raster.
        """
        if not self._is_sound:
            return replace(request, model=self.digest, decoder="", duration_s=None)
        duration_s = self._on_raster(self.default("duration_s") if request.duration_s is None else request.duration_s)
        return replace(request, model=self.digest, decoder=request.decoder or self.decoder, duration_s=duration_s)

    def rounding(self, duration_s: float | None, request: Request) -> str:
        """What is to be said where a duration was asked for that the request, complete, does not have; or nothing."""
        if duration_s in (None, request.duration_s) or request.duration_s is None:
            return ""
        return f"duration_s: got {duration_s:g}, rounded to {request.duration_s:g}, a multiple of {self.step_s:g}"

    def removal(self, digest: str) -> str | None:
        """What became of a removed model, in words; None for any other."""
        gone = self.removed.get(digest)
        return f"{gone.name} ({digest}), which was removed; {gone.replaced_by} took its place" if gone else None

    def generate(self, request: Request, stop: Stop | None = None, sources: Sources = ()) -> Generator[Preview | Clip]:
        """A Preview of the noise and of every step, and at last the Clip. `sources` hold what its edits begin from.

        Setting `stop` ends the run within one evaluation, and the clip is then what the model believed last (it is
        asked at least once). Closing the iterator ends it without a clip. ValueError, at once, if the request does not
        fit, and once it begins if a source is missing.
        """
        return self.generate_many([request], stop, sources)

    def generate_many(
        self, requests: Sequence[Request], stop: Stop | None = None, sources: Sources = ()
    ) -> Generator[Preview | Clip]:
        """As `generate`, for several requests that have the settings in SHARED in common, as one batch.

        Previews of the first, then a Clip for each, which is what it would be alone as `Engine.run` has it.
        """
        for request in requests:
            self.check(request)
        check_batch(requests)
        return self.engine.run([self.complete(each) for each in requests], stop or threading.Event(), sources)

    def sound(self, features: np.ndarray, most: float = math.inf, decoder: str = "") -> np.ndarray:
        """The wave (N,) float32 of features (*shape), made as that of a clip: as loud, or amplified by `most`."""
        return self.engine.sound(features, decoder or self.decoder, most)

    def prepare(self, compile: bool = False) -> None:
        """Pay now for what would make the first visitors wait, for requests at the defaults."""
        self.engine.prepare(self.request(seed=0), compile)

    def _settings(self) -> dict[str, Setting]:
        """The table without what does not apply to the model, and with the labels that only the model knows."""
        known = {name: each for name, each in SETTINGS.items() if self._has(each)}
        return known | {name: label_of(name) for name in self.labels if name not in known}

    def _has(self, setting: Setting) -> bool:
        """Whether a setting of the table applies to the model. To music all do."""
        if self._is_sound:
            return True
        if isinstance(setting, Label):
            return setting.name in self.labels
        labelled = bool(guidable(self.engine.model.configuration))
        return self.codec.medium in setting.media and (labelled or not setting.labelled)

    @property
    def _is_sound(self) -> bool:
        return self.codec.medium == "sound"

    def _option(self, setting: Setting) -> dict[str, Any]:
        option: dict[str, Any] = {"title": setting.title, "help": setting.help, "default": None}
        if isinstance(setting, (Label, Choice)):
            choices = self.values(setting.name)
            option |= {"choices": choices, "titles": {each: setting.titled(each) for each in choices}}
        if isinstance(setting, Choice):
            option["summaries"] = {each: setting.catalogue[each].summary for each in option["choices"]}
        if isinstance(setting, Number):
            option |= {"minimum": setting.range[0], "maximum": setting.range[1]}
        if isinstance(setting, Seed):
            option["drawn"] = DRAWN
        if setting.name == "duration_s":
            option["step"] = self.step_s
        return option if isinstance(setting, (Knobs, Edits)) else option | {"default": self.default(setting.name)}

    @property
    def step_s(self) -> float:
        """The raster of durations."""
        return self.engine.model.step_frames / self.mel.frames_per_s

    def _choices(self, knob: Field[Any]) -> list[str]:
        """The choices of a knob, less those that this model cannot follow."""
        learned = self.engine.model.configuration.prediction in LEARNED_VARIANCES
        return [each for each in knob.metadata["choices"] if each != "learned" or learned]

    def _check_label(self, setting: Label, request: Request) -> None:
        name, allowed = setting.name, self.values(setting.name)
        if not setting.open and name not in request.labels:
            raise ValueError(f"{name}: got nothing, need a value")
        if request.label(name) not in allowed:
            raise ValueError(f"{name}: got {request.label(name)!r}, allowed {', '.join(allowed)}")

    def _check_edits(self, request: Request) -> None:
        """ValueError for edits that the model has not, and for labels of theirs that it does not know."""
        if request.edits and "edits" not in self.settings:
            raise ValueError(f"edits: got {', '.join(request.edits)}, but this model's output has no time to edit")
        if request.parent is not None:
            self.check(request.parent)
        timeline = request.edited.get("timeline")
        for section in timeline.sections if isinstance(timeline, Timeline) else ():
            self.check(request.changed(edits={}, **section.labels))

    def _as_long_as_source(self, request: Request) -> Request:
        """The request, where a source is inpainted or transformed, with a duration that the whole source fills."""
        edit = next((each for each in request.edited.values() if isinstance(each, (Inpaint, Transform))), None)
        if edit is None:
            return request
        steps = math.floor(edit.source_s / self.step_s + 1e-6)
        return replace(request, duration_s=self._on_raster(max(SHORTEST_S, min(LONGEST_S, steps * self.step_s))))

    def _on_raster(self, duration_s: float) -> float:
        """The nearest duration that the model can make; one that is on its raster already stays as it is."""
        setting = self.settings["duration_s"]
        assert isinstance(setting, Number)
        low, high, asked = (value / self.step_s for value in (*setting.range, duration_s))
        steps = min(max(round(asked), math.ceil(low - 1e-6)), math.floor(high + 1e-6))
        return duration_s if abs(asked - steps) < 1e-6 else round(steps * self.step_s, 6)

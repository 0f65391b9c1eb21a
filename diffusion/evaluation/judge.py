"""From a checkpoint to a report: make the clips or find them, embed them in all ears, hold them to the marks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from diffusion import checkpoint as checkpoints
from diffusion.checkpoint import CHECKPOINTS, Checkpoint
from diffusion.codecs import LogMel
from diffusion.data.dataset import Features
from diffusion.evaluation import report
from diffusion.evaluation.classifier import Ear, load_ear
from diffusion.evaluation.clips import (
    ClipSet,
    Measure,
    Playback,
    Recipe,
    Way,
    compiled,
    control,
    digest,
    gather,
    generated,
    load_playback,
    real,
)
from diffusion.evaluation.controls import CONTROLS
from diffusion.evaluation.ears import listeners
from diffusion.evaluation.marks import (
    FEW,
    MANY,
    Heard,
    Mark,
    Point,
    Real,
    Verdict,
    brevity,
    hear,
    judge,
    point,
    refusal,
    steadiness,
)
from diffusion.evaluation.memory import Memory
from diffusion.evaluation.music import measure
from diffusion.evaluation.plan import NO_VOCODER, Plan


def evaluate(
    data: Path,
    classifier: Path,
    checkpoint: Path | None,
    out: Path,
    plan: Plan | None = None,
    *,
    vocoder: str | None = None,
    cpu: bool = False,
    compile_network: bool = False,
) -> str:
    """Make or find the clips in `out`/clips, judge them, and write the report into `out`; returns its text.

    Without a checkpoint real clips are judged, as if they were generated. `vocoder` is a folder, NO_VOCODER, or None
    for the one in CHECKPOINTS that fits, if there is one. A compiled network is quicker, and its clips differ by
    rounding alone. ValueError or FileNotFoundError for what is missing or does not fit.
    """
    plan = plan or Plan()
    device = torch.device("cuda" if torch.cuda.is_available() and not cpu else "cpu")
    ear = load_ear(classifier)
    mel = ear.config.mel
    folder = checkpoints.find_vocoder(CHECKPOINTS, mel) if vocoder is None else Path(vocoder)
    playback = load_playback(mel, None if vocoder == NO_VOCODER else folder, device)
    model = None
    if checkpoint is not None:
        model = checkpoints.load(checkpoint, device)
        _check_labels(f"checkpoint: {checkpoint}", model.configuration.labels, ear)
        codec = model.configuration.features
        if not isinstance(codec, LogMel) or codec.mel != mel:
            raise ValueError(f"checkpoint: {checkpoint} makes other features than the classifier hears")
        for length in plan.lengths:
            generated(model, 1, plan.seed, Way(length=length))  # an error now, not in an hour
        if compile_network:
            model = compiled(model)
    evaluation = Evaluation(data, ear, model, playback, out / "clips", plan)
    return report.write(
        out,
        report.Results(
            f"Evaluation of {Path(checkpoint).resolve().name}" if checkpoint else "Real clips, judged as if generated",
            model.digest if model else "none",
            playback.decoder,
            plan.seed,
            model.denoiser.schedule.warning if model else "",
            ear.config,
            {name: f"{each.title}: {each.summary}" for name, each in evaluation.ears.items()},
            evaluation.real,
            evaluation.judged,
            evaluation.verdicts,
            evaluation.curves(),
            evaluation.marks(),
        ),
    )


def _check_labels(what: str, labels: Mapping[str, list[str]], ear: Ear) -> None:
    for name, known in (("style", ear.config.styles), ("ensemble", ear.config.ensembles)):
        if labels.get(name) != list(known):
            raise ValueError(f"{what} has the labels {name} {labels.get(name)}, the classifier knows {list(known)}")


class Evaluation:
    """The sets of one report. Each is made, or read from `cache`, when it is first needed, and embedded once."""

    def __init__(
        self, data: Path, ear: Ear, model: Checkpoint | None, playback: Playback, cache: Path, plan: Plan
    ) -> None:
        self.ear, self.model, self.playback, self.cache, self.plan = ear, model, playback, cache, plan
        self.mel = ear.config.mel
        self.frames = model.configuration.frames if model else ear.config.frames
        self.ears = listeners(ear)
        self.test, self.train = Features(data, "test"), Features(data, "train")
        for features in (self.test, self.train):
            _check_labels(f"data: split {features.split!r}", features.settings["labels"], ear)
        self._heard: dict[Way, Heard] = {}

    @cached_property
    def _memory(self) -> Memory:
        return Memory(self.train, progress=_bar("memory", "performance"))

    def _gather(self, recipe: Recipe, *groups: str) -> Heard:
        """Make a set with these groups of measures, and embed it."""
        known: dict[str, Measure] = {
            "music": lambda wave, heard: measure(wave, heard, self.mel),
            "memory": lambda wave, heard: {"nearest": self._memory.nearest(heard)},
        }
        clips = gather(
            recipe,
            self.playback,
            self.cache,
            measures={group: known[group] for group in groups if "marks" in self.plan.sections},
            measured_by=digest(self.train.settings, len(self.train)),
            batch=self.plan.batch,
            progress=_bar(recipe.name, f"batch of {self.plan.batch}"),
        )
        return self._hear(clips)

    def _hear(self, clips: ClipSet) -> Heard:
        embeds = {name: listener.embed for name, listener in self.ears.items()}
        return hear(clips, self.ear, embeds, progress=_bar(f"{clips.name}, heard", "batch", leave=False))

    def _real(self, turn: int, clips: int, name: str = "") -> Recipe:
        """Held-out clips; another `turn` gives others."""
        return real(self.test, clips, self.frames, self.plan.seed, turn * self.plan.clips, name)

    @cached_property
    def real(self) -> Real:
        """Real clips, as many of each kind as are judged."""
        clips = self.plan.clips
        test = self._gather(self._real(0, clips), "music", "memory")
        others = self._gather(self._real(1, clips, "others"), "music")
        train = self._gather(real(self.train, clips, self.frames, self.plan.seed), "music", "memory")
        undecoded = replace(test.clips, name=f"{test.clips.name}, not decoded", heard=test.clips.undecoded(self.mel))
        return Real(test, others, train, self._hear(undecoded).embeddings, self.plan.resamples)

    @cached_property
    def judged(self) -> Heard:
        """The clips that are held to the marks: at the default settings, or more real ones if there is no model."""
        clips = self.plan.clips
        if self.model is None:
            return self._gather(self._real(3, clips, "as if generated"), "music", "memory")
        return self._gather(generated(self.model, clips, self.plan.seed), "music", "memory")

    def generated(self, way: Way) -> Heard:
        """Clips for a point of a curve, fewer than are held to the marks; every point begins with the same noise."""
        assert self.model is not None
        if way not in self._heard:
            pairs = len(self.ear.config.styles) * len(self.ear.config.ensembles)
            recipe = generated(self.model, math.ceil(self.plan.curve_clips / pairs), self.plan.seed, way)
            self._heard[way] = self._gather(recipe)
        return self._heard[way]

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The judged set first, then the real ones, then the controls, made from more real clips."""
        if "marks" not in self.plan.sections:
            return []
        sets = [self.judged, self.real.test, self.real.train]
        music = self._real(2, self.plan.control_clips)
        sets += [self._gather(control(kind, music), "music") for kind in CONTROLS]
        return [judge(heard, self.real) for heard in _bar("marks", "set")(sets)]

    def curves(self) -> dict[str, list[Point]]:
        """The points of every section but the marks."""
        if self.model is None:
            return {}
        chosen = {section: ways for section, ways in self.plan.ways.items() if section in self.plan.sections}
        return {section: [self._point(way) for way in each] for section, each in chosen.items()}

    def _point(self, way: Way) -> Point:
        """The point of a way. Short clips are compared with real ones cut to the same length."""
        reference = Way(evaluations=max(self.plan.evaluations)) if way.length == 1 else Way()
        made, other, real = self.generated(way), self.generated(reference), self.real
        frames = made.clips.heard.shape[-1]
        if frames < self.frames:
            other, test, others = (self._cut(each, frames) for each in (other, real.test, real.others))
            real = replace(real, test=test, others=others)
        return point(way, made, other, real)

    def _cut(self, heard: Heard, frames: int) -> Heard:
        clips = heard.clips
        return self._hear(replace(clips, features=clips.features[..., :frames], heard=clips.heard[..., :frames]))

    def marks(self) -> list[Mark]:
        """All marks of what was measured."""
        marks: list[Mark] = []
        verdicts = self.verdicts
        if verdicts:
            marks += verdicts[0].marks
            marks += [refusal(each) for each in verdicts if each.name.startswith("control")]
        if self.model is not None:
            marks.append(brevity(Way()))
            if "evaluations" in self.plan.sections and {FEW, MANY} <= set(self.plan.evaluations):
                few, many = (self.generated(Way(evaluations=count)) for count in (FEW, MANY))
                marks += steadiness(few, many, self.real)
        return marks


def _bar(label: str, unit: str, leave: bool = True) -> Callable[..., Any]:
    from tqdm import tqdm

    return lambda items: tqdm(items, desc=label, unit=unit, leave=leave)

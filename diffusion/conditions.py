"""What is asked of one batch, as the network is told it, as its beliefs are guided, and as the result is finished."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from diffusion.audio.mel import MelParameters
from diffusion.checkpoint import Configuration
from diffusion.codecs import LogMel
from diffusion.corrections import CORRECTIONS, ENDING, ENDINGS, LEAST_S, RELEASE_S, Texture, ceiling, limited
from diffusion.data.labels import GUIDED
from diffusion.data.prior import draw
from diffusion.denoisers import GUIDANCE_RULES, Constrained, Guided, Interval
from diffusion.edits import (
    Continue,
    Inpaint,
    Inpainted,
    Rolled,
    Sectioned,
    Sources,
    Timeline,
    Transform,
    heard_pulse,
    needed,
    read_mask,
    shares,
    whole_beats,
)
from diffusion.edits.timeline import BAR_BEATS, FADE_S
from diffusion.request import Request
from diffusion.settings import ANY
from diffusion.theory import Cond, Denoiser, Stream, schedule_from, stream


@dataclass(frozen=True)
class SourcePart:
    """Features (*shape) of a source, where they are needed. Those in `keep`, which broadcasts to them, stay; None if
    none has to.
    """

    features: Tensor
    keep: Tensor | None


@dataclass(frozen=True)
class Conditions:
    """The requests of a batch, for one model.

    `known` has for each clip the index of each label, counted from 1, 0 for what is open: what was `chosen`, and what
    was `drawn` of the rest. `frames` is the length of the features. Of CORRECTIONS those named are made. `part` is what
    an edit takes of a source.
    """

    configuration: Configuration
    requests: Sequence[Request]
    frames: int
    chosen: Sequence[Mapping[str, int]]
    drawn: Sequence[Mapping[str, int]]
    corrections: frozenset[str] = frozenset(CORRECTIONS)
    part: SourcePart | None = None

    @classmethod
    def of(
        cls,
        configuration: Configuration,
        requests: Sequence[Request],
        frames: int,
        corrections: Collection[str] = CORRECTIONS.keys(),
        part: SourcePart | None = None,
    ) -> Conditions:
        """The labels of the requests, and what the seeds draw of those left open.

        Beside a source nothing is drawn: it has a key and a beat of its own. ValueError for an unknown correction.
        """
        for name in corrections:
            if name not in CORRECTIONS:
                raise ValueError(f"corrections: got {name!r}, allowed {', '.join(CORRECTIONS)}")
        values = {name: [ANY, *each] for name, each in configuration.labels.items()}
        chosen = [{name: values[name].index(each.label(name)) for name in values} for each in requests]
        drawn = [
            draw(configuration.prior, labels, each.own_seed) for labels, each in zip(chosen, requests, strict=True)
        ]
        if part is not None:
            drawn = [{} for _ in requests]
        return cls(configuration, requests, frames, chosen, drawn, frozenset(corrections), part)

    def of_parents(self) -> Conditions:
        """Those of the requests that these are forked from."""
        parents = [each.parent or each for each in self.requests]
        return Conditions.of(self.configuration, parents, self.frames, self.corrections, self.part)

    @property
    def seeds(self) -> list[int]:
        """Of each clip the seed that decides what is not its noise."""
        return [each.own_seed for each in self.requests]

    @cached_property
    def known(self) -> list[Mapping[str, int]]:
        return [{**labels, **more} for labels, more in zip(self.chosen, self.drawn, strict=True)]

    @property
    def drawn_words(self) -> list[dict[str, str]]:
        """What was drawn, in the words of the labels."""
        labels = self.configuration.labels
        return [{name: labels[name][index - 1] for name, index in each.items()} for each in self.drawn]

    def cond(self, device: torch.device | None = None) -> dict[str, Tensor]:
        """What the network is told of the clips, as `told` has it; the pulse of a loop has whole beats, and beside a
        source its beats are where they are heard there.
        """
        cond = told(self.configuration, self.known, self.seeds, device)
        if "pulse" in cond and self.looped:
            cond["pulse"][:, 0] = whole_beats(cond["pulse"][:, 0], self.frames)
        if "pulse" in cond and self.part is not None:
            cond["pulse"] = heard_pulse(cond["pulse"], self.part.features, self.part.keep)
        return cond

    @property
    def looped(self) -> bool:
        return "loop" in self.requests[0].edits

    def believing(self, denoiser: Denoiser, device: torch.device | None = None) -> tuple[Denoiser, Cond]:
        """The denoiser as `guide` has it, as the edits change it, and what it is told: rolled for a loop, blended along
        a timeline, and told what is kept.
        """
        guided, cond = self._along(Rolled(denoiser) if self.looped else denoiser, device)
        if self.part is not None and self.part.keep is not None:
            guided = Inpainted(guided, self.part.features, self.part.keep)
        return guided, cond

    def _along(self, denoiser: Denoiser, device: torch.device | None) -> tuple[Denoiser, Cond]:
        """The denoiser as `guide` has it, by section."""
        timeline = self.requests[0].edited.get("timeline")
        if not isinstance(timeline, Timeline):
            return self.guide(denoiser), self.cond(device)
        borders = [each.from_s * self._mel().frames_per_s for each in timeline.sections]
        sections = [self, *(self._with(each.labels) for each in timeline.sections)]
        conds = [each.cond(device) for each in sections]
        for border, before, cond in zip(borders, conds, conds[1:], strict=False):
            if "pulse" in cond:  # beats go on from where they are at the border
                cond["pulse"][:, 1] = before["pulse"][:, 1] + (before["pulse"][:, 0] - cond["pulse"][:, 0]) * border
        parts = [(each.guide(denoiser), cond) for each, cond in zip(sections, conds, strict=True)]
        fades = [_bar_s(each) * self._mel().frames_per_s for each in sections[1:]]
        return Sectioned(parts, shares(borders, fades, self.frames)), conds[0]

    def guide(self, denoiser: Denoiser) -> Denoiser:
        """The denoiser led away from the negatives, or from no label, and its beliefs kept where data can be.

        Guidance exaggerates the pulse together with any label: a beat, as a style, is only heard over seconds. It
        begins at the log-SNR `guidance_from`: how a clip moves as a whole is decided before, and stays free.
        """
        first = self.requests[0]
        labels = [guided_label(self.configuration, each) for each in self.requests]
        scales = {
            name: torch.tensor(
                [
                    each.guidance_scale if label == name else 1.0
                    for each, label in zip(self.requests, labels, strict=True)
                ],
                dtype=torch.float64,
            )
            for name in guidable(self.configuration)
            if name in labels
        }
        nearest = "negatives" in self.corrections and first.guidance_against == "negative"
        negatives = self._negatives() if nearest else {}
        guided = Guided(denoiser, scales, GUIDANCE_RULES[first.guidance_rule], also=("pulse",), negatives=negatives)
        return Constrained(Interval(guided, denoiser, (first.guidance_from, math.inf)), self.kept)

    def finish(self, features: Tensor, t: float) -> Tensor:
        """Features (B, *shape) that a last step from t has left, with the texture that a mean leaves out, and with what
        is kept of a source.
        """
        if "texture" in self.corrections and self.configuration.texture:
            level = schedule_from(self.configuration.schedule)(torch.tensor(t, dtype=torch.float64))
            features = self.kept(Texture(**self.configuration.texture).added(features, level, self.seeds))
        if self.part is None or self.part.keep is None:
            return features
        return torch.where(self.part.keep, self.part.features.to(features), features)

    def kept(self, features: Tensor) -> Tensor:
        """Features (B, *shape) brought to where such data can be: within the bounds, no moment too prominent."""
        if "bounds" in self.corrections:
            features = features.clamp(*self.configuration.features.bounds)
        if self.ceiling is not None:
            features = torch.minimum(features, self.ceiling.to(features))
        return features if self.prominence_db is None else limited(features, self.prominence_db, self._mel())

    @cached_property
    def ceiling(self) -> Tensor | None:
        """How high the features (B, 1, 1, frames) of music that ends may be; None where none does.

        Its last note is released from RELEASE_S to LEAST_S before its clip ends, as the seed has it.
        """
        ends = [each.get(ENDING) == 1 + ENDINGS.index("ends") for each in self.known]
        if "ending" not in self.corrections or self.looped or not any(ends):
            return None
        left_s = [
            stream(seed, Stream.ENDING).uniform(LEAST_S, RELEASE_S) if end else -math.inf
            for end, seed in zip(ends, self.seeds, strict=True)
        ]
        mel = self._mel()
        return ceiling(self.frames / mel.frames_per_s - torch.tensor(left_s), self.frames, mel)

    @cached_property
    def prominence_db(self) -> Tensor | None:
        """How far (B,) the loudest moment of each clip may stand out: as in the training music, drawn by the seed."""
        table = self.configuration.prominences
        if "prominence" not in self.corrections or not table:
            return None
        ensembles = [ANY, *self.configuration.told.get("ensemble", [])]
        found = []
        for each, seed in zip(self.known, self.seeds, strict=True):
            steps = table.get(ensembles[each.get("ensemble", 0)], table[ANY])
            probability = (np.arange(len(steps)) + 0.5) / len(steps)
            found.append(np.interp(stream(seed, Stream.PROMINENCE).random(), probability, steps))
        return torch.tensor(np.array(found))

    def _with(self, labels: Mapping[str, str]) -> Conditions:
        """The same clips where other labels hold; what was drawn of the rest stays."""
        values = {name: [ANY, *each] for name, each in self.configuration.labels.items()}
        others = {name: values[name].index(value) for name, value in labels.items()}
        return replace(
            self,
            requests=[each.changed(**labels) for each in self.requests],
            chosen=[{**each, **others} for each in self.chosen],
            drawn=[{name: index for name, index in each.items() if name not in others} for each in self.drawn],
        )

    def _negatives(self) -> dict[str, Tensor]:
        """For each label that has negatives the index (values + 1,) of each value's, 0 ("any") where it has none."""
        labels = self.configuration.labels
        return {
            name: torch.tensor(
                [0, *(1 + labels[name].index(pairs[value]) if value in pairs else 0 for value in labels[name])]
            )
            for name, pairs in self.configuration.negatives.items()
        }

    def _mel(self) -> MelParameters:
        codec = self.configuration.features
        assert isinstance(codec, LogMel), "only music ends, and only music has loud moments"
        return codec.mel


def part_of(
    configuration: Configuration,
    request: Request,
    frames: int,
    sources: Sources = (),
    device: torch.device | None = None,
) -> SourcePart | None:
    """What a request's edit takes of its source for a clip of `frames`; None where no edit begins from one.

    ValueError for a source that is missing, shorter than what is needed of it, or not made of such features.
    """
    edit = next((each for each in request.edited.values() if isinstance(each, (Inpaint, Continue, Transform))), None)
    if edit is None:
        return None
    codec = configuration.features
    shape = codec.shape(frames)
    source = needed(edit.source, edit.source_s, sources)
    kept = codec.mel.frames_of(edit.keep_s) if isinstance(edit, Continue) and isinstance(codec, LogMel) else frames
    found = source.features.shape
    if found[:-1] != shape[:-1] or not kept <= min(found[-1], frames):
        raise ValueError(
            f"edits: got the source {edit.source} of shape {found}, need {kept} of its frames for a clip of {shape}"
        )
    features = torch.from_numpy(source.features).to(device)
    if isinstance(edit, Transform):
        return SourcePart(features[..., :frames], None)
    if isinstance(edit, Continue):
        known = torch.zeros(shape, device=device)
        known[..., :kept] = features[..., -kept:]
        return SourcePart(known, torch.arange(frames, device=device) < kept)
    mask = torch.from_numpy(read_mask(edit.mask)).to(device)
    if mask.shape != shape[-2:]:
        raise ValueError(f"edits: inpaint: mask: got one of {tuple(mask.shape)}, need {shape[-2:]} bands and frames")
    return SourcePart(features[..., :frames], ~mask)


def told(
    configuration: Configuration,
    known: Sequence[Mapping[str, int]],
    seeds: Sequence[int],
    device: torch.device | None = None,
) -> dict[str, Tensor]:
    """What the network is told of B clips: the index (B,) of each label, 0 where it is not `known`.

    A network that hears the pulse is told it too, (B, 2): as many beats a frame as the label says, exactly, begun where
    the seed has it, or 0 where the label is open.
    """
    cond = {name: torch.tensor([each.get(name, 0) for each in known], device=device) for name in configuration.told}
    if configuration.network.get("pulse"):
        codec = configuration.features
        assert isinstance(codec, LogMel), "only music has a pulse"
        beats = [0.0, *map(float, configuration.labels["beat"])]
        rates = [beats[each.get("beat", 0)] / 60 / codec.frames_per_s for each in known]
        phases = [stream(seed, Stream.PULSE).random() for seed in seeds]
        cond["pulse"] = torch.tensor([*zip(rates, phases, strict=True)], dtype=torch.float32, device=device)
    return cond


def _bar_s(conditions: Conditions) -> float:
    """How long one bar of the clips is, or FADE_S where no beat is known."""
    beats = [ANY, *conditions.configuration.labels.get("beat", ())]
    beat = beats[conditions.known[0].get("beat", 0)]
    return FADE_S if beat == ANY else BAR_BEATS * 60 / float(beat)


def guidable(configuration: Configuration) -> tuple[str, ...]:
    """The labels that guidance may exaggerate: those of GUIDED that the model has, or else all that it is told."""
    own = tuple(name for name in GUIDED if name in configuration.labels)
    return own or tuple(configuration.told)


def guided_label(configuration: Configuration, request: Request) -> str | None:
    """The label that guidance exaggerates, or None where there is none to or the scale is 1: then it is free."""
    if request.guidance_scale == 1:
        return None
    return next((name for name in guidable(configuration) if request.label(name) != ANY), None)

"""A trained denoiser or vocoder in a folder: weights in safetensors, the rest in JSON; nothing that executes."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from diffusion.audio.crest import limited
from diffusion.audio.ending import ENDING, ENDINGS, LEAST_S, RELEASE_S, ceiling
from diffusion.audio.mel import MelParameters
from diffusion.audio.texture import Texture
from diffusion.audio.vocoder import Vocoder
from diffusion.denoisers import PREDICTIONS, Constrained, Guided, Interval, Network, NetworkDenoiser, Rule
from diffusion.networks import NETWORKS
from diffusion.theory import SCHEDULES, Denoiser, schedule_from

FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
REMOVED = "removed.json"


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or not one of ours; the message says which file and why."""


@dataclass(frozen=True)
class Configuration:
    """What a network is, what its output means and what it was trained on.

    `network` and `schedule` hold the `name` in the catalogue and the arguments; `labels` the values of each label, in
    the order of their indices from 1; `frames` the length of a clip; `codec` the settings of the features; `prior` how
    often values go together, for labels that are left open (`diffusion.data.prior`); `foils` {label: {value: the other
    value that is most easily taken for it}}, from which guidance leads away; `crests` {ensemble: how far in dB the
    loudest moments of its clips stand out, in even steps of probability}, of all clips under "any"; `texture` how the
    music varies beyond what can be foretold (`diffusion.audio.texture`).
    """

    network: dict[str, Any]
    schedule: dict[str, Any]
    prediction: str
    labels: dict[str, list[str]]
    frames: int
    codec: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    prior: list[dict[str, Any]] = field(default_factory=list)
    foils: dict[str, dict[str, str]] = field(default_factory=dict)
    crests: dict[str, list[float]] = field(default_factory=dict)
    texture: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format: got {self.format!r}, this version reads {FORMAT}")
        _check_prior(self.prior, self.labels)
        _check_foils(self.foils, self.told)
        _check_crests(self.crests, self.told.get("ensemble", []))
        _check_texture(self.texture)
        _check_name("network", self.network, NETWORKS)
        _check_name("schedule", self.schedule, SCHEDULES)
        if self.prediction not in PREDICTIONS:
            raise ValueError(f"prediction: got {self.prediction!r}, allowed {', '.join(PREDICTIONS)}")
        if ENDING in self.labels and tuple(self.labels[ENDING]) != ENDINGS:
            raise ValueError(f"labels: got the endings {self.labels[ENDING]}, need {', '.join(ENDINGS)}")
        beats = self.labels.get("beat", [])
        if self.network.get("pulse") and not (beats and all(re.fullmatch(r"\d+(\.\d+)?", each) for each in beats)):
            raise ValueError(f"labels: got the beats {beats}, but a network that hears the pulse needs beats a minute")
        if not isinstance(self.frames, int) or self.frames < 1:
            raise ValueError(f"frames: got {self.frames!r}, need a positive whole number")

    @property
    def told(self) -> dict[str, list[str]]:
        """The labels that the network is told: all but the ending, which `bounds` take care of."""
        return {name: values for name, values in self.labels.items() if name != ENDING}

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        arguments = {name: value for name, value in self.network.items() if name != "name"}
        counts = {name: len(values) for name, values in self.told.items()}
        return NETWORKS[self.network["name"]](labels=counts, **arguments)

    def cond(self, known: Sequence[Mapping[str, int]], seeds: Sequence[int], device: Any = None) -> dict[str, Tensor]:
        """What the network is told of B clips: the index (B,) of each label, 0 where it is not `known`.

        A network that hears the pulse is told it too, (B, 2): as many beats as the label says, exactly, begun where the
        seed has it, or 0 where the label is open.
        """
        cond = {name: torch.tensor([each.get(name, 0) for each in known], device=device) for name in self.told}
        if self.network.get("pulse"):
            frames_per_s = self.codec["sample_rate_hz"] / self.codec["hop_size"]
            beats = [0.0, *map(float, self.labels["beat"])]
            rates = [beats[each.get("beat", 0)] / 60 / frames_per_s for each in known]
            phases = [np.random.default_rng((seed, 2)).random() for seed in seeds]
            cond["pulse"] = torch.tensor([*zip(rates, phases, strict=True)], dtype=torch.float32, device=device)
        return cond

    def bounds(
        self, known: Sequence[Mapping[str, int]], seeds: Sequence[int], frames: int
    ) -> tuple[float, float | Tensor]:
        """Between what x0 (B, C, bands, frames) must lie: what features can be and, where music ends, what rooms leave.

        The last note of music that ends is released from RELEASE_S to LEAST_S before its clip does, as the seed has it.
        """
        mel = MelParameters(**self.codec)
        low, high = mel.bounds
        ends = [each.get(ENDING) == 1 + ENDINGS.index("ends") for each in known]
        if not any(ends):
            return low, high
        left_s = [
            np.random.default_rng((seed, 3)).uniform(LEAST_S, RELEASE_S) if end else -math.inf
            for end, seed in zip(ends, seeds, strict=True)
        ]
        return low, ceiling(frames / mel.frames_per_s - torch.tensor(left_s), frames, mel)

    def crest_db(self, known: Sequence[Mapping[str, int]], seeds: Sequence[int]) -> Tensor:
        """How far (B,) the loudest moment of each clip may stand out: as in the training music, drawn by the seed."""
        ensembles = ["any", *self.told.get("ensemble", [])]
        crests = []
        for each, seed in zip(known, seeds, strict=True):
            steps = self.crests.get(ensembles[each.get("ensemble", 0)], self.crests["any"])
            probability = (np.arange(len(steps)) + 0.5) / len(steps)
            crests.append(np.interp(np.random.default_rng((seed, 4)).random(), probability, steps))
        return torch.tensor(np.array(crests))

    def foil_indices(self) -> dict[str, Tensor]:
        """For each label that has foils the index (values + 1,) of each value's, 0 ("any") where it has none."""
        return {
            name: torch.tensor([0, *(self._index(name, foils.get(value)) for value in self.labels[name])])
            for name, foils in self.foils.items()
        }

    def _index(self, label: str, value: str | None) -> int:
        return 0 if value is None else 1 + self.labels[label].index(value)

    def guided(
        self,
        denoiser: Denoiser,
        scale: Tensor | Mapping[str, Tensor],
        rule: Rule,
        guidance_from: float,
        known: Sequence[Mapping[str, int]],
        seeds: Sequence[int],
        frames: int,
    ) -> Denoiser:
        """A denoiser as music of these labels and seeds is made with it: led away from the foils, kept where music is.

        Guidance exaggerates the pulse together with any label: a beat, as a style, is only heard over seconds. It
        counts from log-SNR `guidance_from` on: how a clip moves as a whole, which is decided before, stays free.
        """
        guided = Guided(denoiser, scale, rule, also=("pulse",), foils=self.foil_indices())
        return Constrained(Interval(guided, denoiser, (guidance_from, math.inf)), self.kept(known, seeds, frames))

    def finished(self, features: Tensor, t: float, known: Sequence[Mapping[str, int]], seeds: Sequence[int]) -> Tensor:
        """Music (B, 1, bands, frames) that a last step from t has left, with the texture that a mean leaves out."""
        if not self.texture:
            return features
        level = schedule_from(self.schedule)(torch.tensor(t, dtype=torch.float64))
        textured = Texture(**self.texture).added(features, level, seeds)
        return self.kept(known, seeds, features.shape[-1])(textured)

    def kept(self, known: Sequence[Mapping[str, int]], seeds: Sequence[int], frames: int) -> Callable[[Tensor], Tensor]:
        """What brings features (B, 1, bands, frames) to where such music is.

        That is within `bounds`, and no moment further out than `crest_db`.
        """
        bounds = self.bounds(known, seeds, frames)
        crest_db = self.crest_db(known, seeds) if self.crests else None
        mel = MelParameters(**self.codec)

        def keep(features: Tensor) -> Tensor:
            low, high = (torch.as_tensor(bound).to(features) for bound in bounds)
            inside = features.clamp(low, high)
            return inside if crest_db is None else limited(inside, crest_db, mel)

        return keep

    def denoiser(self, network: Network) -> NetworkDenoiser:
        return NetworkDenoiser(network, schedule_from(self.schedule), self.prediction)


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint. `digest` names its weights and configuration, 12 hexadecimal digits."""

    configuration: Configuration
    network: nn.Module
    digest: str

    @property
    def denoiser(self) -> NetworkDenoiser:
        return self.configuration.denoiser(self.network)


@dataclass(frozen=True)
class VocoderConfiguration:
    """What a vocoder is: the arguments of `Vocoder`, and the settings of the features that it decodes."""

    vocoder: dict[str, Any]
    codec: dict[str, Any]
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format: got {self.format!r}, this version reads {FORMAT}")
        _ = self.mel  # refuses settings that it does not know

    @property
    def mel(self) -> MelParameters:
        return MelParameters(**self.codec)

    def build(self) -> Vocoder:
        """The network with fresh weights."""
        return Vocoder(self.mel, **self.vocoder)


def save(
    folder: Path, configuration: Configuration | VocoderConfiguration, weights: dict[str, Tensor], dtype: torch.dtype
) -> None:
    """Write the folder, each file whole or not at all. Weights are stored in `dtype`."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in weights.items()}
    partial = folder / f".{WEIGHTS}"
    save_file(tensors, partial)
    partial.replace(folder / WEIGHTS)
    partial = folder / f".{CONFIG}"
    partial.write_text(json.dumps(asdict(configuration), indent=2) + "\n")
    partial.replace(folder / CONFIG)


def load(folder: Path, device: torch.device | None = None) -> Checkpoint:
    """Read a denoiser's folder onto a device, in float32.

    CheckpointError if a file is missing, truncated, not ours, of unknown settings, or if weights and settings differ.
    """
    folder = Path(folder)
    settings = _read_settings(folder)
    try:
        configuration = Configuration(**settings)
        network = configuration.build()
        configuration.denoiser(network)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {folder / CONFIG}: {error}") from error
    digest = _read_weights(folder, network)
    return Checkpoint(configuration, network.to(device or "cpu").eval().requires_grad_(False), digest)


def load_vocoder(folder: Path, device: torch.device | None = None) -> Vocoder:
    """Read a vocoder's folder onto a device, in float32; CheckpointError as for `load`."""
    folder = Path(folder)
    configuration = _read_vocoder(folder)
    try:
        vocoder = configuration.build()
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {folder / CONFIG}: {error}") from error
    _read_weights(folder, vocoder)
    return vocoder.to(device or "cpu").eval().requires_grad_(False)


def find_vocoder(folder: Path, mel: MelParameters) -> Path | None:
    """The first vocoder in `folder` that decodes such features, if there is one."""
    fitting = (each for each in find(folder, VocoderConfiguration) if _read_vocoder(each).mel == mel)
    return next(fitting, None)


def digest_of(folder: Path) -> str:
    """12 hexadecimal digits that name the weights and the settings in a folder."""
    return hashlib.sha256((folder / CONFIG).read_bytes() + (folder / WEIGHTS).read_bytes()).hexdigest()[:12]


def find(folder: Path, kind: type[Configuration] | type[VocoderConfiguration]) -> list[Path]:
    """The folders in `folder` whose settings are of that kind, by name; which ones they are tells their first field."""
    field_name = fields(kind)[0].name
    found = sorted(path.parent for path in Path(folder).glob(f"*/{CONFIG}"))
    return [each for each in found if field_name in _read_settings(each)]


@dataclass(frozen=True)
class Removed:
    """A model that was here: what it was called, and the one that took its place."""

    name: str
    replaced_by: str


def removed(folder: Path) -> dict[str, Removed]:
    """The models that were removed from `folder`, by digest, as its file REMOVED has them; none without one.

    CheckpointError for a file that is not {digest: {"name": ..., "replaced_by": ...}}.
    """
    path = Path(folder) / REMOVED
    if not path.is_file():
        return {}
    try:
        return {digest: Removed(**model) for digest, model in json.loads(path.read_bytes()).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {path}: {error}") from error


def _read_settings(folder: Path) -> dict[str, Any]:
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"checkpoint {folder}: no file {name}; a checkpoint is a folder with {CONFIG} and {WEIGHTS}"
            )
    try:
        settings = json.loads((folder / CONFIG).read_bytes())
    except ValueError as error:
        raise CheckpointError(f"checkpoint {folder / CONFIG}: {error}") from error
    if not isinstance(settings, dict):
        raise CheckpointError(f"checkpoint {folder / CONFIG}: need a JSON object")
    return settings


def _read_vocoder(folder: Path) -> VocoderConfiguration:
    settings = _read_settings(folder)
    try:
        return VocoderConfiguration(**settings)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {folder / CONFIG}: {error}") from error


def _read_weights(folder: Path, network: nn.Module) -> str:
    """Fill the network with the weights of a folder, and return the folder's digest."""
    try:
        weights = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"checkpoint {folder / WEIGHTS}: truncated or not safetensors ({error})") from error
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if expected != found:
        differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        name = differing[0]
        raise CheckpointError(
            f"checkpoint {folder / WEIGHTS}: does not fit {CONFIG} in {len(differing)} tensors, the first {name}: "
            f"got {found.get(name, 'none')}, need {expected.get(name, 'none')}"
        )
    if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
        raise CheckpointError(f"checkpoint {folder / WEIGHTS}: holds values that are not finite")
    network.load_state_dict(weights)
    return digest_of(folder)


def _check_name(field_name: str, value: dict[str, Any], catalogue: dict[str, Any]) -> None:
    if not isinstance(value, dict) or value.get("name") not in catalogue:
        raise ValueError(f"{field_name}: got {value!r}, need a name among {', '.join(catalogue)}")


def _check_prior(prior: list[dict[str, Any]], labels: dict[str, list[str]]) -> None:
    if not isinstance(prior, list):
        raise ValueError(f"prior: got {prior!r}, need a list of labels and counts")
    for group in prior:
        try:
            wanted, counts = tuple(len(labels[name]) for name in group["labels"]), torch.tensor(group["counts"])
            fits = tuple(counts.shape) == wanted and bool((counts >= 0).all())
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"prior: got {str(group)[:80]}, need labels of this model, and counts ({error})"
            ) from error
        if not fits:
            raise ValueError(f"prior: counts of {', '.join(group['labels'])} do not fit their {wanted} values")


def _check_crests(crests: dict[str, list[float]], ensembles: list[str]) -> None:
    if not isinstance(crests, dict) or (crests and not {"any"} <= crests.keys() <= {"any", *ensembles}):
        raise ValueError(f"crests: got {str(crests)[:80]}, need an object with any, allowed {', '.join(ensembles)} too")
    for ensemble, steps in crests.items():
        numbers = isinstance(steps, list) and all(map(_is_number, steps))
        if not (numbers and steps and steps[0] >= 0 and steps == sorted(steps)):
            raise ValueError(f"crests: got {str(steps)[:80]} for {ensemble}, need dB from 0 up, in order")


def _check_texture(texture: dict[str, Any]) -> None:
    if texture == {}:
        return
    names = {each.name for each in fields(Texture)}
    if not isinstance(texture, dict) or texture.keys() != names:
        raise ValueError(f"texture: got {str(texture)[:80]}, need an object with {', '.join(sorted(names))}")
    if not _is_number(texture["deviation"]) or texture["deviation"] < 0:
        raise ValueError(f"texture: got the deviation {texture['deviation']!r}, need a number from 0 up")
    for name in ("frames", "bands"):
        values = texture[name]
        if not (isinstance(values, list) and all(map(_is_number, values)) and values[:1] == [1]):
            raise ValueError(f"texture: got {str(values)[:80]} for {name}, need correlations, the first of them 1")
        if max(map(abs, values)) > 1:
            raise ValueError(f"texture: got {max(values, key=abs)} for {name}, allowed correlations from -1 to 1")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _check_foils(foils: dict[str, dict[str, str]], labels: dict[str, list[str]]) -> None:
    if not isinstance(foils, dict):
        raise ValueError(f"foils: got {foils!r}, need an object")
    for label, pairs in foils.items():
        if label not in labels or not isinstance(pairs, dict):
            raise ValueError(f"foils: got {label}: {pairs!r}, need labels of this model with an object each")
        for value, foil in pairs.items():
            if value == foil or not {value, foil} <= set(labels[label]):
                raise ValueError(
                    f"foils: got {foil!r} for {label} {value!r}, allowed another of {', '.join(labels[label])}"
                )

"""A trained denoiser or vocoder in a folder: weights in safetensors, the rest in JSON; nothing that executes."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from diffusion.audio.mel import MelParameters
from diffusion.audio.vocoder import Vocoder
from diffusion.codecs import Codec, codec_from
from diffusion.corrections import ENDING, ENDINGS, Texture
from diffusion.denoisers import PREDICTIONS, Network, NetworkDenoiser
from diffusion.files import write_text, written
from diffusion.networks import NETWORKS
from diffusion.theory import SCHEDULES, schedule_from

CHECKPOINTS = Path(__file__).resolve().parent.parent / "checkpoints"
"""The folder of what ships."""
FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
REMOVED = "removed.json"
RENAMED = {"foils": "negatives", "crests": "prominences"}
"""What files of older versions call two fields of a configuration."""


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or not one of ours; the message says which file and why."""


@dataclass(frozen=True)
class Configuration:
    """What a network is, what its output means and what it was trained on.

    `network` and `schedule` hold the `name` in the catalogue and the arguments, `codec` those of what the features
    stand for (`diffusion.codecs`). `labels` has the values of each label, in the order of their indices from 1, and
    `frames` is the length of a clip in training.

    The rest is what was measured on the training music: `prior` how often values go together, for labels that are left
    open (`diffusion.data.prior`); `negatives` {label: {value: the other value most easily confused with it}}, from
    which guidance leads away; `prominences` {ensemble: how far in dB the loudest moments of its clips stand out, in
    even steps of probability}, of all clips under "any"; `texture` how the music varies beyond what can be predicted
    (`diffusion.corrections.texture`).
    """

    network: dict[str, Any]
    schedule: dict[str, Any]
    prediction: str
    labels: dict[str, list[str]]
    frames: int
    codec: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    prior: list[dict[str, Any]] = field(default_factory=list)
    negatives: dict[str, dict[str, str]] = field(default_factory=dict)
    prominences: dict[str, list[float]] = field(default_factory=dict)
    texture: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format: got {self.format!r}, this version reads {FORMAT}")
        _check_labels(self.labels)
        _check_prior(self.prior, self.labels)
        _check_negatives(self.negatives, self.told)
        _check_prominences(self.prominences, self.told.get("ensemble", []))
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
        of_music = [self.prominences, self.texture, self.labels.get(ENDING), self.network.get("pulse")]
        if any(of_music) and self.features.medium != "sound":
            raise ValueError(
                f"codec: got one for {self.features.medium}, but prominences, texture, ending and pulse are of music"
            )
        if not isinstance(self.frames, int) or self.frames < 1:
            raise ValueError(f"frames: got {self.frames!r}, need a positive whole number")

    @property
    def told(self) -> dict[str, list[str]]:
        """The labels that the network is told: all but the ending, which is a correction's business."""
        return {name: values for name, values in self.labels.items() if name != ENDING}

    @property
    def features(self) -> Codec:
        """What the features stand for."""
        return codec_from(self.codec)

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        arguments = {name: value for name, value in self.network.items() if name != "name"}
        counts = {name: len(values) for name, values in self.told.items()}
        return NETWORKS[self.network["name"]](labels=counts, **arguments)

    def denoiser(self, network: Network) -> NetworkDenoiser:
        """The network with what its output means."""
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
    with written(folder / WEIGHTS) as partial:
        save_file(tensors, partial)
    write_text(folder / CONFIG, json.dumps(asdict(configuration), indent=2) + "\n")


def load(folder: Path, device: torch.device | None = None) -> Checkpoint:
    """Read a denoiser's folder onto a device, in float32.

    CheckpointError if a file is missing, truncated, not ours, of unknown settings, or if weights and settings differ.
    """
    folder = Path(folder)
    settings = _read_settings(folder)
    try:
        configuration = Configuration(**{RENAMED.get(name, name): value for name, value in settings.items()})
        _ = configuration.features  # refuses settings that it does not know
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


def find_checkpoint(folder: Path = CHECKPOINTS) -> Path:
    """The one denoiser's checkpoint in `folder`; ValueError if there is none or a choice to make."""
    found = find(folder, Configuration)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ValueError(f"checkpoint: found {names} in {folder}, need exactly one; name a folder with --checkpoint")
    return found[0]


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
    except PermissionError as error:
        raise CheckpointError(f"checkpoint {folder / WEIGHTS}: may not be read by this user") from error
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


def _check_labels(labels: dict[str, list[str]]) -> None:
    for name in labels:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(f"labels: got the name {name!r}, need lower-case letters, digits and underscores")


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


def _check_prominences(prominences: dict[str, list[float]], ensembles: list[str]) -> None:
    if not isinstance(prominences, dict) or (prominences and not {"any"} <= prominences.keys() <= {"any", *ensembles}):
        raise ValueError(
            f"prominences: got {str(prominences)[:80]}, need an object with any, allowed {', '.join(ensembles)} too"
        )
    for ensemble, steps in prominences.items():
        numbers = isinstance(steps, list) and all(map(_is_number, steps))
        if not (numbers and steps and steps[0] >= 0 and steps == sorted(steps)):
            raise ValueError(f"prominences: got {str(steps)[:80]} for {ensemble}, need dB from 0 up, in order")


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


def _check_negatives(negatives: dict[str, dict[str, str]], labels: dict[str, list[str]]) -> None:
    if not isinstance(negatives, dict):
        raise ValueError(f"negatives: got {negatives!r}, need an object")
    for label, pairs in negatives.items():
        if label not in labels or not isinstance(pairs, dict):
            raise ValueError(f"negatives: got {label}: {pairs!r}, need labels of this model with an object each")
        for value, negative in pairs.items():
            if value == negative or not {value, negative} <= set(labels[label]):
                raise ValueError(
                    f"negatives: got {negative!r} for {label} {value!r}, allowed another of {', '.join(labels[label])}"
                )

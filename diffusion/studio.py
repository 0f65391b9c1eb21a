"""From a request to a clip: one loaded model that many visitors share, and nothing of the page."""

from __future__ import annotations

import copy
import hashlib
import logging
import math
import re
import secrets
import threading
import time
import tomllib
import unicodedata
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

import numpy as np
import torch
from torch import Tensor

from diffusion import checkpoint
from diffusion.audio.codec import Decoder, LogMelCodec, MelParameters
from diffusion.audio.ending import ENDING
from diffusion.audio.griffin_lim import GriffinLim
from diffusion.audio.loudness import clip_gain, finish
from diffusion.audio.wav import to_bytes
from diffusion.data.labels import GUIDED, KEYS
from diffusion.data.prior import draw
from diffusion.denoisers import GUIDANCE_RULES, LEARNED_VARIANCES
from diffusion.networks.compiled import compile_ahead
from diffusion.networks.precision import fast_dtype
from diffusion.samplers import SAMPLERS, Sampler
from diffusion.theory import GRIDS, LOG_SNR_RANGE, STEPPED_GRIDS, Cond, Denoiser, Estimate, Schedule, SeededNoise, Step

_log = logging.getLogger(__name__)
CHECKPOINTS = Path(__file__).resolve().parent.parent / "checkpoints"
ANY = "any"
LATER = ("mode", "tempo", "key", "beat", ENDING)  # than the first files and links, which do not say them
LABELS = ("style", "ensemble", *LATER)  # of a request; a model that lacks one of LATER knows only "any"
UNSAID: dict[str, Any] = {
    "grid": "uniform",
    "guidance_rule": "plain",
    "guidance_from": LOG_SNR_RANGE[0],
}  # what files and links mean that do not say it
SEEDS = 2**32
DRAWN = -1  # stands for a seed that is drawn
SEED_DIGITS = 20  # no seed has more, nor is read if it does
MEL_TOLERANCE_DB = 0.5  # mean over a spectrogram; bf16 against float32 on a CPU measures 0.1, another seed 5 to 16
# What all clips of a batch have in common.
SHARED = ("sampler", "knobs", "steps", "grid", "guidance_rule", "guidance_from", "duration_s")
RESULT_KEYS = ("drawn", "evaluations", "stopped_at", "version")  # what settings say beyond the request
RANGES: dict[str, tuple[float, float]] = {
    "steps": (1, 1000),
    "guidance_scale": (1.0, 15.0),
    "guidance_from": LOG_SNR_RANGE,
    "seed": (0, SEEDS - 1),
    "duration_s": (2.56, 40.96),
}
HELP = {
    "style": "What kind of music to compose.",
    "ensemble": "Who plays it.",
    "mode": "Major is bright, minor dark.",
    "tempo": "How quickly one note follows another.",
    "key": "The note that the music comes home to.",
    "beat": "Beats a minute; twice or half as many count as the same.",
    "ending": "Whether the music comes to its end within the clip.",
    "sampler": "The method that walks from noise to music.",
    "steps": "How often the model looks; each look takes as long.",
    "grid": "Where the steps lie between noise and music.",
    "guidance_scale": "How strictly to follow style and beat: 1 leaves the model free, more is clearer, less varied.",
    "guidance_rule": "What guidance makes more of.",
    "guidance_from": "From which log-SNR on guidance counts: −15 is from the first step, later leaves form more free.",
    "seed": "A number or any word, such as your name: the same seed and settings give the same clip.",
    "duration_s": "How long the clip is, in seconds; a longer one takes longer to compose.",
    "decoder": "What turns the picture into sound.",
}
DECODERS = {  # title and summary; the first that fits the model is the default
    "vocoder": ("Vocoder", "A small network that has learned how instruments sound; quick and clear."),
    "griffin-lim": ("Griffin-Lim", "Nothing learned: phases are guessed until they agree; slower, with a haze."),
}
PRESETS: dict[str, dict[str, Any]] = {
    "Instant": {"sampler": "unipc", "steps": 8},
    "Balanced": {"sampler": "unipc", "steps": 20},
    "Full": {"sampler": "ddpm", "steps": 200},
    "2020": {"sampler": "ddpm", "steps": 1000, "grid": "uniform"},
}


def draw_seed() -> int:
    """A seed that nobody has chosen."""
    return secrets.randbelow(SEEDS)


def seed_of(text: str) -> int:
    """The seed that a text names: a whole number is itself, any other text the start of its SHA-256, for ever the same.

    Case, surrounding space and the way that accents are stored make no difference; an empty text is DRAWN.

    >>> seed_of("42"), seed_of("Ada"), seed_of(" ADA "), seed_of("")
    (42, 4260250381, 4260250381, -1)
    """
    word = unicodedata.normalize("NFC", text).strip().casefold()
    if not word:
        return DRAWN
    if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", word):
        return int.from_bytes(hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()[:4])
    whole, _, fraction = word.partition(".")
    if fraction.strip("0") or len(whole) > SEED_DIGITS:
        raise ValueError(f"seed: got {_cut(word)}, allowed a whole number from 0 to {SEEDS - 1}, or a word")
    return int(whole)


def find_checkpoint(folder: Path = CHECKPOINTS) -> Path:
    """The one denoiser's checkpoint in `folder`; ValueError if there is none or a choice to make."""
    found = checkpoint.find(folder, checkpoint.Configuration)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ValueError(f"checkpoint: found {names} in {folder}, need exactly one; name a folder with --checkpoint")
    return found[0]


@dataclass(frozen=True)
class Request:
    """Everything that decides a clip. `knobs` are those of the sampler, completed with their defaults.

    `model` is the digest of a checkpoint, or empty for whichever is loaded, `decoder` one of DECODERS, or empty for the
    best that the model has. Labels and the grid of durations belong to a checkpoint, so `Studio.check` looks at them;
    everything else is checked here.
    """

    style: str
    ensemble: str
    seed: int
    sampler: str = "unipc"
    steps: int = 20
    guidance_scale: float = 1.8
    duration_s: float = 10.24
    decoder: str = ""
    knobs: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    mode: str = ANY
    tempo: str = ANY
    key: str = ANY
    beat: str = ANY
    ending: str = ANY
    grid: str = "leap"
    guidance_rule: str = "moving"
    guidance_from: float = -4.5

    def __post_init__(self) -> None:
        for name in (*LABELS, "model"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name}: got {getattr(self, name)!r}, need a word")
        if not isinstance(self.sampler, str) or self.sampler not in SAMPLERS:
            raise ValueError(f"sampler: got {self.sampler!r}, allowed {', '.join(SAMPLERS)}")
        if self.grid not in STEPPED_GRIDS:
            raise ValueError(f"grid: got {self.grid!r}, allowed {', '.join(STEPPED_GRIDS)}")
        if not isinstance(self.guidance_rule, str) or self.guidance_rule not in GUIDANCE_RULES:
            raise ValueError(f"guidance_rule: got {self.guidance_rule!r}, allowed {', '.join(GUIDANCE_RULES)}")
        if self.decoder not in ("", *DECODERS):
            raise ValueError(f"decoder: got {self.decoder!r}, allowed {', '.join(DECODERS)}")
        for name, allowed in RANGES.items():
            number = _number(name, getattr(self, name), allowed, whole=name in ("steps", "seed"))
            object.__setattr__(self, name, number)
        object.__setattr__(self, "knobs", _complete_knobs(self.sampler, self.knobs))

    @property
    def method(self) -> Sampler:
        """The sampler with its knobs set."""
        return replace(SAMPLERS[self.sampler], **self.knobs)

    def to_dict(self) -> dict[str, Any]:
        """JSON values, without those of LATER that are left open: the links and files of older models stay the same."""
        return {name: value for name, value in asdict(self).items() if name not in LATER or value != ANY}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Request:
        """The request in the settings of a clip or in `to_dict`; ValueError for any other key."""
        names = [each.name for each in fields(cls)]
        for name in settings:
            if name not in names and name not in RESULT_KEYS:
                raise ValueError(f"{name}: got {settings[name]!r}, but the settings are {', '.join(names)}")
        for name in ("style", "ensemble", "seed"):
            if name not in settings:
                raise ValueError(f"{name}: got nothing, need a value")
        return cls(**UNSAID | {name: settings[name] for name in names if name in settings})

    def to_query(self) -> str:
        """A URL query, knobs beside the rest."""
        values = self.to_dict()
        knobs = values.pop("knobs")
        return urlencode({**values, **knobs})

    @classmethod
    def from_query(cls, query: str) -> Request:
        """Inverts `to_query`; a key that is no setting must be a knob of the sampler."""
        settings: dict[str, Any] = {}
        knobs: dict[str, Any] = {}
        for name, text in parse_qsl(query, keep_blank_values=True):
            if name in (*LABELS, "sampler", "grid", "guidance_rule", "decoder", "model"):
                settings[name] = text
            elif name == "seed":
                settings[name] = seed_of(text)
            else:
                (settings if name in RANGES else knobs)[name] = _parse(text)
        return cls.from_dict({**settings, "knobs": knobs})


@dataclass(frozen=True)
class Preview:
    """One step of a run: the numbers of `Step`, and the first clip's state and belief as features (bands, F).

    `x0` is None for the initial noise.
    """

    index: int
    total: int
    t: float
    log_snr: float
    alpha: float
    sigma: float
    evaluations: int
    seconds: float
    x: np.ndarray
    x0: np.ndarray | None


@dataclass(frozen=True)
class Clip:
    """A finished clip: wave (N,) float32, features (bands, F), the settings that make it again, and the time it took.

    `settings` hold the whole request with every label that the model has, what was `drawn` of those left open, the
    evaluations, the version and, if it was stopped, the last step it took.
    They leave out the time, so that the same request gives the same file. `gain` is what the decoded wave was
    amplified by, so that beliefs can be heard as loud as they are beside the clip.
    """

    wave: np.ndarray
    features: np.ndarray
    sample_rate_hz: int
    settings: dict[str, Any]
    seconds: float
    gain: float

    @property
    def request(self) -> Request:
        return Request.from_dict(self.settings)

    def to_wav(self) -> bytes:
        """A WAV file with the settings inside."""
        return to_bytes(self.wave, self.sample_rate_hz, self.settings)


class Stop(Protocol):
    """What ends a run when it is set, such as `threading.Event`."""

    def is_set(self) -> bool: ...


class Studio:
    """A loaded checkpoint. Any number of runs may be under way, in any threads; none holds state here."""

    def __init__(self, folder: Path, device: str = "auto", dtype: torch.dtype | None = None) -> None:
        """Load `folder`; matrices are multiplied in `dtype`, by default the device's fastest.

        A clip differs between devices and formats by less than MEL_TOLERANCE_DB. CheckpointError if the folder does
        not hold a model, ValueError for a device that is not there.
        """
        if device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"device: got {device!r}, allowed auto, cpu, cuda")
        if device == "cuda" and not torch.cuda.is_available():
            raise ValueError("device: got 'cuda', but PyTorch sees no GPU; allowed auto, cpu")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        loaded = checkpoint.load(folder, self.device)
        self.name, self.digest = Path(folder).resolve().name, loaded.digest
        self.removed = checkpoint.removed(CHECKPOINTS) | checkpoint.removed(Path(folder).resolve().parent)
        self.removed.pop(self.digest, None)  # whoever has kept it may use it
        self.labels = loaded.configuration.labels
        self.learned_variance = loaded.configuration.prediction in LEARNED_VARIANCES
        for name in ("style", "ensemble"):
            if name not in self.labels:
                raise checkpoint.CheckpointError(f"checkpoint {folder}: has no label {name}")
        self.mel = MelParameters(**loaded.configuration.codec)
        dtype = dtype or fast_dtype(self.device)
        decoders = _decoders(self.mel, self.device, dtype)
        self.codecs = {name: LogMelCodec(self.mel, each).to(self.device) for name, each in decoders.items()}
        self.decoder, self.codec = next(iter(self.codecs.items()))
        self.patch_frames = int(getattr(loaded.network, "patch_frames", 1))
        self._turn = _Turn()
        self._loaded = loaded
        self._denoiser = _Shared(loaded.denoiser, self._turn, self.device, dtype)

    def options(self) -> dict[str, Any]:
        """Choices, ranges, defaults and a sentence for every argument: the page, the API and the CLI all read this."""
        style, ensemble = ([*self.labels[name], ANY][0] for name in ("style", "ensemble"))
        defaults = Request(style, ensemble, 0)
        options: dict[str, Any] = {}
        for name in (*LABELS, "sampler"):
            choices = list(SAMPLERS) if name == "sampler" else self._values(name)
            titles = {each: SAMPLERS[each].title if name == "sampler" else titled(each) for each in choices}
            options[name] = {"default": getattr(defaults, name), "choices": choices, "titles": titles}
        for name, (low, high) in RANGES.items():
            default = DRAWN if name == "seed" else getattr(defaults, name)
            options[name] = {"default": default, "minimum": low, "maximum": high}
        options["duration_s"]["step"] = self.patch_frames / self.mel.frames_per_s
        options["seed"]["drawn"] = DRAWN
        options["decoder"] = {
            "default": self.decoder,
            "choices": list(self.codecs),
            "titles": {name: DECODERS[name][0] for name in self.codecs},
            "summaries": {name: DECODERS[name][1] for name in self.codecs},
        }
        grids = {name: GRIDS[name] for name in STEPPED_GRIDS}
        for name, named in (("grid", grids), ("guidance_rule", GUIDANCE_RULES)):
            options[name] = {
                "default": getattr(defaults, name),
                "choices": list(named),
                "titles": {choice: each.title for choice, each in named.items()},
                "summaries": {choice: each.summary for choice, each in named.items()},
            }
        for name, sentence in HELP.items():
            options[name]["help"] = sentence
        options["sampler"]["summaries"] = {name: sampler.summary for name, sampler in SAMPLERS.items()}
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

    def _values(self, label: str) -> list[str]:
        """What may be chosen of a label."""
        return [ANY, *self.labels.get(label, ())]

    def _choices(self, knob: Field[Any]) -> list[str]:
        """The choices of a knob, less those that this model cannot follow."""
        return [each for each in knob.metadata["choices"] if each != "learned" or self.learned_variance]

    def request(self, **arguments: Any) -> Request:
        """A checked request for this model; what is missing or None takes its default.

        A seed may be a number or a text for `seed_of`; DRAWN draws one.
        """
        options = self.options()
        given = {name: value for name, value in arguments.items() if value is not None}
        names = [each.name for each in fields(Request) if each.name not in ("knobs", "model")]
        request = Request.from_dict({**{name: options[name]["default"] for name in names}, **given, **_seed(given)})
        self.check(request)
        return replace(request, model=self.digest)

    def check(self, request: Request) -> None:
        """ValueError if the request does not fit this model."""
        if request.model in self.removed:  # said before anything about its labels, which were others
            raise ValueError(f"model: got {self.removal(request.model)}, and the one loaded here is {self.digest}")
        for name in LABELS:
            value, allowed = getattr(request, name), self._values(name)
            if value not in allowed:
                raise ValueError(f"{name}: got {value!r}, allowed {', '.join(allowed)}")
        if request.decoder not in ("", *self.codecs):
            raise ValueError(f"decoder: got {request.decoder!r}, allowed {', '.join(self.codecs)} (for this model)")
        for knob in fields(SAMPLERS[request.sampler]):
            value, choices = request.knobs[knob.name], self._choices(knob)
            if choices and value not in choices:
                raise ValueError(
                    f"{knob.name}: got {value!r}, allowed {', '.join(choices)} (this model has learned no variance)"
                )
        patches = request.duration_s * self.mel.frames_per_s / self.patch_frames
        if abs(patches - round(patches)) > 1e-6:
            step = self.patch_frames / self.mel.frames_per_s
            low, high = RANGES["duration_s"]
            raise ValueError(
                f"duration_s: got {request.duration_s}, allowed {low} to {high} in steps of {step:g}, "
                f"such as {round(patches) * step:.3f}"
            )
        if request.model not in ("", self.digest):
            raise ValueError(f"model: got {request.model!r}, but the one loaded here is {self.digest}")

    def removal(self, digest: str) -> str | None:
        """What became of a removed model, in words; None for any other."""
        gone = self.removed.get(digest)
        return f"{gone.name} ({digest}), which was removed; {gone.replaced_by} took its place" if gone else None

    def generate(self, request: Request, stop: Stop | None = None) -> Generator[Preview | Clip]:
        """A Preview of the noise and of every step, and at last the Clip.

        Setting `stop` ends the run within one evaluation, and the clip is then what the model believed last (it looks
        at least once). Closing the iterator ends it without a clip. ValueError, at once, if the request does not fit.
        """
        return self.generate_many([request], stop)

    def generate_many(self, requests: Sequence[Request], stop: Stop | None = None) -> Generator[Preview | Clip]:
        """As `generate`, for several requests of one sampler, steps and duration as one batch.

        Previews of the first, then a Clip for each. Every clip is what it would be alone within MEL_TOLERANCE_DB (its
        noise is the same to the bit), and its seconds are its share of the batch's, which is less than it takes alone.
        """
        for request in requests:
            self.check(request)
        shared = [{name: getattr(each, name) for name in SHARED} for each in requests]
        if not shared or any(each != shared[0] for each in shared):
            raise ValueError(f"requests: got {shared}, need at least one, and one value of {', '.join(SHARED)}")
        return self._run([self.complete(each) for each in requests], stop or threading.Event())

    def complete(self, request: Request) -> Request:
        """The request with the model and the decoder that it leaves open."""
        return replace(request, model=self.digest, decoder=request.decoder or self.decoder)

    def guided_label(self, request: Request) -> str | None:
        """The label that guidance exaggerates, or None where there is none to or the scale is 1: then it is free."""
        if request.guidance_scale == 1:
            return None
        return next((name for name in GUIDED if getattr(request, name) != ANY), None)

    def _run(self, requests: list[Request], stop: Stop) -> Generator[Preview | Clip]:
        start = time.perf_counter()
        first, configuration = requests[0], self._loaded.configuration
        noise = SeededNoise([each.seed for each in requests])
        x = noise(
            0, torch.empty(len(requests), 1, self.mel.bands, self.mel.frames_of(first.duration_s), device=self.device)
        )
        chosen = [self._chosen(each) for each in requests]
        drawn = [draw(configuration.prior, labels, each.seed) for labels, each in zip(chosen, requests, strict=True)]
        known = [labels | more for labels, more in zip(chosen, drawn, strict=True)]
        cond = configuration.cond(known, noise.seeds, self.device)
        labels = [self.guided_label(each) for each in requests]
        scales = {
            name: torch.tensor(
                [each.guidance_scale if label == name else 1.0 for each, label in zip(requests, labels, strict=True)],
                dtype=torch.float64,
            )
            for name in GUIDED
            if name in labels
        }
        rule = GUIDANCE_RULES[first.guidance_rule]
        guided = configuration.guided(
            self._denoiser, scales, rule, first.guidance_from, known, noise.seeds, x.shape[-1]
        )
        watched = _Watched(guided, stop)
        times = GRIDS[first.grid](guided.schedule, first.steps)
        step: Step | None = None
        features: Tensor | None = None
        try:
            for step in first.method.steps(watched, x, times, cond=cond, noise=noise):
                level = guided.schedule(torch.tensor(step.s, dtype=torch.float64))
                yield Preview(
                    step.index,
                    step.total,
                    step.s,
                    step.log_snr,
                    float(level.alpha),
                    float(level.sigma),
                    step.evaluations,
                    time.perf_counter() - start,
                    _first(step.x),
                    None if step.x0 is None else _first(step.x0),
                )
            assert step is not None
            features = configuration.finished(step.x, step.t, known, noise.seeds)
        except _Stopped:
            features = watched.belief
        assert step is not None
        assert features is not None
        share_s = (time.perf_counter() - start) / len(requests)
        for request, more, each in zip(requests, drawn, features.split(1), strict=True):
            start = time.perf_counter()
            wave, gain = self._sound(each, request.decoder)
            settings = {
                **request.to_dict(),
                **{name: getattr(request, name) for name in LABELS if name in self.labels},
                **({"drawn": {name: self._values(name)[value] for name, value in more.items()}} if more else {}),
                "evaluations": watched.evaluations,
                "stopped_at": step.index if step.index < step.total else None,
                "version": _version(),
            }
            seconds = share_s + time.perf_counter() - start
            yield Clip(wave, _first(each), self.mel.sample_rate_hz, settings, seconds, gain)

    def _chosen(self, request: Request) -> dict[str, int]:
        """What is asked of every label of the model, in the order of its values; 0 is any."""
        return {name: self._values(name).index(getattr(request, name, ANY)) for name in self.labels}

    def sound(self, features: np.ndarray, most: float = math.inf, decoder: str = "") -> np.ndarray:
        """The wave (N,) float32 of features (bands, F), made as that of a clip: as loud, or amplified by `most`."""
        batch = torch.from_numpy(features).to(self.device, torch.float32)[None, None]
        return self._sound(batch, decoder or self.decoder, most)[0]

    def _sound(self, features: Tensor, decoder: str, most: float = math.inf) -> tuple[np.ndarray, float]:
        """The wave (N,) float32 of features (1, 1, bands, F), and its gain: that of a clip, at most `most`."""
        with self._turn, torch.no_grad():
            wave = self.codecs[decoder].decode(features)
        gain = clip_gain(wave, self.mel.sample_rate_hz).clamp(max=most)
        return finish(wave, self.mel.sample_rate_hz, gain)[0].cpu().numpy(), float(gain)

    def warm_up(self) -> None:
        """Pay now for a first evaluation without guidance, one with it and a decode, so that no visitor does."""
        for _ in self.generate(self.request(steps=2, seed=0, duration_s=RANGES["duration_s"][0])):
            pass

    def compile(self) -> bool:
        """Compile the network for requests of default length and labels; whether it serves from now on.

        Takes half a minute of one core that nothing else wants, in a process of its own, and then a clip before and
        one after, whose evaluations take turns with those of visitors. Only if the two differ by less than
        MEL_TOLERANCE_DB does the compiled network serve, and only runs that begin later; the log says what came of it.
        Inputs of another length or number of passes, and anything but a CPU, stay with the network as it is.
        """
        if self.device.type != "cpu":
            return False
        request = self.request(seed=0)
        rows = 1 if self.guided_label(request) is None else 2
        shape = (rows, 1, self.mel.bands, self.mel.frames_of(request.duration_s))
        try:
            cond = self._loaded.configuration.cond([{}] * rows, [0] * rows)
            network = compile_ahead(self._loaded.network, cond, shape, self._denoiser.dtype)
            candidate = copy.copy(self)
            candidate._denoiser = replace(self._denoiser, inner=self._loaded.configuration.denoiser(network))
            before, after = (deque(each.generate(request), maxlen=1)[0] for each in (self, candidate))
        except RuntimeError as error:
            _log.warning("not compiled: %s", error)
            return False
        assert isinstance(before, Clip)
        assert isinstance(after, Clip)
        difference_db = float(np.abs(after.features - before.features).mean()) * self.mel.unit_db
        if not difference_db < MEL_TOLERANCE_DB:  # nor if it is no number
            _log.warning(
                "not compiled: a clip would change by %.2f dB, more than %g dB", difference_db, MEL_TOLERANCE_DB
            )
            return False
        self._denoiser = candidate._denoiser
        _log.info(
            "compiled: clips change by %.2f dB and take %.2f s in place of %.2f s",
            difference_db,
            after.seconds,
            before.seconds,
        )
        return True


def _decoders(mel: MelParameters, device: torch.device, dtype: torch.dtype) -> dict[str, Decoder]:
    """What can turn features into sound, the best first: the vocoder in CHECKPOINTS that fits them, and Griffin-Lim."""
    decoders: dict[str, Decoder] = {}
    folder = checkpoint.find_vocoder(CHECKPOINTS, mel)
    if folder is not None:
        vocoder = checkpoint.load_vocoder(folder, device)
        vocoder.precision = dtype
        decoders["vocoder"] = vocoder
    return {**decoders, "griffin-lim": GriffinLim(mel=mel)}


class _Turn:
    """A lock that serves whoever has waited longest, so that no run starves another."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = self._serving = 0

    def __enter__(self) -> None:
        with self._changed:
            ticket = self._next
            self._next += 1
            self._changed.wait_for(lambda: self._serving == ticket)

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._serving += 1
            self._changed.notify_all()


@dataclass(frozen=True)
class _Shared:
    """One evaluation at a time, so that threads do not fight over the cores, multiplying matrices in `dtype`."""

    inner: Denoiser
    turn: _Turn
    device: torch.device
    dtype: torch.dtype

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        with self.turn, torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.inner(x_t, t, cond)


class _Stopped(Exception):
    """The visitor wants no more evaluations."""


@dataclass
class _Watched:
    """Keeps the last belief of one run, counts its evaluations, and refuses to go on once `stop` is set."""

    inner: Denoiser
    stop: Stop
    belief: Tensor | None = None
    evaluations: int = 0

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        if self.stop.is_set() and self.belief is not None:
            raise _Stopped
        estimate = self.inner(x_t, t, cond)
        self.belief = estimate.x0
        self.evaluations += 1
        return estimate


def _first(x: Tensor) -> np.ndarray:
    """The first clip (bands, F) of x (B, 1, bands, F), copied."""
    return x[0, 0].to("cpu", torch.float32, copy=True).numpy()


def _seed(given: Mapping[str, Any]) -> dict[str, Any]:
    """The seed that is meant, if anything but a number to be checked."""
    seed = given.get("seed", DRAWN)
    if isinstance(seed, str):
        seed = seed_of(seed)
    return {"seed": draw_seed() if seed == DRAWN else seed}


def _cut(text: str) -> str:
    return text if len(text) <= SEED_DIGITS else f"{text[:SEED_DIGITS]}…"


def titled(value: str) -> str:
    """The name of a label's value.

    >>> titled("music_box"), titled("F#"), titled("104")
    ('Music box', 'F♯', '104')
    """
    if value in KEYS:
        return value.replace("b", "♭").replace("#", "♯")
    return value.replace("_", " ").capitalize()


@cache
def _version() -> str:
    try:
        return version("out-of-noise")
    except PackageNotFoundError:  # run from a checkout
        project = tomllib.loads((CHECKPOINTS.parent / "pyproject.toml").read_text())["project"]
        return str(project["version"])


def _parse(text: str) -> Any:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text


def _number(name: str, value: Any, allowed: tuple[float, float], *, whole: bool) -> int | float:
    low, high = allowed
    kind = "a whole number from " if whole else ""
    wrong = ValueError(f"{name}: got {value!r}, allowed {kind}{low} to {high}")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise wrong
    if not low <= value <= high or (whole and value != int(value)):
        raise wrong
    return int(value) if whole else float(value)


def _complete_knobs(sampler: str, given: Any) -> dict[str, Any]:
    """The knobs of a sampler with defaults for those not given; ValueError for one it does not have."""
    known = {each.name: each for each in fields(SAMPLERS[sampler])}
    if not isinstance(given, Mapping):
        raise ValueError(f"knobs: got {given!r}, need an object with {', '.join(known) or 'nothing'}")
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"knobs: got {name} = {value!r}, but {sampler} has {', '.join(known) or 'none'}")
    defaults = {name: getattr(SAMPLERS[sampler], name) for name in known}
    return {name: _knob(known[name], default, given.get(name, default)) for name, default in defaults.items()}


def _knob(knob: Field[Any], default: Any, value: Any) -> Any:
    """A value checked against what the knob declares of itself, in the type of its default."""
    if knob.metadata["choices"]:
        if value not in knob.metadata["choices"]:
            raise ValueError(f"{knob.name}: got {value!r}, allowed {', '.join(knob.metadata['choices'])}")
        return value
    return _number(knob.name, value, knob.metadata["range"] or (-math.inf, math.inf), whole=isinstance(default, int))

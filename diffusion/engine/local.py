"""The engine of one process: a loaded checkpoint, whose evaluations take turns."""

from __future__ import annotations

import logging
import math
import threading
import time
import tomllib
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffusion import checkpoint
from diffusion.audio.codec import Decoder, LogMelCodec, MelParameters
from diffusion.audio.griffin_lim import GriffinLim
from diffusion.audio.loudness import clip_gain, finish
from diffusion.codecs import LogMel
from diffusion.compose import Composed, Stop, compose, frames_of
from diffusion.conditions import guided_label, told
from diffusion.denoisers import InFormat
from diffusion.edits import Inpaint, Sources, needed
from diffusion.engine import Clip, Model, Preview
from diffusion.networks.compiled import compile_ahead
from diffusion.networks.precision import fast_dtype
from diffusion.request import Request
from diffusion.settings import SHORTEST_S
from diffusion.theory import Cond, Denoiser, Estimate, Level, Schedule, Step

_log = logging.getLogger(__name__)
MEL_TOLERANCE_DB = 0.5  # mean over a spectrogram; bf16 against float32 on a CPU measures 0.1, another seed 5 to 16
SILENCE = np.zeros(0, np.float32)
LOOP_FRAMES = 64  # of the other end are decoded before and after a loop: a second, further than a decoder looks
LOOP_FADE_FRAMES = 2  # over which the decodings before and after the seam are led into each other


class LocalEngine:
    """A checkpoint on a device. Runs keep their state to themselves."""

    def __init__(self, folder: Path, device: str = "auto", dtype: torch.dtype | None = None) -> None:
        """Load `folder`; matrices are multiplied in `dtype`, by default the device's fastest.

        A clip differs between devices and formats by less than MEL_TOLERANCE_DB. CheckpointError if the folder does
        not hold a model, ValueError for a device that is not there.
        """
        self.device = device_of(device)
        self._loaded = checkpoint.load(folder, self.device)
        self._codec = self._loaded.configuration.features
        self._dtype = dtype or fast_dtype(self.device)
        self._codecs = _codecs(self._codec, self.device, self._dtype)
        self._turn = _Turn()
        self._denoiser = self._in_turn(self._loaded.denoiser)
        removed = checkpoint.removed(checkpoint.CHECKPOINTS) | checkpoint.removed(Path(folder).resolve().parent)
        removed.pop(self._loaded.digest, None)  # whoever has kept it may use it
        self.model = Model(
            Path(folder).resolve().name,
            self._loaded.digest,
            self._loaded.configuration,
            tuple(self._codecs),
            int(getattr(self._loaded.network, "patch_frames", 1)),
            removed,
            str(self.device),
        )

    def run(self, requests: Sequence[Request], stop: Stop, sources: Sources = ()) -> Generator[Preview | Clip]:
        """As `Engine.run`."""
        start = time.perf_counter()
        denoiser, configuration = self._denoiser, self._loaded.configuration  # compiled later, it serves later runs
        for each in compose(denoiser, configuration, requests, sources=sources, stop=stop, device=self.device):
            if isinstance(each, Step):
                level = denoiser.schedule(torch.tensor(each.s, dtype=torch.float64))
                yield preview(each, level, time.perf_counter() - start)
            else:
                share_s = (time.perf_counter() - start) / len(requests)
                yield from self._clips(requests, each, sources, share_s)

    def sound(self, features: np.ndarray, decoder: str, most: float) -> np.ndarray:
        """As `Engine.sound`."""
        return self._finished(self._decoded(self._batch(features), decoder), most=most)[0]

    def prepare(self, request: Request, compile: bool) -> None:
        """As `Engine.prepare`: a first evaluation without guidance, one with it, and a decoding."""
        short = request.changed(steps=2)
        if request.duration_s is not None:
            short = short.changed(duration_s=SHORTEST_S)
        deque(self.run([short], threading.Event()), maxlen=0)
        if compile:
            self.compile(request)

    def compile(self, request: Request) -> bool:
        """Compile the network for the length and the labels of a request; whether it serves from now on.

        Takes half a minute of one core that nothing else wants, in a process of its own, and then a clip before and
        one after, whose evaluations take turns with those of visitors. Only if the two differ by less than
        MEL_TOLERANCE_DB does the compiled network serve, and only runs that begin later; the log says what came of it.
        Inputs of another length or number of passes, and anything but music on a CPU, stay with the network as it is.
        """
        configuration, codec = self._loaded.configuration, self._codec
        if self.device.type != "cpu" or not isinstance(codec, LogMel):
            return False
        rows = 1 if guided_label(configuration, request) is None else 2
        shape = (rows, *codec.shape(frames_of(configuration, request)))
        try:
            cond = told(configuration, [{}] * rows, [0] * rows)
            network = compile_ahead(self._loaded.network, cond, shape, self._dtype)
            candidate = self._in_turn(configuration.denoiser(network))
            (before, before_s), (after, after_s) = (self._timed(each, request) for each in (self._denoiser, candidate))
        except RuntimeError as error:
            _log.warning("not compiled: %s", error)
            return False
        difference_db = float((after - before).abs().mean()) * codec.unit_db
        if not difference_db < MEL_TOLERANCE_DB:  # nor if it is no number
            _log.warning(
                "not compiled: a clip would change by %.2f dB, more than %g dB", difference_db, MEL_TOLERANCE_DB
            )
            return False
        self._denoiser = candidate
        _log.info(
            "compiled: clips change by %.2f dB and take %.2f s in place of %.2f s", difference_db, after_s, before_s
        )
        return True

    def _clips(
        self, requests: Sequence[Request], composed: Composed, sources: Sources, share_s: float
    ) -> Generator[Clip]:
        labels = self._loaded.configuration.labels
        for place, (request, drawn) in enumerate(zip(requests, composed.drawn, strict=True)):
            features = composed.features[place : place + 1]
            deviation = None if composed.deviation is None else _first(composed.deviation[place : place + 1])
            start = time.perf_counter()
            wave, gain, sample_rate_hz = SILENCE, 1.0, 0
            if isinstance(self._codec, LogMel):
                (wave, gain), sample_rate_hz = self._sound(request, features, sources), self._codec.sample_rate_hz
            settings = {
                **request.to_dict(),
                **{name: request.label(name) for name in labels},
                **({"drawn": drawn} if drawn else {}),
                "evaluations": composed.evaluations,
                "stopped_at": composed.stopped_at,
                "version": _version(),
            }
            seconds = share_s + time.perf_counter() - start
            yield Clip(_first(features), settings, seconds, wave, sample_rate_hz, gain, deviation)

    def _sound(self, request: Request, features: Tensor, sources: Sources) -> tuple[np.ndarray, float]:
        """The wave (N,) float32 of a clip of features (1, 1, bands, F), and its gain.

        A loop is decoded with its other end before either end. Of a clip that was inpainted the source says how much
        it is amplified, so that what stays is as loud as it was.
        """
        if "loop" in request.edits:
            return self._finished(self._decoded_loop(features, request.decoder), looped=True)
        wave, inpaint = self._decoded(features, request.decoder), request.edited.get("inpaint")
        if not isinstance(inpaint, Inpaint):
            return self._finished(wave)
        source = needed(inpaint.source, inpaint.source_s, sources).features[..., : features.shape[-1]]
        return self._finished(wave, like=self._decoded(self._batch(source), request.decoder))

    def _decoded(self, features: Tensor, decoder: str) -> Tensor:
        """The wave (1, N) of features (1, 1, bands, F), as loud as they say."""
        with self._turn, torch.no_grad():
            return self._codecs[decoder].decode(features)

    def _decoded_loop(self, features: Tensor, decoder: str) -> Tensor:
        """As `_decoded`, its end leading into its beginning: what follows the end fades into what begins."""
        hop, frames = self._mel().hop_size, features.shape[-1]
        more = min(LOOP_FRAMES, frames)
        around = torch.cat([features[..., -more:], features, features[..., :more]], dim=-1)
        _, wave, after = self._decoded(around, decoder).split([more * hop, frames * hop, more * hop], dim=1)
        fade = min(LOOP_FADE_FRAMES, more) * hop
        ramp = (1 - torch.cos(torch.pi * torch.arange(fade, device=wave.device) / fade)) / 2
        begin = wave[:, :fade] * ramp + after[:, :fade] * (1 - ramp)
        return torch.cat([begin, wave[:, fade:]], dim=1)

    def _finished(
        self, wave: Tensor, most: float = math.inf, looped: bool = False, like: Tensor | None = None
    ) -> tuple[np.ndarray, float]:
        """A decoded wave (1, N) as that of a clip (N,) float32, and its gain: at most `most`, or that of `like`."""
        rate_hz = self._mel().sample_rate_hz
        gain = clip_gain(wave, rate_hz, looped=looped, like=like).clamp(max=most)
        return finish(wave, rate_hz, gain, looped=looped)[0].cpu().numpy(), float(gain)

    def _batch(self, features: np.ndarray) -> Tensor:
        return torch.from_numpy(features).to(self.device, torch.float32)[None]

    def _mel(self) -> LogMel:
        assert isinstance(self._codec, LogMel), "only music is heard"
        return self._codec

    def _in_turn(self, denoiser: Denoiser) -> _InTurn:
        return _InTurn(InFormat(denoiser, self.device, self._dtype), self._turn)

    def _timed(self, denoiser: Denoiser, request: Request) -> tuple[Tensor, float]:
        """The features that a denoiser leads to, and in how many seconds."""
        start = time.perf_counter()
        *_, end = compose(denoiser, self._loaded.configuration, [request], device=self.device)
        assert isinstance(end, Composed)
        return end.features, time.perf_counter() - start


def device_of(name: str) -> torch.device:
    """The device that "auto", "cpu" or "cuda" names; ValueError for one that is not there."""
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device: got {name!r}, allowed auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: got 'cuda', but PyTorch sees no GPU; allowed auto, cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def preview(step: Step, level: Level, seconds: float) -> Preview:
    """What is shown of a step of a batch, to `level`: its first clip."""
    return Preview(
        step.index,
        step.total,
        step.s,
        step.log_snr,
        float(level.alpha),
        float(level.sigma),
        step.evaluations,
        seconds,
        _first(step.x),
        None if step.x0 is None else _first(step.x0),
    )


def _codecs(codec: object, device: torch.device, dtype: torch.dtype) -> dict[str, LogMelCodec]:
    """What turns features into sound, the best first: the vocoder in CHECKPOINTS that fits them, and Griffin-Lim."""
    if not isinstance(codec, LogMel):
        return {}
    mel: MelParameters = codec.mel
    decoders: dict[str, Decoder] = {}
    folder = checkpoint.find_vocoder(checkpoint.CHECKPOINTS, mel)
    if folder is not None:
        vocoder = checkpoint.load_vocoder(folder, device)
        vocoder.precision = dtype
        decoders["vocoder"] = vocoder
    decoders["griffin-lim"] = GriffinLim(mel=mel)
    return {name: LogMelCodec(mel, each).to(device) for name, each in decoders.items()}


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
class _InTurn:
    """One evaluation at a time, so that threads do not fight over the cores."""

    inner: Denoiser
    turn: _Turn

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        with self.turn:
            return self.inner(x_t, t, cond)


def _first(x: Tensor) -> np.ndarray:
    """The first clip (*shape) of x (B, *shape), copied."""
    return x[0].to("cpu", torch.float32, copy=True).numpy()


@cache
def _version() -> str:
    try:
        return version("out-of-noise")
    except PackageNotFoundError:  # run from a checkout
        text = (checkpoint.CHECKPOINTS.parent / "pyproject.toml").read_text(encoding="utf-8")
        return str(tomllib.loads(text)["project"]["version"])

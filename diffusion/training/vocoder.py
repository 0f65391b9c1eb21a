"""Training a vocoder on a folder of audio files."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.audio.codec import Decoder, LogMelCodec
from diffusion.audio.distance import log_mel, mel_distance
from diffusion.audio.griffin_lim import GriffinLim, spread_bands
from diffusion.audio.mel import MelParameters, mel_filters
from diffusion.audio.vocoder import Spectrum, Vocoder
from diffusion.checkpoint import VocoderConfiguration, save
from diffusion.networks.precision import fast_dtype

from .optimizer import build_optimizers
from .run import STATE, RunFolder
from .vocoder_config import VocoderTraining

SCALES = ((256, 20), (512, 40), (1024, 80), (2048, 128), (4096, 160))  # FFT size in samples, bands
HELD_OUT_FRAMES = 250
QUIET = 1e-4  # amplitude of an STFT bin about where features have their floor


class AudioFolder:
    """The WAV and FLAC files under a folder, as mono; crops are read when they are needed."""

    def __init__(self, folder: Path, sample_rate_hz: int) -> None:
        """ValueError if there is none, or one of another rate: resample those first."""
        import soundfile

        paths = sorted(each for each in Path(folder).rglob("*") if each.suffix.lower() in (".wav", ".flac"))
        if not paths:
            raise ValueError(f"audio: got {folder}, need a folder with WAV or FLAC files")
        self.files: list[tuple[Path, int]] = []
        for path in paths:
            info = soundfile.info(path)
            if info.samplerate != sample_rate_hz:
                raise ValueError(f"audio: got {path} at {info.samplerate} Hz, need {sample_rate_hz} Hz")
            self.files.append((path, info.frames))

    def read(self, index: int, start: int, samples: int) -> np.ndarray:
        """(samples,) float32 from sample `start` of a file, with silence after its end."""
        import soundfile

        with soundfile.SoundFile(self.files[index][0]) as file:
            file.seek(start)
            wave = file.read(samples, dtype="float32", always_2d=True).mean(1)
        return np.pad(wave, (0, samples - len(wave)))

    def crops(self, rng: np.random.Generator, batch: int, samples: int) -> Tensor:
        """(batch, samples) from anywhere: each second of audio is as likely as any other."""
        lengths = np.array([length for _, length in self.files], dtype=np.float64)
        indices = rng.choice(len(lengths), batch, p=lengths / lengths.sum())
        starts = [int(rng.integers(0, max(1, self.files[i][1] - samples))) for i in indices]
        return torch.tensor(
            np.stack([self.read(int(i), start, samples) for i, start in zip(indices, starts, strict=True)])
        )

    def openings(self, samples: int, seconds_in: float, sample_rate_hz: int, most: int = 24) -> Tensor:
        """(n, samples) from `seconds_in` in of up to `most` files, spread evenly: always the same."""
        indices = np.unique(np.linspace(0, len(self.files) - 1, most).round().astype(int))
        starts = [max(0, min(round(seconds_in * sample_rate_hz), self.files[i][1] - samples)) for i in indices]
        return torch.tensor(
            np.stack([self.read(int(i), start, samples) for i, start in zip(indices, starts, strict=True)])
        )


def train_vocoder(
    config: VocoderTraining,
    audio: Path,
    out: Path,
    *,
    held_out: Path | None = None,
    report: Callable[[dict[str, Any]], None] = lambda record: None,
    stop: threading.Event | None = None,
) -> None:
    """Train on the files in `audio` and write to `out`: a checkpoint of averaged weights, the state, and log.jsonl.

    A run found in `out` goes on where its state was saved, bit for bit on one machine: each step draws from generators
    of its own. At every save, and with `held_out`, the distance from those files is logged beside Griffin-Lim's.
    Setting `stop` ends the run after its step, saved. ValueError if the state in `out` belongs to another
    configuration.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    mel = MelParameters()
    waves = AudioFolder(audio, mel.sample_rate_hz)
    torch.manual_seed(config.seed)
    description = VocoderConfiguration(
        {name: getattr(config, name) for name in ("width", "depth", "hidden", "refinements")}, asdict(mel)
    )
    vocoder, average = description.build().to(device), description.build().to(device)
    average.load_state_dict(vocoder.state_dict())
    vocoder.precision = average.precision = fast_dtype(device)
    codec = LogMelCodec(mel).to(device)
    optimizers = build_optimizers(vocoder, config)
    test = None
    if held_out is not None:
        test = AudioFolder(held_out, mel.sample_rate_hz).openings(
            HELD_OUT_FRAMES * mel.hop_size, 1.0, mel.sample_rate_hz
        )
    folder = RunFolder(out, config, report)
    step, seconds = folder.resume(device, vocoder, average, optimizers)

    def checkpoint() -> None:
        folder.save(step, seconds, vocoder, average, optimizers)
        save(out, description, average.state_dict(), torch.bfloat16)
        if test is not None:
            folder.log({"step": step, "seconds": round(seconds, 1), **compare(average, codec, test.to(device))})

    first_step = step
    clock, saved, losses = time.monotonic(), time.monotonic(), []
    while not (stop is not None and stop.is_set()) and (progress := config.progress(step, seconds)) < 1:
        lr = config.learning_rate(step, progress)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
        rng = np.random.default_rng([config.seed, step])
        wave = waves.crops(rng, config.batch, config.frames * mel.hop_size).to(device)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        turns = torch.rand(config.batch, config.frames, vocoder.bins, generator=generator).to(device)
        parts = errors(vocoder, codec, wave, turns)
        loss = parts["amplitude"] + config.phase_weight * parts["phase"] + config.mel_weight * parts["mel"]
        loss.backward()
        nn.utils.clip_grad_norm_(vocoder.parameters(), config.gradient_norm)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        decay = min(config.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(vocoder.parameters()), 1 - decay)
        losses.append(torch.stack([part.detach() for part in parts.values()]))
        now = time.monotonic()
        seconds, clock = seconds + now - clock, now
        if step % config.log_steps == 0:
            means = dict(zip(parts, torch.stack(losses).mean(0).tolist(), strict=True))
            losses.clear()
            if not all(math.isfinite(value) for value in means.values()):
                raise FloatingPointError(f"loss: got {means} at step {step}; the last saved state is {out / STATE}")
            rounded = {name: round(value, 4) for name, value in means.items()}
            folder.log({"step": step, "seconds": round(seconds, 1), **rounded, "lr": lr})
        if now - saved > 60 * config.save_minutes:
            checkpoint()
            saved = clock = time.monotonic()
    if step > first_step:
        checkpoint()


def errors(vocoder: Vocoder, codec: LogMelCodec, wave: Tensor, turns: Tensor) -> dict[str, Tensor]:
    """What is wrong with the decoding of the features of waves (B, F * hop_size), as means over everything.

    `amplitude`: of the log amplitudes of bins, and of the amplitudes relative to those of their bands. `phase`: of the
    derivatives, as squared distances in the complex plane, weighted by amplitude within a band: their minimiser is the
    mean of the unit vectors, short where the phase cannot be known. `mel`: as `mel_distance`, at more scales. Bins
    count by the square root of their share in bands, so that the upper half of the spectrum is no majority.
    """
    mel = codec.mel
    with torch.no_grad():
        magnitudes = (codec.encode(wave)[:, 0] * mel.scale + mel.mean).exp()
        truth = vocoder.stft(wave)
        magnitude = truth.abs()
        level = spread_bands(magnitudes, mel).clamp(min=QUIET).transpose(1, 2)
        turn, lean = phase_derivatives(truth, mel)
        share = torch.tensor(mel_filters(mel)).sum(0).sqrt().to(wave)
        share = (share / share.mean()).clamp(min=0.1)
        heard = share * torch.sigmoid(2 * (level / QUIET).log() - 2)
        relative = (magnitude / level).clamp(max=2)
        turn_weight = heard * functional.pad((relative[:, 1:] * relative[:, :-1]).sqrt(), (0, 0, 1, 0))
        lean_weight = heard * functional.pad((relative[:, :, 1:] * relative[:, :, :-1]).sqrt(), (1, 0))
    believed: Spectrum = vocoder.estimate(magnitudes)
    log_error = (believed.log_magnitude.clamp(min=math.log(QUIET)) - magnitude.clamp(min=QUIET).log()).abs()
    relative_error = ((believed.log_magnitude.exp() - magnitude).abs() / level).clamp(max=10)
    phase = (believed.turn - turn).abs().square() * turn_weight + (believed.lean - lean).abs().square() * lean_weight
    decoded = vocoder.synthesise(believed, magnitudes, turns)
    distances = [
        (log_mel(decoded, mel.sample_rate_hz, *scale) - log_mel(wave, mel.sample_rate_hz, *scale)).abs().mean()
        for scale in SCALES
    ]
    return {
        "amplitude": (log_error * share + relative_error * heard).mean(),
        "phase": phase.mean(),
        "mel": torch.stack(distances).mean(),
    }


def phase_derivatives(spectrum: Tensor, mel: MelParameters) -> tuple[Tensor, Tensor]:
    """The `turn` and `lean` of spectra (B, F, bins) as unit vectors; zero in the first frame and in the first bin."""
    phase = torch.sgn(spectrum)
    bins = torch.arange(spectrum.shape[2], device=spectrum.device)
    centre = 2 * math.pi * (bins * mel.hop_size % mel.fft_size) / mel.fft_size
    turn = phase[:, 1:] * phase[:, :-1].conj() * torch.polar(torch.ones_like(centre), -centre)
    lean = phase[:, :, 1:] * phase[:, :, :-1].conj()
    return functional.pad(turn, (0, 0, 1, 0)), functional.pad(lean, (1, 0))


@torch.no_grad()
def compare(vocoder: Vocoder, codec: LogMelCodec, wave: Tensor) -> dict[str, Any]:
    """Mean mel distances from waves (n, F * hop_size) of what the vocoder and what Griffin-Lim decode."""
    decoders: dict[str, Decoder] = {"vocoder": vocoder, "griffin_lim": GriffinLim(mel=codec.mel)}
    distances = {}
    for name, decoder in decoders.items():
        total = 0.0
        for rows in wave.split(4):
            magnitudes = (codec.encode(rows)[:, 0] * codec.mel.scale + codec.mel.mean).exp()
            total += float(mel_distance(decoder(magnitudes), rows, codec.mel.sample_rate_hz).sum())
        distances[name] = round(total / len(wave), 4)
    return {"held_out_distance": distances}

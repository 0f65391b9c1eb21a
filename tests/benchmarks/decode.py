"""Cost and closeness of the decoders: `PYTHONPATH=. python tests/benchmarks/decode.py [threads] [folder of audio]`.

Seconds are for 10 s of music and depend on the machine and its load; the ratios to Griffin-Lim's default do not. The
distance is `mel_distance`, over ten-second clips of the folder's files, or of chords without one.
"""

import math
import sys
import time
from pathlib import Path

import torch

from diffusion import checkpoint
from diffusion.audio.codec import Decoder, LogMelCodec
from diffusion.audio.distance import mel_distance
from diffusion.audio.griffin_lim import GriffinLim
from diffusion.checkpoint import CHECKPOINTS
from diffusion.networks.precision import fast_dtype
from diffusion.training.vocoder import AudioFolder

ROUNDS = 5
FRAMES = 625  # ten seconds
CLIPS = 24


def chords(samples: int, rate_hz: int) -> torch.Tensor:
    """Three struck chords a second over a little noise."""
    t = torch.arange(samples) / rate_hz
    beat = t % (1 / 3)
    envelope = torch.exp(-6 * beat) * (1 - torch.exp(-300 * beat))
    root = 130.8 * 2 ** (torch.tensor([0, 5, 7, 3, 8, 10])[(3 * t).long() % 6] / 12)
    phase = 2 * math.pi * torch.cumsum(root.double() / rate_hz, 0)
    tone = sum(torch.sin(k * i * phase) / k for i in (1, 1.25, 1.5, 2) for k in range(1, 10))
    return (0.08 * envelope * tone + 0.002 * torch.randn(samples, generator=torch.Generator().manual_seed(0))).float()


def decoders() -> dict[str, Decoder]:
    """Griffin-Lim at several lengths, then the shipped vocoder in both number formats and with other refinements."""
    found: dict[str, Decoder] = {
        f"Griffin-Lim, {iterations} iterations": GriffinLim(iterations) for iterations in (32, 0, 8, 16, 64)
    }
    for folder in checkpoint.find(CHECKPOINTS, checkpoint.VocoderConfiguration):
        usual = checkpoint.load_vocoder(folder)
        found[f"{folder.name}, float32"] = usual
        for refinements in (usual.refinements, 0, 2, 4, 12):
            vocoder = checkpoint.load_vocoder(folder)
            vocoder.precision, vocoder.refinements = fast_dtype(torch.device("cpu")), refinements
            found[f"{folder.name}, fast, {refinements} refinements"] = vocoder
    return found


@torch.no_grad()
def main() -> None:
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    torch.set_num_threads(threads)
    mel = LogMelCodec().mel
    rate_hz, samples = mel.sample_rate_hz, FRAMES * mel.hop_size
    if len(sys.argv) > 2:
        waves = AudioFolder(Path(sys.argv[2]), rate_hz).openings(samples, 0.5, rate_hz, most=CLIPS)
    else:
        waves = chords(samples, rate_hz)[None]
    codecs = {name: LogMelCodec(decoder=decoder) for name, decoder in decoders().items()}
    features = next(iter(codecs.values())).encode(waves)
    times: dict[str, list[float]] = {name: [] for name in codecs}
    for _ in range(ROUNDS):  # interleaved, so that a change of load meets all alike
        for name, codec in codecs.items():
            start = time.perf_counter()
            codec.decode(features[:1])
            times[name].append(time.perf_counter() - start)
    usual = next(iter(codecs))
    usual_distance = 0.0
    print(f"{threads} thread(s), {len(waves)} clip(s)\n{'decoder':36s} seconds  ratio  mel distance  ratio")
    for name, codec in codecs.items():
        batches = zip(features.split(4), waves.split(4), strict=True)
        parts = [mel_distance(codec.decode(rows), wave) for rows, wave in batches]
        distance = torch.cat(parts).mean().item()
        usual_distance = usual_distance or distance
        best = min(times[name])
        print(
            f"{name:36s} {best:7.3f} {best / min(times[usual]):6.2f} {distance:13.4f} {distance / usual_distance:6.2f}"
        )


if __name__ == "__main__":
    main()

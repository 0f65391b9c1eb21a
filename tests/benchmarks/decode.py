"""Cost and closeness of Griffin-Lim on 10.24 s: `python tests/benchmarks/decode.py [threads]`.

Seconds depend on the machine and its load; the ratio to the default iterations does not. The distances are mean
absolute differences between mel spectrograms, in natural log units.
"""

import math
import sys
import time

import torch

from diffusion.audio.codec import LogMelCodec
from diffusion.audio.griffin_lim import GriffinLim

ROUNDS = 3


def chords(samples: int, rate_hz: int) -> torch.Tensor:
    """Three struck chords a second over a little noise."""
    t = torch.arange(samples) / rate_hz
    beat = t % (1 / 3)
    envelope = torch.exp(-6 * beat) * (1 - torch.exp(-300 * beat))
    root = 130.8 * 2 ** (torch.tensor([0, 5, 7, 3, 8, 10])[(3 * t).long() % 6] / 12)
    phase = 2 * math.pi * torch.cumsum(root.double() / rate_hz, 0)
    tone = sum(torch.sin(k * i * phase) / k for i in (1, 1.25, 1.5, 2) for k in range(1, 10))
    return (0.08 * envelope * tone + 0.002 * torch.randn(samples, generator=torch.Generator().manual_seed(0))).float()


def main() -> None:
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    torch.set_num_threads(threads)
    codec = LogMelCodec()
    features = codec.encode(chords(640 * codec.mel.hop_size, codec.mel.sample_rate_hz)[None])
    times: dict[int, list[float]] = {iterations: [] for iterations in (0, 4, 8, 16, 32, 64)}
    distances = {}
    for _ in range(ROUNDS):  # interleaved, so that a change of load meets all alike
        for iterations in times:
            codec.decoder = GriffinLim(iterations)
            start = time.perf_counter()
            wave = codec.decode(features)
            times[iterations].append(time.perf_counter() - start)
            distances[iterations] = (codec.encode(wave) - features).abs().mean().item() * codec.mel.scale
    best = {iterations: min(seconds) for iterations, seconds in times.items()}
    usual = GriffinLim().iterations
    print(f"{threads} thread(s), float32\niterations  seconds  ratio  mel distance  ratio")
    for iterations, seconds in best.items():
        print(
            f"{iterations:10d} {seconds:8.2f} {seconds / best[usual]:6.2f} {distances[iterations]:13.3f}"
            f" {distances[iterations] / distances[usual]:6.2f}"
        )


if __name__ == "__main__":
    main()

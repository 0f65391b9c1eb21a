"""What a clip of 10.24 s costs: `PYTHONPATH=. python tests/benchmarks/sampling.py [checkpoint folder] [threads]`.

Seconds depend on the machine and its load; the ratios do not. All variants run in turns in one process, so that a
change of load meets all alike, and medians are shown.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from diffusion.audio.loudness import finish
from diffusion.studio import RANGES, Clip, Preview, Request, Studio, find_checkpoint
from diffusion.ui.film import Film

ROUNDS, STEPS = 5, 20


def sample(studio: Studio, request: Request, film: Film | None) -> None:
    """All steps of a run, without its decoding."""
    for each in studio.generate(request):
        if isinstance(each, Preview) and film is not None:
            film.add(each)
        if isinstance(each, Preview) and each.index == each.total:
            return


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else find_checkpoint()
    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else torch.get_num_threads())
    studio = Studio(folder)
    studio.warm_up()
    request = studio.request(seed=0, steps=STEPS)
    all_along = replace(request, guidance_from=RANGES["guidance_from"][0])
    *_, clip = studio.generate(request)
    assert isinstance(clip, Clip)
    features = torch.tensor(clip.features, device=studio.device)[None, None]

    def decode() -> None:
        finish(studio.codec.decode(features), studio.mel.sample_rate_hz)

    def whole() -> None:
        film = Film(studio.mel, request)
        for each in studio.generate(request):
            if isinstance(each, Preview):
                film.add(each)

    variants: dict[str, Callable[[], None]] = {
        "steps without pictures": lambda: sample(studio, request, None),
        "the same, guided all along": lambda: sample(studio, all_along, None),
        "steps with pictures": lambda: sample(studio, request, Film(studio.mel, request)),
        "decode": decode,
        "clip, decoded, with pictures": whole,
    }
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, run in variants.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    medians = {name: median(each) for name, each in times.items()}
    bare = medians["steps without pictures"]
    print(f"{studio.device}, {torch.get_num_threads()} threads, {STEPS} evaluations, medians of {ROUNDS}")
    for name, seconds in {"one evaluation, guided": medians["the same, guided all along"] / STEPS, **medians}.items():
        print(f"{name:30s} {seconds:8.3f} s {seconds / bare:7.3f} of the bare steps")
    pairs = zip(times["steps with pictures"], times["steps without pictures"], strict=True)
    print(f"pictures cost {100 * (median(a / b for a, b in pairs) - 1):.1f} % of sampling")


if __name__ == "__main__":
    main()

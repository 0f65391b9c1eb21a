"""What a clip of 10.24 s costs: `PYTHONPATH=. python tests/benchmarks/sampling.py [checkpoint folder] [threads]`.

Seconds depend on the machine and its load; the ratios do not. All variants run in turns in one process, so that a
change of load meets all alike, and medians are shown.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from diffusion.checkpoint import find_checkpoint
from diffusion.engine import Clip, Preview
from diffusion.film import Film
from diffusion.request import Request
from diffusion.studio import Studio, open_studio
from diffusion.theory import LOG_SNR_RANGE

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
    studio = open_studio(folder)
    studio.prepare()
    request = studio.request(seed=0, steps=STEPS)
    all_along = request.changed(guidance_from=LOG_SNR_RANGE[0])
    *_, clip = studio.generate(request)
    assert isinstance(clip, Clip)

    def decode() -> None:
        studio.sound(clip.features)

    def whole() -> None:
        film = Film(studio.codec, request)
        for each in studio.generate(request):
            if isinstance(each, Preview):
                film.add(each)

    variants: dict[str, Callable[[], None]] = {
        "steps without pictures": lambda: sample(studio, request, None),
        "the same, guided all along": lambda: sample(studio, all_along, None),
        "steps with pictures": lambda: sample(studio, request, Film(studio.codec, request)),
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

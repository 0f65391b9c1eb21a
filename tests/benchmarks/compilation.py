"""What compilation saves: `PYTHONPATH=. python tests/benchmarks/compilation.py [checkpoint folder] [threads]`.

A clip at the default settings, with its pictures and decoded, as the network is and compiled, in every number format.
Seconds depend on the machine and its load; the ratios do not: all variants take turns in one process, and what is
shown are medians, the least, and the medians of the ratios within a round.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from statistics import median

import torch

from diffusion.checkpoint import find_checkpoint
from diffusion.engine import Preview
from diffusion.engine.local import LocalEngine
from diffusion.film import Film
from diffusion.networks.precision import fast_dtype
from diffusion.studio import Studio

ROUNDS = 9


def clip_s(studio: Studio) -> tuple[float, float]:
    """Seconds of the steps with their pictures, and of the whole clip."""
    request = studio.request(seed=0)
    film, steps_s = Film(studio.codec, request), 0.0
    start = time.perf_counter()
    for each in studio.generate(request):
        if isinstance(each, Preview):
            film.add(each)
            steps_s = time.perf_counter() - start
    return steps_s, time.perf_counter() - start


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else find_checkpoint()
    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else torch.get_num_threads())
    logging.basicConfig(format="%(message)s")
    logging.getLogger("diffusion").setLevel(logging.INFO)
    studios: dict[str, Studio] = {}
    for dtype in dict.fromkeys((fast_dtype(torch.device("cpu")), torch.float32)):
        name = str(dtype).removeprefix("torch.")
        plain, engine = (LocalEngine(folder, "cpu", dtype) for _ in range(2))
        studios[name], studios[f"{name}, compiled"] = Studio(plain), Studio(engine)
        start = time.perf_counter()
        if not engine.compile(studios[name].request(seed=0)):
            sys.exit("error: the network could not be compiled")
        print(f"{name}: served after {time.perf_counter() - start:.0f} s", flush=True)
    for studio in studios.values():
        clip_s(studio)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in studios}
    for _ in range(ROUNDS):
        for name, studio in studios.items():
            times[name].append(clip_s(studio))
    print(f"{torch.get_num_threads()} threads, a clip at the default settings, {ROUNDS} rounds")
    print(f"{'network':20s} {'steps':>8s} {'clip':>8s} {'least':>8s}  clip's ratio to not compiled")
    for name, each in times.items():
        plain = times[name.removesuffix(", compiled")]
        ratio = median(mine[1] / its[1] for mine, its in zip(each, plain, strict=True))
        steps_s, whole_s = (median(column) for column in zip(*each, strict=True))
        print(f"{name:20s} {steps_s:8.3f} {whole_s:8.3f} {min(whole for _, whole in each):8.3f} {ratio:6.2f}")


if __name__ == "__main__":
    main()

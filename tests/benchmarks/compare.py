"""What a comparison costs beyond its evaluations.

`PYTHONPATH=. python tests/benchmarks/compare.py [checkpoint folder] [threads]` times comparisons of 5 x 5 clips of
10.24 s at 20 evaluations, and as many guided evaluations of one clip at a time. Both take turns in one process, so that
a change of load meets both alike, and medians over batches are shown. The clips of the three comparisons fit into
batches of five. Before that, it measures the peak memory of one cell and of 25.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch

from diffusion.checkpoint import find_checkpoint
from diffusion.compare import Cell, Comparison, compare
from diffusion.engine import Preview
from diffusion.request import Request
from diffusion.studio import Studio, open_studio

STEPS, SIDE = 20, 5
SAMPLERS = ("unipc", "ddim", "ddpm", "dpmpp-2m", "euler")
GUIDANCE = (2.0, 3.0, 4.0, 5.0, 6.0)


def comparisons(base: Request) -> dict[str, Comparison]:
    seeds = tuple(range(SIDE))
    return {
        "seed by guidance": Comparison(base, "seed", seeds, "guidance_scale", GUIDANCE),
        "sampler by seed": Comparison(base, "sampler", SAMPLERS, "seed", seeds),
        "sampler by guidance": Comparison(base, "sampler", SAMPLERS, "guidance_scale", GUIDANCE),
    }


def evaluation_s(studio: Studio, request: Request) -> float:
    """Seconds of one evaluation of one clip: the median over a run, without its decoding."""
    seconds = []
    with closing(studio.generate(request)) as steps:
        for each in steps:
            assert isinstance(each, Preview)
            seconds.append(each.seconds)
            if each.index == each.total:
                break
    return median(after - before for before, after in pairwise(seconds))


def ratio(studio: Studio, comparison: Comparison) -> float:
    """The time of a comparison over that of its evaluations alone, which are timed before and after each batch."""
    ratios, evaluations = [], 0
    one_s, start = evaluation_s(studio, comparison.base), time.perf_counter()
    with closing(compare(studio, comparison, distances=False)) as steps:
        for each in steps:
            if isinstance(each, Cell):
                evaluations += each.clip.settings["evaluations"]
            elif each.index == 0 and evaluations:
                seconds, before_s = time.perf_counter() - start, one_s
                one_s = evaluation_s(studio, comparison.base)
                ratios.append(seconds / (evaluations * (before_s + one_s) / 2))
                evaluations, start = 0, time.perf_counter()
    return median(ratios)


def peak_mb(folder: Path, cells: int) -> float:
    """The most memory that a process with this one comparison takes."""
    studio = open_studio(folder)
    base = studio.request(seed=0, steps=2, style="any", ensemble="any")
    side = int(cells**0.5)
    comparison = Comparison(base, "seed", tuple(range(side)), "guidance_scale", GUIDANCE[:side])
    for _ in compare(studio, comparison, distances=False):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else find_checkpoint()
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        peaks = {cells: pool.apply(peak_mb, (folder, cells)) for cells in (1, SIDE**2)}
    print(f"peak memory: {peaks[1]:.0f} MB for 1 cell, {peaks[SIDE**2]:.0f} MB for {SIDE**2}")
    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else torch.get_num_threads())
    studio = open_studio(folder)
    studio.prepare()
    base = studio.request(seed=0, steps=STEPS)
    print(f"{studio.device}, {torch.get_num_threads()} threads, {SIDE} x {SIDE} clips of {base.duration_s} s")
    for decoder in studio.values("decoder"):
        for name, each in comparisons(base.changed(decoder=decoder)).items():
            print(f"{decoder:12s} {name:20s} {ratio(studio, each):5.2f} times its evaluations, decoding included")


if __name__ == "__main__":
    main()

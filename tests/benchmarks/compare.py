"""What a grid costs beyond its evaluations: `PYTHONPATH=. python tests/benchmarks/compare.py [checkpoint] [threads]`.

Grids of 5 x 5 clips of 10.24 s at 20 evaluations against the time of as many guided evaluations, one clip at a time,
which are measured in turns with them in one process, so that a change of load meets both alike; medians over batches.
Three grids whose clips can share batches of five. Before that, the peak memory of one cell and of 25.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch

from diffusion.compare import Cell, Grid, compare
from diffusion.studio import Preview, Request, Studio, find_checkpoint

STEPS, SIDE = 20, 5
SAMPLERS = ("unipc", "ddim", "ddpm", "dpmpp-2m", "euler")
GUIDANCE = (2.0, 3.0, 4.0, 5.0, 6.0)


def grids(base: Request) -> dict[str, Grid]:
    seeds = tuple(range(SIDE))
    return {
        "seed by guidance": Grid(base, "seed", seeds, "guidance_scale", GUIDANCE),
        "sampler by seed": Grid(base, "sampler", SAMPLERS, "seed", seeds),
        "sampler by guidance": Grid(base, "sampler", SAMPLERS, "guidance_scale", GUIDANCE),
    }


def look_s(studio: Studio, request: Request) -> float:
    """One evaluation of one clip, the median of a run without its decoding."""
    seconds = []
    with closing(studio.generate(request)) as steps:
        for each in steps:
            assert isinstance(each, Preview)
            seconds.append(each.seconds)
            if each.index == each.total:
                break
    return median(after - before for before, after in pairwise(seconds))


def ratio(studio: Studio, grid: Grid) -> float:
    """The time of a grid over that of its evaluations alone, which are timed before each batch and after it."""
    ratios, evaluations = [], 0
    look, start = look_s(studio, grid.base), time.perf_counter()
    with closing(compare(studio, grid, distances=False)) as steps:
        for each in steps:
            if isinstance(each, Cell):
                evaluations += each.clip.settings["evaluations"]
            elif each.index == 0 and evaluations:
                seconds, before = time.perf_counter() - start, look
                look = look_s(studio, grid.base)
                ratios.append(seconds / (evaluations * (before + look) / 2))
                evaluations, start = 0, time.perf_counter()
    return median(ratios)


def peak_mb(folder: Path, cells: int) -> float:
    """The most memory that a process with this one grid takes."""
    studio = Studio(folder)
    base = studio.request(seed=0, steps=2, style="any", ensemble="any")
    side = int(cells**0.5)
    grid = Grid(base, "seed", tuple(range(side)), "guidance_scale", GUIDANCE[:side])
    for _ in compare(studio, grid, distances=False):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else find_checkpoint()
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        peaks = {cells: pool.apply(peak_mb, (folder, cells)) for cells in (1, SIDE**2)}
    print(f"peak memory: {peaks[1]:.0f} MB for 1 cell, {peaks[SIDE**2]:.0f} MB for {SIDE**2}")
    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else torch.get_num_threads())
    studio = Studio(folder)
    studio.warm_up()
    base = studio.request(seed=0, steps=STEPS)
    print(f"{studio.device}, {torch.get_num_threads()} threads, {SIDE} x {SIDE} clips of {base.duration_s} s")
    for decoder in studio.codecs:
        for name, grid in grids(replace(base, decoder=decoder)).items():
            print(f"{decoder:12s} {name:20s} {ratio(studio, grid):5.2f} times its evaluations, decoding included")


if __name__ == "__main__":
    main()

"""What a grid costs beyond its evaluations: `PYTHONPATH=. python tests/benchmarks/compare.py [checkpoint folder]`.

Grids of 5 x 5 clips of 10.24 s at 20 evaluations against the time of as many guided evaluations, one clip at a time,
which are measured in turns with them in one process, so that a change of load meets both alike: seeds by guidance,
which can share batches, and seeds by samplers, of which only a row can. Then the peak memory of one cell and of 25.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

from diffusion.compare import Cell, Grid, Progress, compare
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
    """One evaluation of one clip, the median of a run."""
    seconds = [each.seconds for each in studio.generate(request) if isinstance(each, Preview)]
    return median(after - before for before, after in pairwise(seconds))


def ratio(studio: Studio, grid: Grid) -> tuple[float, float]:
    """The seconds of a grid, and its ratio to the evaluations alone, asked for between its cells."""
    looks: list[float] = []
    evaluations, batches, total = 0, 0, 0.0
    start = time.perf_counter()
    for each in compare(studio, grid, distances=False):
        if isinstance(each, Cell):
            evaluations += each.clip.settings["evaluations"]
        elif isinstance(each, Progress) and each.index == 0:
            total += time.perf_counter() - start
            if batches % SIDE == 0 or len(each.places) > 1:
                looks.append(look_s(studio, grid.base))
            batches += 1
            start = time.perf_counter()
    total += time.perf_counter() - start
    return total, total / (evaluations * median(looks))


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
    studio = Studio(folder)
    studio.warm_up()
    base = studio.request(seed=0, steps=STEPS)
    print(f"{studio.device}, {SIDE} x {SIDE} clips of {base.duration_s} s, {STEPS} evaluations each, {base.decoder}")
    for name, grid in grids(base).items():
        seconds, over = ratio(studio, grid)
        print(f"{name:20s} {seconds:7.1f} s  {over:5.2f} times its evaluations, decoding included")


if __name__ == "__main__":
    main()

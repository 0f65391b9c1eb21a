"""What the lab costs: `PYTHONPATH=. python tests/benchmarks/lab.py [answers] [dragging] [training]`, or all of it.

Seconds depend on the machine and its load; ratios and frames a second do less so.

- answers: for every experiment and every value of a knob beside the defaults, the seconds until its first picture, its
  last picture and its last number are ready for the browser, from shipped weights. The first row of an experiment also
  has what the first visitor of a server waits for, with its weights and libraries still to be read.
- dragging: frames a second that Chromium draws while a hand drags the slider of time to and fro.
- training: the seconds of another visitor's clip while "train again" trains, over those without it, in turns.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from playwright.sync_api import Page, sync_playwright

from diffusion.checkpoint import find_checkpoint
from diffusion.lab import EXPERIMENTS, Experiment
from diffusion.lab.apart import apart
from diffusion.lab.experiment import Images, Points
from diffusion.settings import Choice, Number
from diffusion.studio import Studio, open_studio
from diffusion.ui.lab.encoding import frame
from diffusion.ui.page import Page as ServedPage

RUNS, ROUNDS = 3, 3
DRAGS = 6  # across the slider
VIEWPORT = {"width": 1440, "height": 900}
DRAWN = """() => {
    window.drawn = [];
    const tick = (now) => { if (window.drawn) { window.drawn.push(now); requestAnimationFrame(tick); } };
    requestAnimationFrame(tick);
}"""
TAKEN = "() => { const { drawn } = window; window.drawn = null; return drawn; }"


def asked_of(experiment: Experiment) -> Iterator[dict[str, Any]]:
    """The defaults, and for each knob its other values: all of a choice, the ends of a range."""
    yield {}
    for name, knob in experiment.knobs.items():
        values = list(knob.catalogue) if isinstance(knob, Choice) else []
        if isinstance(knob, Number):
            values = [int(each) if knob.whole else each for each in knob.range]
        yield from ({name: each} for each in values if each != knob.default)


def answer_s(experiment: Experiment, given: dict[str, Any], seed: int) -> tuple[float, float, float]:
    """Seconds to the first picture, to the last one and to the last number, as JSON."""
    start = time.perf_counter()
    frames, first, drawn = [], 0.0, 0.0
    for each in experiment.run(experiment.asked(given), seed):
        json.dumps(frame(each))
        frames.append(each)
        first = first or time.perf_counter() - start
        if any(isinstance(panel, (Points, Images)) for panel in each.panels.values()):
            drawn = time.perf_counter() - start
    experiment.holds(frames)
    whole = time.perf_counter() - start
    return first, drawn or whole, whole


def answers() -> None:
    print("| experiment | knob | first picture, s | last picture, s | numbers, s | for the first visitor, s |")
    print("|---|---|---:|---:|---:|---:|")
    for name, experiment in EXPERIMENTS.items():
        cold = answer_s(experiment, {}, 1)
        for given in asked_of(experiment):
            runs = [answer_s(experiment, given, seed) for seed in range(2, 2 + RUNS)]
            taken = " | ".join(f"{median(each):.2f}" for each in zip(*runs, strict=True))
            knob = ", ".join(f"{key} {value}" for key, value in given.items()) or "as it is"
            begun = "" if given else ", ".join(f"{each:.2f}" for each in cold)
            print(f"| {name} | {knob} | {taken} | {begun} |", flush=True)


def frames_a_second(page: Page, name: str) -> tuple[float, float]:
    """Of the slider of an experiment: the mean, and that of the slowest second percentile of frames."""
    page.goto(f"{page.url.partition('#')[0]}#lab/{name}")
    page.wait_for_function(
        "name => document.querySelector(`#lab .experiments [aria-current][data-name='${name}']`)"
        " && document.querySelector('.lab:not(.busy) .numbers tbody tr')",
        arg=name,
    )
    slider = page.locator("#lab .time input")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    middle, left, right = box["y"] + box["height"] / 2, box["x"] + 4, box["x"] + box["width"] - 4
    page.mouse.move(right, middle)
    page.mouse.down()
    page.evaluate(DRAWN)
    for drag in range(DRAGS):
        page.mouse.move(left if drag % 2 == 0 else right, middle, steps=60)
    page.mouse.up()
    drawn = page.evaluate(TAKEN)
    gaps = sorted(after - before for before, after in pairwise(drawn))
    slowest = gaps[-max(1, len(gaps) // 50) :]
    return 1000 * len(gaps) / (drawn[-1] - drawn[0]), 1000 * len(slowest) / sum(slowest)


def dragging(studio: Studio) -> None:
    served = ServedPage(studio)
    served.launch(prevent_thread_lock=True, quiet=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=VIEWPORT)
        page.set_default_timeout(120_000)
        page.goto(f"{served.blocks.local_url}#lab")
        print("| experiment | frames a second | the slowest fiftieth |\n|---|---:|---:|")
        for name in EXPERIMENTS:
            mean, slowest = frames_a_second(page, name)
            print(f"| {name} | {mean:.0f} | {slowest:.0f} |", flush=True)
        browser.close()
    served.blocks.close()


def clip_s(studio: Studio) -> float:
    start = time.perf_counter()
    deque(studio.generate(studio.request(seed=1)), maxlen=0)
    return time.perf_counter() - start


def while_trained_s(studio: Studio, name: str) -> float:
    """A clip's seconds once the training has begun."""
    begun, stop = threading.Event(), threading.Event()

    def train() -> None:
        experiment = EXPERIMENTS[name]
        with closing(apart(name, experiment.asked({}), 1, stop)) as frames:  # type: ignore[type-var]
            for _ in frames:
                begun.set()

    thread = threading.Thread(target=train)
    thread.start()
    begun.wait()
    try:
        return clip_s(studio)
    finally:
        stop.set()
        thread.join()


def training(studio: Studio) -> None:
    print("| training | clip alone, s | clip meanwhile, s | ratio |\n|---|---:|---:|---:|")
    for name, experiment in EXPERIMENTS.items():
        if experiment.trains:
            pairs = [(clip_s(studio), while_trained_s(studio, name)) for _ in range(ROUNDS)]
            alone, meanwhile = (median(each) for each in zip(*pairs, strict=True))
            ratio = median(after / before for before, after in pairs)
            print(f"| {name} | {alone:.2f} | {meanwhile:.2f} | {ratio:.2f} |", flush=True)


def main() -> None:
    wanted = sys.argv[1:] or ["answers", "dragging", "training"]
    if "answers" in wanted:
        answers()
    if {"dragging", "training"} & set(wanted):
        studio = open_studio(find_checkpoint())
        studio.prepare()
        if "dragging" in wanted:
            dragging(studio)
        if "training" in wanted:
            training(studio)
    print(f"{torch.get_num_threads()} threads, medians of {RUNS} runs and {ROUNDS} rounds")


if __name__ == "__main__":
    main()

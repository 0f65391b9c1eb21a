"""What the page costs: `PYTHONPATH=. python tests/benchmarks/page.py [checkpoint folder]`.

Seconds depend on the machine and its load; the ratio does not. Medians are shown.

- From the start of `python app.py` until its page can be used in a browser that is open already, and until it answers.
- From the press on Generate to the first change of the picture.
- What a run takes beyond its evaluations, as a share of these: on the page, with pictures at up to twenty a second,
  and alone, in turns.
"""

from __future__ import annotations

import math
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from playwright.sync_api import Browser, Page, sync_playwright
from torch import Tensor

from diffusion import checkpoint
from diffusion.checkpoint import find_checkpoint
from diffusion.compose import compose
from diffusion.denoisers import InFormat
from diffusion.edits import Sources
from diffusion.engine import Clip, Preview, Stop
from diffusion.engine.local import LocalEngine, preview
from diffusion.networks.precision import fast_dtype
from diffusion.request import Request
from diffusion.studio import Studio
from diffusion.theory import Cond, Denoiser, Estimate, Schedule, Step
from diffusion.ui.page import Page as ServedPage

ROOT = Path(__file__).resolve().parents[2]
STARTS, PRESSES, ROUNDS, STEPS = 3, 10, 5, 50
PRESS = """() => new Promise((done) => {
    const images = [...document.querySelectorAll('.pane img')];
    const seen = new MutationObserver(() => { seen.disconnect(); done(performance.now() - start); });
    for (const image of images) seen.observe(image, { attributes: true });
    const start = performance.now();
    document.querySelector('#generate').click();
})"""

LAST = """() => {
    const film = document.querySelector('.film input');
    film.value = film.max - 1;
    film.dispatchEvent(new Event('input'));
}"""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a new server; it may not answer yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "app.py", "--checkpoint", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def answered(address: str) -> None:
    while True:
        try:
            urllib.request.urlopen(address).close()
            return
        except OSError:
            time.sleep(0.02)


def usable(browser: Browser, address: str) -> Page:
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector("#generate:not([disabled])")
    page.wait_for_selector(".play:not([disabled])")
    return page


def run(page: Page, steps: int) -> float:
    """Press Generate and wait for the clip: ms to the first picture."""
    page.locator("#steps input").fill(str(steps))
    page.locator("#steps input").blur()
    before = page.locator(".canvas").get_attribute("data-clip")
    first_ms = page.evaluate(PRESS)
    page.wait_for_function("before => document.querySelector('.canvas').dataset.clip !== before", arg=before)
    page.wait_for_selector("#generate:not([disabled])")
    return float(first_ms)


@dataclass
class Timed:
    """A denoiser that knows how long it has worked."""

    inner: Denoiser
    seconds: float = 0.0

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        start = time.perf_counter()
        estimate = self.inner(x_t, t, cond)
        self.seconds += time.perf_counter() - start
        return estimate


class TimedEngine:
    """A local engine whose evaluations are timed. It runs one request at a time."""

    def __init__(self, folder: Path) -> None:
        self._local = LocalEngine(folder)
        self.model, self._device = self._local.model, self._local.device
        denoiser = checkpoint.load(folder, self._device).denoiser
        self.timed = Timed(InFormat(denoiser, self._device, fast_dtype(self._device)))

    def run(self, requests: Sequence[Request], stop: Stop, sources: Sources = ()) -> Generator[Preview | Clip]:
        start = time.perf_counter()
        for each in compose(self.timed, self.model.configuration, requests, stop=stop, device=self._device):
            if isinstance(each, Step):
                level = self.timed.schedule(torch.tensor(each.s, dtype=torch.float64))
                yield preview(each, level, time.perf_counter() - start)
                continue
            settings = {**requests[0].to_dict(), "evaluations": each.evaluations, "stopped_at": each.stopped_at}
            features = each.features[0].to("cpu", torch.float32).numpy()
            wave = self.sound(features, requests[0].decoder, math.inf)
            rate_hz = self.model.configuration.features.sample_rate_hz
            yield Clip(features, settings, time.perf_counter() - start, wave, rate_hz, 1.0)

    def sound(self, features: np.ndarray, decoder: str, most: float) -> np.ndarray:
        return self._local.sound(features, decoder, most)

    def prepare(self, request: Request, compile: bool) -> None:
        self._local.prepare(request, compile)


def overhead(timed: Timed, sample: Callable[[], float]) -> float:
    """What steps cost beyond their evaluations, as a share of these; `sample` returns the seconds of all steps."""
    timed.seconds = 0.0
    return sample() / timed.seconds - 1


def alone_s(studio: Studio) -> float:
    *_, last = (each for each in studio.generate(studio.request(steps=STEPS)) if isinstance(each, Preview))
    return last.seconds


def shown_s(page: Page) -> float:
    """The same on the page: what its last picture says."""
    run(page, STEPS)
    page.evaluate(LAST)
    return float(page.locator("[data-number=seconds]").inner_text().split()[0])


def main() -> None:
    folder = (Path(sys.argv[1]) if len(sys.argv) > 1 else find_checkpoint()).resolve()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell"), args=["--no-sandbox"]
        )
        answers, starts = [], []
        for _ in range(STARTS):
            start = time.perf_counter()
            with serving(folder) as address:
                answered(address)
                answers.append(time.perf_counter() - start)
                usable(browser, address).close()
                starts.append(time.perf_counter() - start)
        print(f"from start to answer {median(answers):.2f} s, to a page that can be used {median(starts):.2f} s")
        with serving(folder) as address:
            answered(address)
            page = usable(browser, address)
            page.set_default_timeout(600_000)
            presses = [run(page, 4) for _ in range(PRESSES + 1)][1:]
            print(f"from the press to the first picture {median(presses):.0f} ms, at most {max(presses):.0f} ms")
        engine = TimedEngine(folder)
        studio, timed = Studio(engine), engine.timed
        studio.prepare()
        served = ServedPage(studio)
        served.launch(prevent_thread_lock=True, quiet=True)
        page = usable(browser, served.blocks.local_url)
        page.set_default_timeout(600_000)
        pairs = [
            (overhead(timed, lambda: shown_s(page)), overhead(timed, lambda: alone_s(studio))) for _ in range(ROUNDS)
        ]
        shown, alone = (100 * median(each) for each in zip(*pairs, strict=True))
        print(f"{STEPS} steps cost {alone:.1f} % more than their evaluations, on the page {shown:.1f} %")
        served.blocks.close()
        browser.close()
    print(f"{torch.get_num_threads()} threads, medians of {STARTS} starts, {PRESSES} presses and {ROUNDS} rounds")


if __name__ == "__main__":
    main()

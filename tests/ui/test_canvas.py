"""The score while visitors wait, watch, stop and leave, over a model whose every evaluation the test can hold back."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client
from visitor import SEED, both_widths, choose, finished, generate, message, player, quick, watch_pictures

from diffusion.edits import Sources
from diffusion.engine import Clip, Engine, Model, Preview, Stop
from diffusion.engine.local import LocalEngine
from diffusion.request import Request
from diffusion.studio import Studio
from diffusion.theory import Cosine, leap_grid
from diffusion.ui.compose.visits import Visits
from diffusion.ui.page import Page
from diffusion.ui.shared.events import RUNS_AT_ONCE

sync_api = pytest.importorskip("playwright.sync_api")
PATIENCE_S = 60


@dataclass
class Held:
    """An engine that works only as often as it is let, and counts its evaluations."""

    inner: Engine
    leave: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    open: bool = True
    evaluations: int = 0

    @property
    def model(self) -> Model:
        return self.inner.model

    def run(self, requests: Sequence[Request], stop: Stop, sources: Sources = ()) -> Generator[Preview | Clip]:
        counted = 0
        for each in self.inner.run(requests, stop, sources):
            if isinstance(each, Clip):
                yield each
                continue
            self.evaluations += each.evaluations - counted
            counted = each.evaluations
            yield each
            if each.index < each.total and not self.open:
                self.leave.acquire()

    def sound(self, features: np.ndarray, decoder: str, most: float) -> np.ndarray:
        return self.inner.sound(features, decoder, most)

    def prepare(self, request: Request, compile: bool) -> None:
        self.inner.prepare(request, compile)

    def hold(self) -> None:
        self.open = False

    def let_go(self, waiting: int = 64) -> None:
        self.open = True
        self.leave.release(waiting)


@dataclass
class House:
    """A page served from this process, so that a test can look behind it."""

    address: str
    model: Held
    visits: Visits
    blocks: object
    folders: tuple[Path, ...]

    def until(self, happens: Callable[[], bool]) -> None:
        for _ in range(50 * PATIENCE_S):
            if happens():
                return
            time.sleep(0.02)
        pytest.fail("it did not happen")


@pytest.fixture(scope="module")
def house(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patch:
        cache, temporary = tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("temporary")
        patch.setitem(os.environ, "GRADIO_TEMP_DIR", str(cache))
        patch.setattr(tempfile, "tempdir", str(temporary))
        held = Held(LocalEngine(model, "cpu"))
        page = Page(Studio(held))
        page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
        blocks = page.blocks
        yield House(blocks.local_url.rstrip("/"), held, page.compose.visits, blocks, (cache, temporary))
        held.let_go()
        blocks.close(verbose=False)


@pytest.fixture
def server(house: House) -> Iterator[str]:
    """Stands in for the server process of the other tests."""
    yield house.address
    house.model.let_go()
    house.until(lambda: not house.visits.runs)
    house.model.leave = threading.Semaphore(0)


def shows(page, index: int) -> None:
    page.wait_for_function("index => Number(document.querySelector('.panes').dataset.index) >= index", arg=index)


def says(page, text: str) -> None:
    page.wait_for_function("text => document.querySelector('.canvas .message').textContent.includes(text)", arg=text)


def keep_seed(page) -> None:
    page.locator("#keep input").check(force=True)


def step_until_shown(house: House, page, index: int) -> None:
    """One evaluation after the other until a step is seen: pictures that come too soon after others are left out."""
    for _ in range(50):
        house.model.leave.release()
        try:
            page.wait_for_function(
                "index => Number(document.querySelector('.panes').dataset.index) >= index", arg=index, timeout=500
            )
        except sync_api.TimeoutError:
            continue
        return
    pytest.fail(f"step {index} is not shown")


def test_visitors_are_told_their_place_in_the_queue(visit, house: House) -> None:
    pages = [visit(), visit()]
    for page in pages:
        quick(page)
    house.model.hold()
    client = Client(house.address, verbose=False)
    jobs = [client.submit(steps=1, duration_s=2.56, api_name="/generate") for _ in range(RUNS_AT_ONCE)]
    queue = house.blocks._queue  # type: ignore[attr-defined]
    house.until(lambda: all(job.status().code.name == "PROCESSING" for job in jobs) and not len(queue))
    for page, place in zip(pages, (1, 2), strict=True):
        generate(page)
        says(page, f"You are number {place} in the queue.")
    house.model.let_go()
    for page in pages:
        finished(page)
        assert "made of noise" in message(page)
    for job in jobs:
        job.result(timeout=PATIENCE_S)


def test_whoever_waits_can_leave_the_queue_and_come_back(visit, house: House) -> None:
    first, second = visit(), visit()
    for page in (first, second):
        quick(page)
    clip = first.locator(".canvas").get_attribute("data-clip")
    house.model.hold()
    client = Client(house.address, verbose=False)
    jobs = [client.submit(steps=1, duration_s=2.56, api_name="/generate") for _ in range(RUNS_AT_ONCE)]
    queue = house.blocks._queue  # type: ignore[attr-defined]
    house.until(lambda: all(job.status().code.name == "PROCESSING" for job in jobs) and not len(queue))
    for page, place in ((first, 1), (second, 2)):
        generate(page)
        says(page, f"You are number {place} in the queue.")
    first.locator("#stop").click()
    assert message(first) == "You left the queue."
    says(second, "You are number 1 in the queue.")
    assert len(queue) == 1
    first.locator("#stop:disabled").wait_for()
    generate(first)
    says(first, "You are number 2 in the queue.")
    first.locator("#stop").click()
    house.until(lambda: len(queue) == 1)
    house.model.let_go()
    finished(second)
    for job in jobs:
        job.result(timeout=PATIENCE_S)
    assert first.locator(".canvas").get_attribute("data-clip") == clip  # of what was left nothing comes
    generate(first)
    finished(first)
    assert first.locator(".canvas").get_attribute("data-clip") != clip


def test_a_full_queue_is_said_in_words(visit, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    page = visit()
    clip = page.locator(".canvas").get_attribute("data-clip")
    monkeypatch.setattr(house.blocks._queue, "max_size", 0)  # type: ignore[attr-defined]
    page.click("#generate")
    page.wait_for_selector(".canvas .message.error")
    assert "The queue is full" in message(page)
    assert not page.locator(".waiting").count()
    assert page.locator(".canvas").get_attribute("data-clip") == clip
    monkeypatch.undo()
    quick(page)
    generate(page)  # the button still works
    finished(page)


def test_a_server_that_does_not_answer_is_said_in_words(visit, house: House) -> None:
    page = visit()
    page.context.set_offline(True)
    page.click("#generate")
    page.wait_for_selector(".canvas .message.error")
    assert message(page) == "The server does not answer."


def test_a_server_lost_while_sampling_is_said_in_words(visit, house: House) -> None:
    page = visit()
    quick(page)
    house.model.hold()
    generate(page)
    shows(page, 0)
    page.context.set_offline(True)
    page.wait_for_selector(".canvas .message.error")
    assert message(page) == "The server does not answer."
    assert page.locator(".sampling").count()  # the run may go on all the same
    house.model.let_go()
    page.context.set_offline(False)
    finished(page)


def test_the_line_counts_steps_and_time(visit, house: House) -> None:
    page = visit()
    quick(page, 4, SEED)
    house.model.hold()
    generate(page)
    shows(page, 0)

    def numbers() -> dict[str, str]:
        return page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll('[data-number]')]
                .map((each) => [each.dataset.number, each.textContent]))"""
        )

    times = leap_grid(Cosine(), 4)
    first = numbers()
    assert (first["step"], first["t"], first["evaluations"], first["remaining"]) == ("0 / 4", "1.000", "0", "–")
    for index in (1, 2, 3):
        step_until_shown(house, page, index)
        shown = numbers()
        assert shown["step"] == f"{index} / 4"
        assert shown["evaluations"] == str(index)
        assert shown["t"] == f"{times[index]:.3f}"
        elapsed, remaining = (float(shown[name].removesuffix(" s")) for name in ("seconds", "remaining"))
        assert remaining == pytest.approx(elapsed * (4 - index) / index, abs=0.25)
    house.model.let_go()
    finished(page)
    assert numbers()["remaining"] == "–"


def test_stop_ends_one_run_within_one_evaluation_and_no_other(visit, house: House) -> None:
    stopping, staying = visit(), visit()
    quick(stopping, 1000, SEED)
    quick(staying, 3, SEED + 1)
    house.model.hold()
    generate(stopping)
    shows(stopping, 0)
    step_until_shown(house, stopping, 1)
    generate(staying)
    shows(staying, 0)
    stopping.click("#stop")
    house.until(lambda: any(run.stop.is_set() for run in house.visits.runs.values()))
    before = house.model.evaluations
    house.model.let_go()
    settings = finished(stopping)
    assert 1 <= settings["stopped_at"] <= settings["evaluations"]
    others = finished(staying, SEED + 1)
    assert (others["stopped_at"], others["evaluations"]) == (None, 3)
    assert house.model.evaluations - before <= 1 + 3


def test_a_closed_tab_frees_the_sampler_within_one_evaluation(visit, house: House) -> None:
    leaving, staying = visit(), visit()
    quick(leaving, 1000)
    house.model.hold()
    generate(leaving)
    shows(leaving, 0)
    (run,) = house.visits.runs.values()
    before = house.model.evaluations
    leaving.context.close()
    house.until(lambda: run.superseded)
    house.model.let_go()
    house.until(lambda: not any(thread.name == "run" for thread in threading.enumerate()))
    assert house.model.evaluations - before <= 1
    quick(staying, 3, SEED)
    generate(staying)
    finished(staying, SEED)


# Where the sound is against the clock of its context, at every frame: it changes only where the playhead jumps.
TRACE = """async () => {
    const { player } = await import('/page/shared/player.js');
    window.trace = [];
    player.addEventListener('sound', () => window.trace.push(['sound', player.position]));
    const look = () => {
        const late = (player.position - player.context.currentTime) % player.duration;
        window.trace.push(['at', (late + player.duration) % player.duration]);
        requestAnimationFrame(look);
    };
    look();
}"""


@both_widths
def test_the_same_noise_with_other_words_goes_on_at_the_same_position(visit, studio: Studio) -> None:
    page = visit()
    quick(page, 2, SEED)
    keep_seed(page)
    generate(page)
    first = finished(page, SEED)
    page.evaluate(TRACE)
    before = page.locator(".canvas").get_attribute("data-clip")
    choose(page, "ensemble", next(name for name in studio.labels["ensemble"] if name != first["ensemble"]))
    if page.locator("#generate:not([disabled])").count():  # where the choice itself has not started the run
        page.click("#generate")
    page.wait_for_function("before => document.querySelector('.canvas').dataset.clip !== before", arg=before)
    page.wait_for_function("window.trace.findLastIndex(([kind]) => kind === 'sound') < window.trace.length - 20")
    trace = page.evaluate("window.trace")
    assert "sound" in [kind for kind, _ in trace]
    late = [value for kind, value in trace if kind == "at"]
    assert max(min(abs(value - late[0]), 2.56 - abs(value - late[0])) for value in late) < 0.05
    assert player(page, "playing")


def test_another_noise_begins_at_its_beginning(visit) -> None:
    page = visit()
    quick(page, 2, SEED)
    generate(page)
    finished(page, SEED)
    page.wait_for_function("async () => (await import('/page/shared/player.js')).player.position > 0.5")
    page.evaluate(TRACE)
    quick(page, 2, SEED + 1)
    generate(page)
    finished(page, SEED + 1)
    sounds = [position for kind, position in page.evaluate("window.trace") if kind == "sound"]
    assert sounds[0] == 0


@both_widths
def test_the_loop_can_be_turned_off(visit) -> None:
    page = visit()
    quick(page, 2)
    generate(page)
    finished(page)
    assert page.locator(".loop").get_attribute("aria-pressed") == "true"
    page.click(".loop")
    assert page.locator(".loop").get_attribute("aria-pressed") == "false"
    assert not player(page, "loop")
    page.wait_for_selector(".play[aria-label=Play]")  # it has come to its end
    assert player(page, "position") == 0


@both_widths
def test_dragging_seeks(visit) -> None:
    page = visit()
    quick(page, 2)
    generate(page)
    finished(page)
    page.click(".play")
    page.evaluate("scrollTo(0, 0)")
    box = page.locator(".seek").bounding_box()
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 40, steps=4)
    assert player(page, "position") == pytest.approx(0.75 * 2.56, abs=0.02)
    page.mouse.up()
    page.mouse.move(box["x"], box["y"] + 40)
    assert player(page, "position") == pytest.approx(0.75 * 2.56, abs=0.02)


@pytest.mark.parametrize(("width", "view", "names"), [(1440, "belief", 7), (1440, "both", 6), (390, "belief", 5)])
def test_notes_are_named_where_they_do_not_collide(visit, width: int, view: str, names: int) -> None:
    page = visit(width=width)
    page.click(f".views [data-view={view}]")
    found = page.evaluate(
        """() => [...document.querySelectorAll('[data-picture=belief] .notes span')].map((note) => {
            const name = note.firstElementChild.getBoundingClientRect(), line = note.getBoundingClientRect();
            return [note.textContent, name.height > 0, (name.top + name.bottom) / 2, line.bottom];
        })"""
    )
    assert [name for name, *_ in found] == ["C2", "C3", "C4", "C5", "C6", "C7", "C8"]
    named = [(name, middle, line) for name, shown, middle, line in found if shown]
    assert len(named) >= names
    assert [name for name, *_ in named] == ["C2", "C3", "C4", "C5", "C6", "C7", "C8"][-len(named) :]
    for (_, low, line), (_, high, _) in pairwise(named):
        assert low - high >= 12  # no name lies over another
        assert abs(low - line) <= 9  # and none is far from its note


def test_pictures_never_flicker_and_nothing_is_written(visit, house: House) -> None:
    page = visit()
    quick(page, 50)
    page.click(".views [data-view=both]")
    watch_pictures(page)
    page.evaluate(
        """() => {
            window.holes = 0;
            const look = () => {
                for (const image of document.querySelectorAll('.pane img')) {
                    if (!image.complete || !image.naturalWidth) window.holes += 1;
                }
                requestAnimationFrame(look);
            };
            look();
        }"""
    )

    def files() -> set[Path]:
        return {path for folder in house.folders for path in folder.rglob("*") if path.is_file()}

    before = files()
    generate(page)
    finished(page)
    assert files() == before
    assert page.evaluate("window.holes") == 0
    assert page.evaluate("window.pictures.noise.size") >= 10
    href = page.locator(".download").get_attribute("href")
    assert href.startswith("blob:")

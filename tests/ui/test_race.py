"""The race: live on one's own machine, recorded once on a shared server; its times are measured."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from serving import PATIENCE_S, free_port, serving
from visitor import SEED, finished, generate, message, number, player, quick, unfold, write_seed

from diffusion.settings import PRESETS
from diffusion.studio import Studio, open_studio
from diffusion.ui.compose.race import RACERS, RECORDINGS, Race, Races
from diffusion.ui.compose.race import SEED as RECORDED_SEED


@pytest.fixture(scope="module", params=["live"])
def server(request, small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with a model so small that a thousand steps take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUT_OF_NOISE_SHARED", "1" if request.param == "shared" else "")
        with serving(small_checkpoint, tmp_path_factory.mktemp("race") / "log.txt", free_port()) as address:
            yield address


@pytest.fixture(scope="module")
def small(small_checkpoint: Path) -> Studio:
    return open_studio(small_checkpoint, "cpu")


def race(page) -> None:
    page.evaluate("document.querySelectorAll('.race .lane').forEach((lane) => lane.remove())")  # those of a race before
    page.click(f"[data-preset='{RACERS[1]}']")
    page.locator(".race .lane").first.wait_for()


def over(page) -> str:
    page.wait_for_selector("#generate:not([disabled])", timeout=5000 * PATIENCE_S)  # a thousand steps
    return page.locator(".race .verdict").inner_text()


def count(page, lane: int, name: str) -> str:
    return page.locator(f".race .lane:nth-child({lane + 1}) [data-count={name}]").inner_text()


def short(page) -> None:
    unfold(page, "advanced")
    number(page, "duration_s", 2.56)


def test_both_run_from_one_noise_and_the_times_are_measured(visit) -> None:
    page = visit()
    short(page)
    write_seed(page, SEED)
    race(page)
    page.wait_for_selector(".race .lane:nth-child(1).done")
    assert not page.locator(".canvas").is_visible()
    assert page.locator("#generate").is_disabled()
    assert f"seed {SEED}" in page.locator(".race h2").inner_text()
    text = over(page)
    assert [count(page, lane, "evaluations") for lane in (0, 1)] == [str(PRESETS[name]["steps"]) for name in RACERS]
    times = [float(count(page, lane, "time").split()[0]) for lane in (0, 1)]
    ratio = float(re.search(r"([\d.]+) times sooner", text)[1])
    assert ratio == pytest.approx(times[1] / times[0], rel=0.5)  # the times on show are rounded to a tenth of a second
    assert ratio > 2
    assert "Measured just now" in text
    left, right = page.locator(".race .listen").all()
    left.click()
    page.wait_for_function("async () => (await import('/page/shared/player.js')).player.position > 0.3")
    page.evaluate(
        """async () => {
            const { player } = await import('/page/shared/player.js');
            const show = player.show.bind(player);
            player.show = (buffer, options) => { window.options = options; show(buffer, options); };
        }"""
    )
    right.click()
    page.wait_for_selector(".race .lane:nth-child(2).sounding")
    assert page.evaluate("window.options.position") is None  # where the other was
    assert page.locator(".race .lane:nth-child(1).sounding").count() == 0
    right.click()
    page.wait_for_selector(".race .listen[aria-label='Play 2020']")
    assert not player(page, "playing")
    page.get_by_role("button", name="Back to the canvas").click()
    assert page.locator(".canvas").is_visible()
    assert page.evaluate(
        """async () => {
            const { player } = await import('/page/shared/player.js');
            return player.duration === Number(document.querySelector('.seek').getAttribute('aria-valuemax'));
        }"""
    )


def test_stop_ends_a_race_with_what_both_believe(visit) -> None:
    page = visit()
    short(page)
    race(page)
    page.wait_for_selector(".race .lane:nth-child(1).done")
    page.click("#stop")
    assert re.search(r"Stopped at step \d+ of 1000\. Instant was ready after", over(page))
    page.locator(".race .listen").nth(1).click()
    page.wait_for_selector(".race .lane:nth-child(2).sounding")


def test_leaving_a_race_gives_the_page_back(visit) -> None:
    page = visit()
    race(page)
    page.get_by_role("button", name="Back to the canvas").click()
    page.wait_for_selector("#generate:not([disabled])")
    quick(page, 2, SEED)
    generate(page)
    finished(page, SEED)
    assert page.locator(".canvas").is_visible()


def test_a_wrong_rail_races_nobody(visit) -> None:
    page = visit()
    write_seed(page, "2.5")
    page.click(f"[data-preset='{RACERS[1]}']")
    page.wait_for_selector(".canvas .message.error")
    assert "seed: got 2.5" in message(page)
    assert not page.locator(".race").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_race_on_a_phone_is_one_above_the_other(visit, scheme: str) -> None:
    page = visit(width=390, height=844, color_scheme=scheme, has_touch=True, is_mobile=True)
    short(page)
    race(page)
    page.wait_for_selector(".race .lane:nth-child(1).done")
    page.click("#stop")
    over(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = [lane.bounding_box() for lane in page.locator(".race .lane").all()]
    assert boxes[0]["x"] == boxes[1]["x"]
    assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"]


@pytest.mark.parametrize("server", ["shared"], indirect=True)
def test_a_shared_server_records_a_race_once_and_says_so(visit) -> None:
    first, second = visit(), visit()
    for page in (first, second):
        write_seed(page, SEED)
        race(page)
        assert f"seed {RECORDED_SEED}" in page.locator(".race h2").inner_text()
    names = [over(page) for page in (first, second)]
    assert names[0] == names[1]  # the same measured times to the digit: one recording
    assert "Measured when it was recorded on this server" in names[0]
    assert [page.locator("#seed input").input_value() for page in (first, second)] == [str(SEED)] * 2
    begun = time.monotonic()
    race(first)
    first.wait_for_selector(".race .lane:nth-child(1).done")
    assert time.monotonic() - begun >= float(count(first, 0, "time").split()[0]) - 0.1  # shown in its true time
    first.click("#stop")
    assert over(first) == "Stopped."


def wait_for(condition) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it never came")


def test_a_race_is_timed_messages_of_two_runs_and_their_clips(small: Studio) -> None:
    live = Race(small, small.request(seed=SEED, duration_s=2.56), recorded=False)
    live.run()
    clips = [each for each in live.messages if "clip" in each]
    assert [each["lane"] for each in clips] == [0, 1]
    assert [each["clip"]["settings"]["steps"] for each in clips] == [PRESETS[name]["steps"] for name in RACERS]
    assert {each["clip"]["settings"]["seed"] for each in clips} == {SEED}
    assert [each["clip"]["settings"].get("by_the_book", "no") for each in clips] == ["no", "yes"]
    for lane, fewest in ((0, 9), (1, 120)):
        mine = [each for each in live.messages if each["lane"] == lane]
        assert sorted(each["at"] for each in mine) == [each["at"] for each in mine]
        assert sum(1 for each in mine[:-1] if each["picture"]) >= fewest
        assert sum(1 for each in mine[:-1] if each["picture"]) <= 121
    said: list[Any] = []
    while True:
        news = live.news(len(said))
        said += news["messages"]
        if news["over"]:
            break
    assert said == live.messages


def test_recordings_are_made_once_and_the_oldest_give_way(small: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, str]] = []
    gate = threading.Event()

    def run(self: Race) -> None:
        made.append((self.requests[0].label("style"), self.requests[0].label("ensemble")))
        gate.wait(60)
        self.begun = self.over = True

    monkeypatch.setattr(Race, "run", run)
    races = Races(small, public=True)
    first = races.start(small.request(style="chorale", ensemble="piano", seed=1), "a")
    again = races.start(small.request(style="chorale", ensemble="piano", seed=2), "b")
    assert first["race"] == again["race"]
    assert first["recorded"]
    other = races.start(small.request(style="fiddle", ensemble="piano"), "c")
    assert other["race"] != first["race"]
    wait_for(lambda: made == [("chorale", "piano")])  # one at a time
    gate.set()
    wait_for(lambda: len(made) == 2)
    dark = races.start(small.request(style="chorale", ensemble="piano", mode="minor"), "c")
    assert dark["race"] != first["race"]
    assert dark["names"]["en"] == ["Chorale", "Piano", "Minor"]  # the tempo is left open
    keys = list(product(("any", "chorale", "fiddle"), ("any", "piano", "music_box", "flute")))
    assert len(keys) == RECORDINGS
    for style, ensemble in keys:
        races.start(small.request(style=style, ensemble=ensemble), "d")
    assert len(races.kept) == RECORDINGS


def test_a_live_race_ends_with_its_visitor_and_with_the_next(small: Studio) -> None:
    races = Races(small, public=False)
    request = small.request(seed=SEED, duration_s=2.56)
    first = races.kept[races.start(request, "a") and "a"]
    second = races.kept[races.start(request, "a") and "a"]
    assert first.stop.is_set()
    assert not second.stop.is_set()
    races.halt({"race": second.name})
    assert second.stop.is_set()
    wait_for(lambda: first.over and second.over)
    assert second.news(0)["messages"]
    for wrong in (None, {}, {"race": 3}, {"race": "x"}):
        races.halt(wrong)

"""The room to compare: a grid that fills in and stops, heard at one position, and what it leaves behind."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from visitor import player, quick, unfold

from diffusion.compare import AXES, Comparison
from diffusion.request import Request
from diffusion.studio import Studio
from diffusion.ui.compare.report import axes_of

DONE = ".compare [data-state=done]"
HEARD = ".compare [data-heard]"


def enter(page, steps: str = "2, 3", distances: bool = False) -> None:
    """Into the room, with a small grid of steps by samplers."""
    page.click(".rooms a[href='#compare']")
    page.wait_for_selector(".compare [data-axis=y] .values button")
    page.locator(".compare [data-axis=x] .values input").fill(steps)
    for title in ("UniPC", "DDIM", "DDPM"):
        chip = page.locator(".compare .values").get_by_role("button", name=title, exact=True)
        if (chip.get_attribute("aria-pressed") == "true") != (title != "DDPM"):
            chip.click()
    page.locator(".compare .distances input").set_checked(distances)


def compose(page) -> None:
    page.click(".compare .run:not([disabled])")
    page.wait_for_selector(".compare.busy")


def over(page, words: str) -> None:
    page.wait_for_function(
        "words => document.querySelector('.compare .message').textContent.includes(words)", arg=words
    )


def cell(page, row: int, column: int):
    return page.locator(f".compare [data-row='{row}'][data-column='{column}']")


def filled(page, cells: int) -> None:
    page.wait_for_function("count => document.querySelectorAll('.compare [data-heard]').length === count", arg=cells)


def test_a_grid_fills_in_with_pictures_numbers_and_distances(visit) -> None:
    page = visit()
    quick(page, 3, 17)
    enter(page, distances=True)
    page.wait_for_function("document.querySelector('.compare .cost').textContent.includes('4 cells, 10 evaluations')")
    compose(page)
    over(page, "All 4 cells are there")
    filled(page, 4)
    assert page.locator(".compare [role=columnheader]").all_inner_texts()[1:] == ["2", "3"]
    assert page.locator(".compare [role=rowheader]").all_inner_texts() == ["UniPC", "DDIM"]
    assert cell(page, 1, 1).locator(".evaluations").inner_text() == "3 evals"
    assert cell(page, 1, 1).locator("img").get_attribute("src").startswith("data:image/jpeg")
    (two, three), (_, other) = ([cell(page, i, j).locator("img").get_attribute("src") for j in (0, 1)] for i in (0, 1))
    assert len({two, three, other}) == 3  # in two steps both samplers may get as far
    distances = [float(text.split()[0]) for text in page.locator(".compare .distance").all_inner_texts()]
    assert all(distance > 0 for distance in distances)
    assert "decibels from the converged clip" in cell(page, 0, 0).get_attribute("aria-label")
    enter(page, "2, 3, 4")  # what is there already is not composed again
    compose(page)
    over(page, "All 6 cells are there")
    filled(page, 6)
    assert page.locator(".compare .cached:not([hidden])").count() == 4


def test_arrows_switch_the_sound_at_one_position(visit) -> None:
    page = visit()
    quick(page)
    enter(page)
    compose(page)
    filled(page, 4)
    cell(page, 0, 0).click()
    page.wait_for_function("async () => (await import('/page/shared/player.js')).player.playing")
    page.evaluate(
        """async () => {
            const { player } = await import('/page/shared/player.js');
            window.heard = [player.buffer];
            window.jumps = [];
            const show = player.show.bind(player);
            player.show = (buffer, ...rest) => {
                const before = player.position;
                show(buffer, ...rest);
                const moved = Math.abs(player.position - before);
                window.jumps.push(Math.min(moved, player.duration - moved));
                window.heard.push(player.buffer);
            };
        }"""
    )
    for key, row, column in (
        ("ArrowRight", 0, 1),
        ("ArrowDown", 1, 1),
        ("ArrowLeft", 1, 0),
        ("ArrowUp", 0, 0),
        ("End", 0, 1),
        ("Control+End", 1, 1),
    ):
        page.keyboard.press(key)
        assert cell(page, row, column).evaluate("each => each === document.activeElement"), key
        assert cell(page, row, column).get_attribute("aria-selected") == "true"
        assert page.locator(".compare [aria-selected=true]").count() == 1
        assert page.locator(".compare [role=gridcell][tabindex='0']").count() == 1
        assert player(page, "playing")
    jumps = page.evaluate("window.jumps")
    assert len(jumps) == 6
    assert max(jumps) < 0.1  # of a clip of 2.56 s
    assert page.evaluate("new Set(window.heard).size") == 4
    page.keyboard.press("ArrowRight")  # there is nothing further right
    assert len(page.evaluate("window.jumps")) == 6
    page.keyboard.press("Enter")
    assert not player(page, "playing")
    page.keyboard.press("Space")
    page.wait_for_function("async () => (await import('/page/shared/player.js')).player.playing")


def test_a_grid_stops_and_keeps_what_it_has(visit) -> None:
    page = visit()
    quick(page)
    enter(page, "2, 900")
    compose(page)
    filled(page, 2)
    page.wait_for_selector(".compare [data-state=working]")
    page.click(".compare .halt:not([disabled])")
    over(page, "Stopped: 2 of 4 cells are there")
    assert page.locator(DONE).count() == 2
    cell(page, 0, 1).click()  # not there: nothing to hear
    assert page.locator(".compare [aria-selected=true]").count() == 0
    cell(page, 0, 0).click()
    page.wait_for_function("async () => (await import('/page/shared/player.js')).player.playing")
    with page.expect_download() as download:
        page.click(".compare .table")
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert [(row["sampler"], row["steps"]) for row in rows] == [("unipc", "2"), ("ddim", "2")]
    page.wait_for_selector(".compare .run:not([disabled])")


def test_the_other_room_has_its_own_sound(visit) -> None:
    page = visit()
    before = player(page, "duration")
    assert before > 5
    quick(page)
    enter(page)
    assert not page.locator("#canvas").is_visible()
    assert page.locator("#rail").is_visible()
    compose(page)
    filled(page, 4)
    cell(page, 0, 0).click()
    page.wait_for_function("async () => (await import('/page/shared/player.js')).player.playing")
    page.click(".rooms a >> nth=0")
    page.wait_for_selector("#canvas", state="visible")
    assert not page.locator("#compare").is_visible()
    page.wait_for_function("async () => !(await import('/page/shared/player.js')).player.playing")
    assert player(page, "duration") == before


def test_a_setting_on_an_axis_is_not_asked_for_twice(visit) -> None:
    page = visit()
    enter(page)
    unfold(page, "advanced")
    across = page.locator(".compare [data-axis=x] select")
    for name in AXES:
        across.select_option("steps")
        if name not in ("steps", "sampler"):  # which stand on the axes of a new plan
            assert page.locator(f"#{name}").is_visible(), name
        if name != "sampler":
            across.select_option(name)
        assert not page.locator(f"#{name}").is_visible(), name


def test_a_wrong_plan_is_explained(visit) -> None:
    page = visit()
    enter(page, "5, 0")
    page.wait_for_selector(".compare .message.error")
    assert "values_x: steps: got 0, allowed a whole number from 1 to 1000" in page.inner_text(".compare .message")
    page.locator(".compare [data-axis=x] .values input").fill("5, 6")
    page.wait_for_selector(".compare .message:not(.error)", state="attached")
    page.locator(".compare [data-axis=y] select").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("g")  # the key that composes
    page.wait_for_selector(".compare.busy")
    page.keyboard.press("s")
    over(page, "cells are there")


def test_the_report_plays_offline_from_disk(visit, browser, tmp_path: Path) -> None:
    page = visit()
    quick(page)
    enter(page)
    compose(page)
    filled(page, 4)
    over(page, "All 4 cells are there")
    with page.expect_download() as download:
        page.click(".compare .report")
    path = tmp_path / "report.html"
    download.value.save_as(path)
    context = browser.new_context(offline=True)
    try:
        report, failed = context.new_page(), []
        report.on("requestfailed", lambda request: failed.append(request.url))
        report.on("request", lambda request: failed.append(request.url) if request.url.startswith("http") else None)
        report.on("pageerror", lambda error: failed.append(str(error)))
        report.goto(path.as_uri())
        filled(report, 4)
        cell(report, 0, 0).click()
        report.wait_for_function("sound.playing && sound.position > 0.2")
        before = report.evaluate("[sound.buffer.getChannelData(0)[40000], sound.context.currentTime]")
        report.keyboard.press("ArrowRight")
        assert cell(report, 0, 1).get_attribute("aria-selected") == "true"
        report.wait_for_function("time => sound.context.currentTime > time", arg=before[1])
        assert report.evaluate("sound.buffer.getChannelData(0)[40000]") != before[0]
        assert report.evaluate("sound.buffer.duration") == pytest.approx(2.56, abs=0.05)
        assert not failed
    finally:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_the_grid_and_not_the_page(visit, scheme: str) -> None:
    page = visit(width=390, height=844, color_scheme=scheme, has_touch=True)
    quick(page, 1)
    enter(page, "1, 2, 3, 4, 5")
    compose(page)
    page.wait_for_selector(".compare [role=grid]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator(".compare .box").evaluate("each => [each.scrollWidth, each.clientWidth]")
    assert box[0] > box[1]
    small = page.evaluate(
        """() => [...document.querySelectorAll('.compare button, .compare select, .rooms a')]
            .filter((each) => each.offsetHeight < 36).map((each) => each.outerHTML)"""
    )
    assert small == []
    over(page, "All 10 cells are there")


@pytest.fixture(scope="module")
def client(server: str) -> Client:
    return Client(server, verbose=False)


def test_programs_get_a_report_a_table_and_the_cells(client: Client, studio: Studio) -> None:
    style = studio.labels["style"][0]
    html, table, cells = client.predict(
        axis_x="seed", values_x="3, Ada", axis_y="guidance_scale", values_y="1, 2.5", style=style, sampler="ddim",
        steps=2, duration_s=2.56, knobs={"eta": 0.5}, distances=False, api_name="/compare",
    )  # fmt: skip
    assert [(each["row"], each["column"]) for each in cells] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [each["seed"] for each in cells] == [3, 4260250381] * 2
    assert [each["guidance_scale"] for each in cells] == [1.0, 1.0, 2.5, 2.5]
    assert all(each["knobs"] == {"eta": 0.5} and each["evaluations"] == 2 for each in cells)
    page = Path(html).read_text(encoding="utf-8")
    assert page.count('"picture": "data:image') == 4
    assert "src=" not in page.replace('src="data:', "")
    assert len(list(csv.DictReader(io.StringIO(Path(table).read_text(encoding="utf-8"))))) == 4


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"axis_x": "loudness"}, "axis_x: got 'loudness', allowed sampler, steps"),
        ({"axis_y": "steps"}, "axis_y: got 'steps', which is axis_x already"),
        ({"values_x": ",".join(map(str, range(1, 27)))}, "got 26 x 3 cells, allowed up to 25"),
        ({"values_y": "magic"}, "values_y: sampler: got 'magic'"),
        ({"axis_y": "style", "values_y": "jazz"}, "style: got 'jazz', allowed any"),
        ({"duration_s": 1e6}, "duration_s"),
    ],
    ids=str,
)
def test_a_wrong_grid_is_refused_in_words(client: Client, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(AppError) as error:
        client.predict(**wrong, api_name="/compare")
    assert words in str(error.value)


def test_axes_are_called_as_people_call_them(studio: Studio) -> None:
    base = Request({"style": "any", "ensemble": "any"}, 1)
    named = axes_of(studio, Comparison(base, "guidance_scale", (1.0, 2.5), "sampler", ("unipc",)))
    assert named["x"] == {"name": "guidance_scale", "title": "Guidance", "labels": ["1", "2.5"]}
    assert named["y"]["labels"] == [studio.options()["sampler"]["titles"]["unipc"]]

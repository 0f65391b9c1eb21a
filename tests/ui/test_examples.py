"""Examples on the page: heard at once and without the model, at home on the canvas, and absent where there are none."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import PATIENCE_S, free_port, serving
from test_access import violations
from visitor import choose_sampler, endless, finished, generate, message, player, quick

from diffusion import gallery
from diffusion.request import Request
from diffusion.ui.shared.words import FRENCH

WIDTHS = pytest.mark.parametrize("width", [1440, 390])


@pytest.fixture(scope="module")
def server(small_gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page whose model has a gallery."""
    with serving(small_gallery, tmp_path_factory.mktemp("server") / "log.txt", free_port()) as address:
        yield address


def example(page, name: str):
    """The cell of an example, such as "Fiddle, flute"; they are hung soon after the page is there."""
    return page.get_by_role("gridcell", name=name, exact=True)


def press(page, name: str) -> None:
    """Press an example, and wait until it is the one that is heard."""
    example(page, name).click()
    heard(page, name)


def heard(page, name: str) -> None:
    page.wait_for_function(
        """(name) => document.querySelector(
            `.gallery .playing [aria-label="${name}"][aria-selected=true]:not([aria-busy])`)""",
        arg=name,
    )


def focused(page) -> str:
    return page.evaluate("document.activeElement.getAttribute('aria-label')")


def asked(page) -> list[str]:
    """The addresses that the page asks for from now on."""
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    return requests


def settings(page) -> dict[str, Any]:
    """What the canvas saves of the clip on show."""
    with page.expect_download() as download:
        page.click(".save-json")
    return json.loads(download.value.path().read_text(encoding="utf-8"))


@WIDTHS
def test_an_example_starts_at_once_and_asks_nobody(visit, small_gallery: Path, width: int) -> None:
    page = visit(width=width)
    index = gallery.read(small_gallery / gallery.FOLDER)
    cells = page.get_by_role("grid", name="Listen first").get_by_role("gridcell")
    cells.first.wait_for()
    assert [each.get_attribute("aria-label") for each in cells.all()] == [
        each["title"].replace("_", " ") for each in index["clips"]
    ]
    cells.first.scroll_into_view_if_needed()  # a picture comes when it is near
    page.wait_for_function("[...document.querySelectorAll('.gallery img')].some((image) => image.complete)")
    before = page.evaluate("performance.getEntriesByType('resource').map((each) => each.name)")
    assert not [name for name in before if ".mp3" in name]  # a sound comes when it is wanted
    requests = asked(page)
    press(page, "Fiddle, flute")
    assert [re.sub(r".*/|\?.*", "", url) for url in requests if ".mp3" in url] == ["fiddle-flute.mp3"]
    assert not [url for url in requests if "queue" in url or "gradio_api" in url]
    assert player(page, "duration") == pytest.approx(10.24, abs=1e-3)  # to the sample, so that it loops
    assert message(page) == "Fiddle for flute, made of noise 1."
    assert "fiddle-flute.webp" in page.locator("[data-picture=belief] img").get_attribute("src")
    assert "fiddle-flute.webp" in page.locator("[data-picture=noise] img").get_attribute("src")
    example(page, "Fiddle, flute").click()
    page.wait_for_function("async () => !(await import('/page/shared/player.js')).player.playing")
    position = player(page, "position")
    example(page, "Fiddle, flute").click()
    heard(page, "Fiddle, flute")
    assert player(page, "position") >= position - 1e-6  # less what clocks round
    assert page.locator(".takes .card").count() == 0


@WIDTHS
def test_the_wall_is_out_of_the_way_and_in_reach(visit, width: int) -> None:
    page = visit(width=width)
    example(page, "Fiddle, flute").wait_for()
    assert page.locator(".gallery").bounding_box()["y"] > page.viewport_size["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for cell in page.get_by_role("gridcell").all():
        box = cell.bounding_box()
        assert box["height"] >= 36
        assert box["width"] >= 36
    page.get_by_role("link", name="Hear 6 examples").click()
    page.wait_for_function("document.querySelector('.wall').getBoundingClientRect().bottom <= innerHeight")
    assert focused(page) == "Chorale, piano"
    head = page.locator(".gallery .wall").bounding_box()["y"]
    press(page, "Chorale, piano")
    assert page.locator(".gallery .wall").bounding_box()["y"] == pytest.approx(
        head, abs=0.5
    )  # nothing moves under the finger


def test_an_example_is_a_clip_like_others(visit) -> None:
    page = visit()
    press(page, "Chorale, music box")
    page.click(".play")
    page.locator(".seek").press("Home")
    page.locator(".seek").press("PageUp")
    assert player(page, "position") == pytest.approx(5, abs=0.01)
    box = page.locator(".seek").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    assert player(page, "position") == pytest.approx(2.56, abs=0.05)
    saved = settings(page)
    assert (saved["style"], saved["ensemble"], saved["seed"], saved["steps"]) == ("chorale", "music_box", 1, 20)
    query = page.evaluate(
        """async () => {
            let text;
            Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (each) => { text = each; }}});
            document.querySelector('.link').click();
            return new URL(text).search.slice(1);
        }"""
    )
    assert Request.from_query(query) == Request.from_dict(saved)
    assert page.locator(".download").get_attribute("aria-disabled") == "true"  # its settings make the WAV
    assert page.locator(".download").get_attribute("href") is None
    assert page.locator(".film input").is_disabled()
    assert page.get_by_role("button", name="Hear it emerge").is_disabled()


def test_within_a_style_the_music_goes_on(visit) -> None:
    page = visit()
    press(page, "Fiddle, piano")
    page.evaluate(
        """async () => {
            const { player } = await import('/page/shared/player.js');
            window.starts = [];
            player.addEventListener('sound', () => window.starts.push(player.position));
            player.seek(5);
        }"""
    )
    press(page, "Fiddle, flute")
    press(page, "Chorale, flute")
    went_on, anew = page.evaluate("window.starts")
    assert went_on >= 5 - 0.05
    assert anew < 0.05


def test_its_settings_come_to_the_rail_and_generate_makes_a_variation(visit) -> None:
    page = visit()
    offers = page.get_by_role("button", name="Use settings")
    example(page, "Fiddle, flute").wait_for()
    assert offers.count() == 0
    press(page, "Fiddle, flute")
    assert offers.count() == 2  # on the canvas, and beside the wall
    offers.last.click()
    page.wait_for_function(
        "document.querySelector('.canvas .message').textContent.includes('Generate makes a variation')"
    )
    page.wait_for_function("document.querySelector('#seed input').value === '1'")
    assert page.locator("#style input[value=fiddle]").is_checked()
    assert page.locator("#ensemble input[value=flute]").is_checked()
    assert not page.locator("#keep input").is_checked()
    quick(page)
    generate(page)
    made = finished(page)
    assert (made["style"], made["ensemble"]) == ("fiddle", "flute")
    assert made["seed"] != 1
    assert offers.count() == 0
    assert page.locator(".gallery [aria-selected=true]").count() == 0
    assert page.locator(".download").get_attribute("aria-disabled") is None


def test_a_run_that_is_under_way_goes_on(visit) -> None:
    page = visit()
    choose_sampler(page, "DDPM")
    endless(page, 8)
    generate(page)
    page.wait_for_function("document.querySelector('.panes').dataset.index >= 1")
    press(page, "Chorale, flute")
    assert message(page) == "Composing."
    seen = int(page.locator(".panes").get_attribute("data-index"))
    page.wait_for_function("(seen) => document.querySelector('.panes').dataset.index > seen", arg=seen)
    assert page.locator("[data-picture=belief] img").get_attribute("src").startswith("data:")
    page.click("#stop")
    page.wait_for_function("document.querySelector('.takes .card')")
    assert finished(page, 8)["stopped_at"] > seen
    page.wait_for_function("!document.querySelector('.gallery [aria-selected=true]')")


@WIDTHS
def test_the_keyboard_reaches_every_example(visit, width: int) -> None:
    page = visit(width=width)
    page.get_by_role("link", name="Hear 6 examples").press("Enter")
    page.wait_for_function("document.activeElement.getAttribute('role') === 'gridcell'")
    for key, name in {
        "ArrowRight": "Chorale, music box",
        "ArrowDown": "Fiddle, music box",
        "End": "Fiddle, flute",
        "Control+Home": "Chorale, piano",
        "ArrowUp": "Chorale, piano",
        "Control+End": "Fiddle, flute",
    }.items():
        page.keyboard.press(key)
        assert focused(page) == name
    assert page.locator(".gallery [tabindex='0']").count() == 2  # a stop for each style
    assert not player(page, "playing")  # moving is not pressing
    page.keyboard.press("Enter")
    heard(page, "Fiddle, flute")
    assert page.locator(".announcement").inner_text().startswith("Fiddle for flute")
    page.keyboard.press(" ")
    page.wait_for_function("async () => !(await import('/page/shared/player.js')).player.playing")


@WIDTHS
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_the_way(visit, scheme: str, width: int) -> None:
    page = visit(width=width, color_scheme=scheme)
    press(page, "Chorale, flute")
    page.locator("#gallery").scroll_into_view_if_needed()
    assert "\n".join(violations(page)) == ""


def test_the_wall_speaks_french(visit) -> None:
    page = visit(locale="fr-FR")
    press(page, "Violon, boîte à musique")
    assert page.locator(".gallery h2").inner_text() == FRENCH["Listen first"]
    assert page.locator(".gallery-about").inner_text().startswith("Chaque style par chaque ensemble")
    assert page.locator(".gallery").get_by_role("button").inner_text() == FRENCH["Use settings"]
    assert page.locator(".to-gallery").inner_text() == "6 exemples"


def test_a_server_that_has_gone_is_told(visit) -> None:
    page = visit()
    example(page, "Chorale, flute").wait_for()
    page.route("**/*.mp3*", lambda route: route.abort())
    example(page, "Chorale, flute").click()
    page.wait_for_function("document.querySelector('.canvas .message.error')")
    assert message(page) == "The server does not answer."
    page.unroute("**/*.mp3*")
    press(page, "Chorale, flute")
    assert page.locator(".canvas .message.error").count() == 0


def test_the_gallery_of_another_model_is_not_shown(browser, small_gallery: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(small_gallery, tmp_path / "other"))
    path = other / gallery.FOLDER / gallery.INDEX
    digest = gallery.read(other / gallery.FOLDER)["model"]["digest"]
    path.write_text(path.read_text(encoding="utf-8").replace(digest, "0" * len(digest)), encoding="utf-8")
    errors: list[str] = []
    with serving(other, tmp_path / "log.txt", free_port()) as address:
        context = browser.new_context(reduced_motion="reduce")
        context.set_default_timeout(1000 * PATIENCE_S)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        requests = asked(page)
        page.goto(address)
        page.wait_for_selector(".play:not([disabled])")
        assert page.locator(".gallery, .to-gallery, .vary").count() == 0
        assert not [url for url in requests if url.startswith(f"{address}/gallery/")]
        assert context.request.get(f"{address}/gallery/index.json").status == 404
        context.close()
    assert not errors

"""The stage: what a room sees, what a presenter's keys do, and what happens when the model or the network does not."""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import PATIENCE_S, free_port, running
from visitor import player, settings_of, wav

from diffusion.studio import Studio
from diffusion.ui.shared.reach import lan_address


@pytest.fixture(scope="module")
def hall(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, object]]:
    """A page that the whole network may open, and its process."""
    log = tmp_path_factory.mktemp("hall") / "log.txt"
    with running(model, log, free_port(), "--host", "0.0.0.0") as (address, process):
        yield address, process


@pytest.fixture
def stage(browser, hall) -> Iterator[Callable]:
    """The stage, opened by its address. Nothing may be asked of anybody but the page's own server."""
    address, process = hall
    contexts, abroad, errors = [], [], []

    def open_stage(width: int = 1280, height: int = 720, query: str = "?stage=1", **options):
        context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce", **options)
        context.set_default_timeout(1000 * PATIENCE_S)
        contexts.append(context)

        def only_here(route):
            if route.request.url.startswith((address, "data:", "blob:")):
                route.continue_()
            else:
                abroad.append(route.request.url)
                route.abort()

        context.route("**/*", only_here)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}/{query}")
        page.wait_for_selector(".play:not([disabled])", state="attached")
        if query:
            page.wait_for_selector("#stage [data-act='1']", state="attached")
            page.wait_for_function("document.querySelector('#stage .line').textContent")
        patience(page, 1000 * PATIENCE_S)
        return page

    yield open_stage
    process.send_signal(signal.SIGCONT)
    for context in contexts:
        context.close()
    assert not abroad
    assert not errors


def shown(page) -> str:
    return page.locator(".canvas").get_attribute("data-clip")


def press(page, key: str) -> None:
    page.keyboard.press(key)


def patience(page, ms: int) -> None:
    """How long a run may say nothing; a machine may be busy."""
    page.evaluate("ms => { document.querySelector('#stage').dataset.stallMs = ms; }", ms)


def new_clip(page, before: str) -> dict[str, Any]:
    """Wait for another clip than `before`; the settings inside its WAV."""
    page.wait_for_function("before => document.querySelector('.canvas').dataset.clip !== before", arg=before)
    page.wait_for_function("!document.querySelector('.sampling, .waiting')")
    return settings_of(wav(page))


def remark(page) -> str:
    return page.locator("#stage .remark").text_content()


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 720), (390, 844)])
def test_the_canvas_fills_the_window_in_large_type(stage, width: int, height: int) -> None:
    page = stage(width, height)
    for hidden in ("#header", "#rail", "#deck", "#takes", "footer", ".transport .play", ".readout"):
        assert not page.locator(hidden).first.is_visible(), hidden
    panes = page.locator(".panes").bounding_box()
    assert panes["y"] == 0
    assert panes["height"] > 0.6 * height
    assert panes["x"] + panes["width"] == width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for part in ("#stage .piece", "#stage .line", "#stage .code"):
        box = page.locator(part).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= height
    sizes = [
        float(page.evaluate(f"parseFloat(getComputedStyle(document.querySelector('{part}')).fontSize)"))
        for part in ("#stage .piece", "#stage .line")
    ]
    assert min(sizes) >= {1920: 36, 1280: 26, 390: 16}[width]


def test_a_key_asks_for_a_preset_and_the_music_starts_by_itself(stage, studio: Studio) -> None:
    page = stage()
    before = shown(page)
    assert not player(page, "playing")
    title, preset = next(iter(studio.options()["presets"].items()))
    assert page.locator("#stage [data-act='1']").text_content() == f"1{title}"
    press(page, "1")
    page.wait_for_function("document.querySelector('#stage .line').textContent.startsWith('step ')")
    made = new_clip(page, before)
    assert (made["sampler"], made["steps"]) == (preset["sampler"], preset["steps"])
    page.wait_for_function("async () => (await import('/page/shared/player.js')).player.playing")
    assert f"{preset['steps']} steps · {made['evaluations']} evaluations" in page.locator("#stage .line").text_content()
    assert remark(page) == ""


def test_a_clicker_goes_on_and_back_and_turns_to_another_ensemble(stage, studio: Studio) -> None:
    page = stage()
    press(page, "1")
    welcome = shown(page)
    first = new_clip(page, welcome)
    before = shown(page)
    press(page, "PageDown")
    second = new_clip(page, before)
    assert second["seed"] != first["seed"]
    assert {**second, "seed": 0, "drawn": {}} == {**first, "seed": 0, "drawn": {}}
    press(page, "PageUp")
    page.wait_for_function("run => document.querySelector('.canvas').dataset.clip === run", arg=before)
    assert settings_of(wav(page)) == first
    press(page, "ArrowDown")
    turned = new_clip(page, before)
    names = studio.labels["ensemble"]
    assert turned["ensemble"] == names[(names.index(first["ensemble"]) + 1) % len(names)]
    assert {**turned, "ensemble": ""} == {**first, "ensemble": ""}  # the seed is held
    word = studio.options()["ensemble"]["titles"][turned["ensemble"]]
    assert word in page.locator("#stage .piece").text_content().replace("\xa0", " ")  # lines break between names


def test_the_race_fills_the_stage_until_another_key(stage) -> None:
    page = stage()
    before = shown(page)
    press(page, "4")
    page.wait_for_function("document.querySelectorAll('#canvas .race .lane img[src]').length === 2")
    assert not page.locator(".panes").is_visible()
    box = page.locator(".race").bounding_box()
    assert (box["x"], box["y"], box["width"]) == (0, 0, 1280)
    assert box["height"] > 0.6 * 720
    press(page, "PageUp")
    page.wait_for_selector(".race", state="hidden")
    assert page.locator(".panes").is_visible()
    press(page, "4")
    page.wait_for_selector(".race")
    press(page, "1")
    new_clip(page, before)
    assert page.locator(".panes").is_visible()


@pytest.mark.parametrize("key", ["b", "."])
def test_the_room_goes_dark_and_silent_and_comes_back(stage, key: str) -> None:
    page = stage()
    press(page, " ")
    page.wait_for_function("async () => (await import('/page/shared/player.js')).player.playing")
    press(page, key)
    page.wait_for_function("getComputedStyle(document.querySelector('#stage .curtain')).opacity === '1'")
    page.wait_for_function("async () => !(await import('/page/shared/player.js')).player.playing")
    press(page, key)
    page.wait_for_function("getComputedStyle(document.querySelector('#stage .curtain')).opacity === '0'")
    page.wait_for_function("async () => (await import('/page/shared/player.js')).player.playing")
    assert player(page, "gain") == 1


def test_the_way_in_and_out_is_in_the_address(stage) -> None:
    page = stage(query="")
    assert not page.locator("#stage").is_visible()
    page.click(".stage-open")
    page.wait_for_selector("html.stage")
    assert page.url.endswith("?stage=1")
    press(page, "Escape")
    page.wait_for_selector("html:not(.stage)")
    assert "stage" not in page.url
    assert page.locator("#generate").is_visible()
    assert not page.evaluate("Boolean(document.fullscreenElement)")


def test_the_names_of_the_keys_fade(stage) -> None:
    page = stage()
    page.wait_for_selector("html.stage.quiet")
    assert not page.locator("#stage [data-act='1']").is_visible()
    page.mouse.move(300, 300)
    page.wait_for_selector("html.stage:not(.quiet)")
    assert page.locator("#stage [data-act='1']").is_visible()


def test_the_slow_reveal_is_heard_on_stage(stage) -> None:
    page = stage()
    before = shown(page)
    press(page, "1")
    new_clip(page, before)
    press(page, "e")
    page.wait_for_function("document.querySelector('#stage .line').textContent.startsWith('step 0 of')")
    page.wait_for_function("/^step [1-9]/.test(document.querySelector('#stage .line').textContent)")


def test_the_code_of_the_clip_leads_a_phone_to_it(stage, hall, browser) -> None:
    if lan_address() is None:
        pytest.skip("this machine is on no network")
    page = stage()
    before = shown(page)
    first = page.locator("#stage .phone").get_attribute("data-url")
    press(page, "1")
    made = new_clip(page, before)
    page.wait_for_function("url => document.querySelector('#stage .phone').dataset.url !== url", arg=first)
    url = page.locator("#stage .phone").get_attribute("data-url")
    assert page.locator("#stage .phone svg").is_visible()
    assert url.startswith(f"http://{lan_address()}:{hall[0].rsplit(':', 1)[1]}/clip/")
    phone = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
    requests = []
    phone.on("request", lambda request: requests.append(request.url))
    phone.goto(url)
    phone.wait_for_function("document.querySelector('audio').readyState >= 1")
    assert abs(phone.evaluate("document.querySelector('audio').duration") - made["duration_s"]) < 0.01
    assert phone.evaluate("document.querySelector('img').naturalWidth > 0")
    assert str(made["seed"]) in phone.locator("main").inner_text()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    assert all(each.startswith((url, "data:")) for each in requests)
    again = phone.locator("a.main").get_attribute("href")
    assert f"seed={made['seed']}" in again
    assert again.startswith("../?")
    phone.context.close()


def test_without_an_address_for_phones_no_code_is_shown(visit) -> None:
    page = visit()
    page.click(".stage-open")
    page.wait_for_selector("#stage .phone.nowhere")
    assert page.locator("#stage .phone svg").count() == 0
    assert "--public-url" in page.locator("#stage figcaption").text_content()
    assert "localhost" not in page.locator("#stage").inner_html()
    assert "127.0.0.1" not in page.locator("#stage").inner_html()


def test_a_stalled_run_is_replaced_and_does_not_come_back_by_itself(stage, hall) -> None:
    page = stage()
    _, process = hall
    welcome = shown(page)
    press(page, "1")
    new_clip(page, welcome)
    kept = shown(page)
    press(page, "2")  # the next to be replaced: by the welcome, since this preset has not made any clip yet
    page.wait_for_function("document.querySelector('.sampling')")
    process.send_signal(signal.SIGSTOP)
    patience(page, 6000)
    press(page, "2")
    page.wait_for_function("document.querySelector('#stage .remark').textContent.includes('made before')")
    page.wait_for_function("run => document.querySelector('.canvas').dataset.clip === run", arg=welcome)
    assert page.locator(".sampling").count() == 0
    assert player(page, "playing")
    press(page, "1")  # nor is this one answered
    page.wait_for_function("run => document.querySelector('.canvas').dataset.clip === run", arg=kept)
    assert "made before" in remark(page)
    patience(page, 1000 * PATIENCE_S)
    process.send_signal(signal.SIGCONT)
    page.wait_for_function("document.querySelector('#stage .remark').textContent.includes('late run is here')")
    assert shown(page) == kept
    press(page, "ArrowLeft")
    page.wait_for_function("run => document.querySelector('.canvas').dataset.clip !== run", arg=kept)
    assert shown(page) != welcome
    before = shown(page)
    press(page, "1")
    new_clip(page, before)
    assert remark(page) == ""


def test_without_a_network_the_stage_plays_on_and_asks_nobody(stage) -> None:
    page = stage()
    welcome = shown(page)
    asked = []
    page.on("request", lambda request: asked.append(request) if "component_server" in request.url else None)
    for end in ("requestfinished", "requestfailed"):
        page.on(end, lambda request: asked.remove(request) if request in asked else None)
    press(page, "1")
    new_clip(page, welcome)
    kept = shown(page)
    page.wait_for_function("run => document.querySelector('#stage .phone').dataset.clip === run", arg=kept)
    while asked:  # what is on its way when the network goes would fail, and rightly
        page.wait_for_timeout(50)
    failed, complaints = [], []
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.context.set_offline(True)
    page.wait_for_function("!navigator.onLine")
    press(page, "2")
    page.wait_for_function("run => document.querySelector('.canvas').dataset.clip === run", arg=welcome)
    assert "No connection" in remark(page)
    assert player(page, "playing")
    press(page, "1")
    page.wait_for_function("run => document.querySelector('.canvas').dataset.clip === run", arg=kept)
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "e", " ", " ", "b", "b"):
        press(page, key)
    assert not failed
    assert not complaints
    press(page, "Escape")
    page.wait_for_selector("html:not(.stage)")
    assert all("/gallery/" in url for url in failed)  # pictures further down the page, loaded when they come near
    page.context.set_offline(False)
    page.wait_for_function("navigator.onLine")
    page.click(".stage-open")
    press(page, "1")
    new_clip(page, kept)
    assert remark(page) == ""


def test_a_wish_that_cannot_be_followed_leaves_the_stage_playing(stage) -> None:
    page = stage()
    page.route("**/queue/join**", lambda route: route.fulfill(status=500, body="{}"))
    press(page, "1")
    page.wait_for_function("document.querySelector('#stage .remark').textContent.includes('made before')")
    page.wait_for_function("async () => (await import('/page/shared/player.js')).player.playing")


def test_the_phone_page_is_served_while_the_model_works(stage, hall) -> None:
    if lan_address() is None:
        pytest.skip("this machine is on no network")
    page = stage()
    page.wait_for_selector("#stage .phone svg")
    name = page.locator("#stage .phone").get_attribute("data-url").rsplit("/", 1)[1]
    press(page, "3")
    page.wait_for_function("document.querySelector('.sampling')")
    with urllib.request.urlopen(f"{hall[0]}/clip/{name}", timeout=PATIENCE_S) as answer:
        assert answer.status == 200
    assert page.locator(".sampling").count() > 0
    press(page, "1")

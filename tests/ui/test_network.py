"""A network that hiccups: nothing finished is lost, what plays goes on, and the page says what is happening."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import PATIENCE_S, free_port, running
from visitor import SEED, finished, generate, message, player, quick, wav, write_seed

from diffusion.studio import Studio
from diffusion.ui.shared.words import FRENCH

GONE = "The server does not answer."


def stay(page) -> None:
    """Notes on the page whether it is loaded again, and how often its sound stops."""
    page.evaluate(
        """async () => {
            const { player } = await import('/page/shared/player.js');
            window.stayed = true;
            window.silences = 0;
            player.addEventListener('change', () => { window.silences += !player.playing; });
        }"""
    )


def stayed(page) -> bool:
    return page.evaluate("window.stayed === true")


def lose(page, where: str, times: int, having: str = "") -> Callable[[], int]:
    """Lets so many requests get lost; the function says how many have been."""
    lost = []

    def handle(route) -> None:
        if len(lost) < times and having in (route.request.post_data or ""):
            lost.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    page.route(where, handle)
    return lambda: len(lost)


def says(page, words: str, where: str = ".canvas") -> None:
    page.wait_for_function(
        "([where, words]) => document.querySelector(`${where} .message`)?.textContent.includes(words)",
        arg=[where, words],
    )


def takes(page) -> int:
    return page.locator(".takes .card").count()


def locked(page) -> bool:
    return page.locator("#keep input").is_checked()


def seed(page) -> str:
    return page.locator("#seed input").input_value()


def clip_on(page) -> str:
    return page.locator(".canvas").get_attribute("data-clip")


def another_clip(page, before: str) -> None:
    page.wait_for_function("before => document.querySelector('.canvas').dataset.clip !== before", arg=before)


def made(page, number: int = SEED) -> bytes:
    """A take of the shortest clip."""
    quick(page, seed=number)
    generate(page)
    finished(page, number)
    return wav(page)


def test_a_lost_request_is_sent_again(visit) -> None:
    page = visit()
    stay(page)
    quick(page, seed=SEED)
    lost = lose(page, "**/queue/join**", 1)
    generate(page)
    finished(page, SEED)
    assert lost() == 1
    assert stayed(page)
    assert takes(page) == 1


def test_the_stage_plays_on_while_a_request_is_lost(visit) -> None:
    page = visit()
    page.click(".stage-open")
    welcome = clip_on(page)
    page.keyboard.press(" ")
    page.wait_for_function("async () => (await import('/page/shared/player.js')).player.playing")
    stay(page)
    lost = lose(page, "**/queue/join**", 1)
    page.keyboard.press("ArrowRight")
    another_clip(page, welcome)
    page.wait_for_function("!document.querySelector('.sampling, .waiting')")
    assert lost() == 1
    assert stayed(page)
    assert page.evaluate("window.silences") == 0
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("run => document.querySelector('.canvas').dataset.clip === run", arg=welcome)


def test_a_press_without_a_network_is_carried_out_when_it_is_back(visit) -> None:
    page = visit()
    file = made(page)
    stay(page)
    said = message(page)
    page.context.set_offline(True)
    page.click("#dice")
    says(page, GONE)
    page.context.set_offline(False)
    page.wait_for_function("seed => document.querySelector('#seed input')?.value !== seed", arg=str(SEED))
    says(page, said)  # what stood there before
    assert stayed(page)
    assert takes(page) == 1
    assert player(page, "playing")
    assert page.evaluate("window.silences") == 0
    assert wav(page) == file


def test_what_is_lost_for_good_is_said_and_the_page_goes_on(visit) -> None:
    page = visit()
    stay(page)
    quick(page, seed=SEED)
    page.route("**/queue/join**", lambda route: route.abort())
    page.click("#generate")
    says(page, "The server could not take the run. Generate it again.")
    page.wait_for_selector("#generate:not([disabled])")
    assert not page.locator(".waiting").count()
    page.unroute("**/queue/join**")
    generate(page)
    finished(page, SEED)
    assert stayed(page)


def test_a_clip_that_comes_after_all_is_shown(visit) -> None:
    page = visit()
    stay(page)
    quick(page, 1000, SEED)
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    generate(page)
    page.wait_for_function("document.querySelector('.panes').dataset.index >= 1")
    page.context.set_offline(True)
    says(page, GONE)
    while len(failed) < 6:  # more than three questions
        page.wait_for_timeout(50)
    assert page.locator(".sampling").count()
    page.context.set_offline(False)
    says(page, "Composing.")
    page.click("#stop")
    assert finished(page, SEED)["stopped_at"] is not None
    assert takes(page) == 1
    assert stayed(page)


def enter_compare(page, steps: str) -> None:
    page.click(".rooms a[href='#compare']")
    page.wait_for_selector(".compare [data-axis=y] .values button")
    page.locator(".compare [data-axis=x] .values input").fill(steps)
    page.locator(".compare .distances input").set_checked(False)


def test_the_picture_of_a_cell_that_is_lost_comes_later(visit) -> None:
    page = visit()
    quick(page, 2, SEED)
    enter_compare(page, "1, 2")
    lost = lose(page, "**/component_server/**", 7, '"fn_name":"cell"')  # the first time, and all that follow at once
    page.click(".compare .run:not([disabled])")
    page.wait_for_function(
        """() => {
            const cells = [...document.querySelectorAll('.compare [role=gridcell]')];
            return cells.length && cells.every((cell) => cell.dataset.heard);
        }"""
    )
    assert lost() == 7


def test_the_axes_of_a_comparison_come_later(visit) -> None:
    page = visit()
    lose(page, "**/component_server/**", 5, '"fn_name":"choices"')
    page.click(".rooms a[href='#compare']")
    page.wait_for_selector(".compare [data-axis=y] .values button")


def test_a_race_goes_on_when_its_news_are_lost(visit) -> None:
    page = visit()
    stay(page)
    lost = lose(page, "**/component_server/**", 6, '"fn_name":"race_news"')
    page.click("[data-preset='2020']")
    page.wait_for_function("document.querySelector('.race .verdict').textContent.includes('does not answer')")
    page.wait_for_function("!document.querySelector('.race .verdict').textContent.includes('does not answer')")
    page.wait_for_function("document.querySelector('.race [data-count=step]').textContent !== '–'")
    assert lost() == 6
    page.click("#stop:not([disabled])")
    page.wait_for_function("document.querySelector('.race .verdict').textContent.startsWith('Stopped')")
    page.wait_for_selector("#generate:not([disabled])")
    assert stayed(page)


@pytest.fixture
def killed(browser, model: Path, tmp_path: Path) -> Any:
    """A page and its server, which a test kills and starts again at the same address."""
    port = free_port()
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(1000 * PATIENCE_S)
    page = context.new_page()

    def start(name: str):
        return running(model, tmp_path / name, port)

    yield page, start
    context.close()


def open_page(page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("#generate:not([disabled])")
    page.wait_for_selector(".play:not([disabled])")


def test_takes_outlive_the_server(killed) -> None:
    page, start = killed
    with start("first") as (address, process):
        open_page(page, address)
        file = made(page)
        stay(page)
        quick(page, 1000, SEED + 1)
        page.click("#generate")
        page.wait_for_selector(".sampling")
        process.kill()
        says(page, GONE)
        page.wait_for_selector("#generate:not([disabled])")
        page.wait_for_selector("#stop:disabled", state="attached")
        assert not page.locator(".sampling").count()
        assert player(page, "playing")
    with start("second"):
        says(page, "The server was started anew.")
        made(page, SEED + 2)  # the page still works
        assert stayed(page)
        assert takes(page) == 2
        assert page.evaluate("window.silences") == 0
        page.reload()
        page.wait_for_selector(".takes .card")
        assert takes(page) == 2
        page.locator(".takes .card .put").nth(1).click()
        page.wait_for_function("name => document.querySelector('.download').download.includes(name)", arg=f"-{SEED}.")
        assert wav(page) == file


def test_a_comparison_outlives_the_server(killed) -> None:
    page, start = killed
    with start("first") as (address, process):
        open_page(page, address)
        stay(page)
        quick(page, 2, SEED)
        enter_compare(page, "1, 1000")
        page.click(".compare .run:not([disabled])")
        page.wait_for_selector(".compare [data-heard]")
        process.kill()
        says(page, "The comparison is lost: ", ".compare")
        page.wait_for_selector(".compare .run:not([disabled])")
        page.wait_for_selector(".compare .halt:disabled")
        page.locator(".compare [data-heard]").first.click()
        page.wait_for_function("async () => (await import('/page/shared/player.js')).player.playing")
    with start("second"):
        says(page, "The server was started anew.", ".compare")
        page.locator(".compare [data-axis=x] .values input").fill("1, 2")
        page.click(".compare .run:not([disabled])")
        says(page, "cells are there: click one", ".compare")
        assert stayed(page)


def test_takes_seed_and_lock_outlive_a_reload(visit, studio: Studio) -> None:
    page = visit()
    files = [made(page, number) for number in (7, 8)]
    page.locator(".takes .card .put").nth(1).click()
    page.wait_for_function("document.querySelector('.download').download.includes('-7.')")
    write_seed(page, "Ada")
    page.locator("#keep input").set_checked(True)
    page.reload()
    page.wait_for_function("document.querySelectorAll('.takes .card').length === 2")
    page.wait_for_function("document.querySelector('.download').download.includes('-7.')")  # the one that was on
    assert wav(page) == files[0]
    page.wait_for_function("document.querySelector('#keep input').checked")
    assert seed(page) == "Ada"
    assert message(page).endswith("made of noise 7.")
    page.click(".play")
    page.wait_for_selector(".play[aria-label=Pause]")
    page.locator(".takes .card .put").first.click()
    page.wait_for_function("document.querySelector('.download').download.includes('-8.')")
    assert wav(page) == files[1]
    page.locator("#keep input").set_checked(False)
    other = page.context.new_page()  # another visit
    other.goto(page.url)
    other.wait_for_selector(".play:not([disabled])")
    assert takes(other) == 0


def test_a_seed_that_was_heard_is_not_made_again_after_a_reload(visit) -> None:
    page = visit()
    made(page)
    page.reload()
    page.wait_for_function("seed => document.querySelector('#seed input')?.value === seed", arg=str(SEED))
    page.wait_for_selector(".takes .card")
    assert not locked(page)
    quick(page)
    generate(page)
    assert finished(page)["seed"] != SEED


def test_the_stage_outlives_a_reload(visit) -> None:
    page = visit()
    page.click(".stage-open")
    runs = [clip_on(page)]
    for key in ("1", "ArrowRight"):
        page.keyboard.press(key)
        another_clip(page, runs[-1])
        page.wait_for_function("!document.querySelector('.sampling, .waiting')")
        runs.append(clip_on(page))
    page.reload()
    page.wait_for_selector("html.stage")
    page.wait_for_function("run => document.querySelector('.canvas').dataset.clip === run", arg=runs[2])
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("run => document.querySelector('.canvas').dataset.clip === run", arg=runs[1])


def test_only_so_many_takes_are_kept_for_a_reload(visit) -> None:
    page = visit()
    page.evaluate(
        """async () => {
            const { Keeping } = await import('/page/compose/keeping.js');
            const [takes, canvas, deck] = [1, 2, 3].map(() => new EventTarget());
            const keeping = new Keeping(canvas, deck, takes);
            let now = Date.now();
            Date.now = () => now++;
            for (let run = 0; run < 120; run += 1) {
                takes.dispatchEvent(new CustomEvent('kept', { detail: { run: `${run}` } }));
            }
        }"""
    )
    runs: list[str] = []
    while "119" not in runs or len(runs) > 96:
        runs = page.evaluate(
            """() => new Promise((done) => {
                indexedDB.open('out-of-noise').onsuccess = ({ target: { result: base } }) => {
                    base.transaction('takes').objectStore('takes').getAllKeys().onsuccess = ({ target }) => {
                        base.close();
                        done(target.result.map(([, run]) => run));
                    };
                };
            })"""
        )
    assert set(runs) == {str(run) for run in range(24, 120)}


def unfinished(visit_browser, server: str, where: str, **options) -> tuple[Any, Any]:
    context = visit_browser.new_context(**options)
    context.set_default_timeout(1000 * PATIENCE_S)
    page = context.new_page()
    page.route(where, lambda route: route.abort())
    page.goto(server)
    return context, page


@pytest.mark.parametrize(("module", "line"), [("compose/compose", ".canvas"), ("compare/compare", ".compare")])
def test_a_page_without_its_script_says_so(browser, server: str, module: str, line: str) -> None:
    context, page = unfinished(browser, server, f"**/page/{module}.js")
    page.wait_for_selector(f"{line} .message.error", state="attached")
    said = page.locator(f"{line} .message").text_content()
    assert said == f"The page is not complete: {server}/page/{module}.js did not come. Reload the page."
    context.close()


def test_a_page_without_a_part_of_its_script_says_so_in_french(browser, server: str) -> None:
    context, page = unfinished(browser, server, "**/page/compose/deck.js", locale="fr-FR")
    page.wait_for_selector(".canvas .message.error")
    assert "La page est incomplète" in page.locator(".canvas .message").inner_text()
    context.close()


def test_a_page_without_its_first_event_says_so(browser, server: str) -> None:
    context, page = unfinished(browser, server, "**/gradio_api/run/**")
    says(page, "The page is not complete. Reload it.")
    context.close()


def test_a_page_without_its_french_speaks_english(browser, server: str) -> None:
    context, page = unfinished(browser, server, "**/page/shared/french.json", locale="fr-FR")
    page.wait_for_selector(".play:not([disabled])")
    assert page.locator(".play").get_attribute("aria-label") == "Play"
    context.close()


def test_what_the_page_says_without_its_modules_has_its_french() -> None:
    from diffusion.ui.shared import assets

    assert {assets.LOST, assets.MISSING} <= FRENCH.keys()

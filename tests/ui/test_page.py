"""What a visitor does, done by a browser."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from visitor import (
    SEED,
    both_widths,
    choose,
    choose_sampler,
    endless,
    finished,
    generate,
    message,
    number,
    pictures,
    player,
    quick,
    unfold,
    watch_pictures,
    wav,
)

from diffusion.audio.wav import read_settings
from diffusion.engine import Clip
from diffusion.request import Request
from diffusion.studio import Studio


@both_widths
def test_the_page_is_never_empty_and_its_first_clip_plays(visit) -> None:
    page = visit()
    assert page.locator("[data-picture=belief] img").get_attribute("src").startswith("data:image/")
    assert page.locator(".play").get_attribute("aria-label") == "Play"  # it waits to be asked
    assert "made of noise" in message(page)
    page.click(".play")
    page.wait_for_function("async () => (await import('/page/shared/player.js')).player.position > 0.3")
    page.wait_for_function("document.querySelector('.now').textContent > '0:00.2'")
    page.click(".play")
    assert not player(page, "playing")


@both_widths
def test_every_control_is_obeyed_and_the_run_is_seen(visit, studio: Studio) -> None:
    page = visit()
    watch_pictures(page)
    style, ensemble = studio.labels["style"][1], studio.labels["ensemble"][2]
    choose(page, "style", style)
    choose(page, "ensemble", ensemble)
    choose_sampler(page, "DDIM")
    unfold(page, "advanced")
    page.locator("#ddim-eta input[type=number]").wait_for()
    number(page, "ddim-eta", 0.5)
    quick(page, 20, SEED)
    number(page, "guidance_scale", 3.5)
    page.locator("#keep input").check()
    generate(page)
    page.wait_for_function("document.querySelector('.panes').dataset.index >= 1")
    page.click(".views [data-view=both]")
    assert page.locator("[data-picture=noise] img").is_visible()
    assert page.locator("[data-picture=belief] img").is_visible()
    settings = finished(page, SEED)
    assert pictures(page, "belief") >= 8
    assert pictures(page, "noise") >= 8
    asked = studio.request(
        style=style,
        ensemble=ensemble,
        seed=SEED,
        sampler="ddim",
        steps=20,
        guidance_scale=3.5,
        duration_s=2.56,
        knobs={"eta": 0.5},
    )
    assert Request.from_dict(settings) == asked
    assert page.locator("#seed input").input_value() == str(SEED)
    assert page.locator("[data-number=seed]").inner_text() == str(SEED)
    assert page.locator("[data-number=step]").inner_text() == "20 / 20"
    with page.expect_download() as download:
        page.click(".download")
    assert str(SEED) in download.value.suggested_filename
    assert read_settings(download.value.path()) == settings
    unfold(page, "settings")
    page.locator("#recipe").get_by_text(str(SEED)).first.wait_for()
    *_, clip = studio.generate(asked)
    assert isinstance(clip, Clip)
    assert wav(page) == clip.to_wav()  # the page, the command line and the library make one and the same clip


@both_widths
def test_the_canvas_is_the_player(visit) -> None:
    page = visit()
    quick(page)
    generate(page)
    finished(page)
    page.click(".play")
    seek = page.locator(".seek")
    box = seek.bounding_box()
    seek.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    assert player(page, "position") == pytest.approx(1.28, abs=0.02)
    seek.press("ArrowRight")
    assert player(page, "position") == pytest.approx(2.28, abs=0.02)
    seek.press("Home")
    assert player(page, "position") == 0
    assert page.locator(".seek").get_attribute("aria-valuemax") == "2.56"


@both_widths
def test_the_film_walks_back_to_the_noise(visit) -> None:
    page = visit()
    quick(page)
    generate(page)
    finished(page)
    music = page.locator("[data-picture=belief] img").get_attribute("src")
    page.locator(".film input").focus()
    page.keyboard.press("Home")
    page.wait_for_function("document.querySelector('.panes').dataset.index === '0'")
    assert page.locator("[data-number=t]").inner_text() == "1.000"
    assert page.locator("[data-picture=belief] img").get_attribute("src") != music
    page.keyboard.press("End")
    page.wait_for_function("src => document.querySelector('[data-picture=belief] img').src === src", arg=music)


@both_widths
def test_stopping_keeps_what_the_model_believed(visit) -> None:
    page = visit()
    endless(page)
    choose_sampler(page, "DDPM")
    generate(page)
    page.wait_for_function("document.querySelector('.panes').dataset.index >= 2")
    page.click("#stop")
    settings = finished(page)
    assert 2 <= settings["stopped_at"] < 1000
    assert f"Stopped after step {settings['stopped_at']} of 1000" in message(page)


@both_widths
def test_a_kept_seed_repeats_the_clip_and_a_free_one_does_not(visit) -> None:
    page = visit()
    quick(page, seed=SEED)
    page.locator("#keep input").check()
    generate(page)
    finished(page, SEED)
    first = wav(page)
    generate(page)
    finished(page, SEED)
    assert wav(page) == first
    page.locator("#keep input").uncheck()
    generate(page)
    settings = finished(page)
    assert settings["seed"] != SEED
    assert page.locator("#seed input").input_value() == str(settings["seed"])
    page.click("#dice")
    page.wait_for_function("seed => document.querySelector('#seed input').value !== seed", arg=str(settings["seed"]))


@both_widths
def test_the_old_music_plays_until_the_new_is_ready(visit) -> None:
    page = visit()
    page.click(".play")
    page.wait_for_selector(".play[aria-label=Pause]")
    before = page.locator(".canvas").get_attribute("data-clip")
    quick(page, 12)
    page.evaluate(
        """async () => {
            const { player } = await import('/page/shared/player.js');
            window.changes = 0;
            for (const name of ['change', 'sound']) player.addEventListener(name, () => { window.changes += 1; });
        }"""
    )
    generate(page)
    page.wait_for_function("document.querySelector('.panes').dataset.index >= 4")
    assert page.locator(".canvas").get_attribute("data-clip") == before
    assert page.evaluate("window.changes") == 0
    assert player(page, "playing")
    finished(page)


def test_two_visitors_do_not_disturb_one_another(visit, studio: Studio) -> None:
    pages = [visit(), visit()]
    for seed, page in enumerate(pages, start=SEED):
        quick(page, 12, seed)
    for page in pages:
        generate(page)
    for seed, page in enumerate(pages, start=SEED):
        settings = finished(page, seed)
        *_, clip = studio.generate(Request.from_dict(settings))
        assert isinstance(clip, Clip)
        assert wav(page) == clip.to_wav()


def test_one_visitor_leaves_and_the_others_clip_comes(visit) -> None:
    leaving, staying = visit(), visit()
    endless(leaving)
    quick(staying, 4, SEED)
    generate(leaving)
    leaving.wait_for_function("document.querySelector('.panes').dataset.index >= 1")
    leaving.context.close()
    generate(staying)
    finished(staying, SEED)


def test_an_error_is_said_in_words_where_it_happened(visit) -> None:
    page = visit()
    quick(page, 5000)
    generate(page)
    page.wait_for_selector(".canvas .message.error")
    assert "steps: got 5000, allowed a whole number from 1 to 1000" in message(page)
    page.wait_for_selector("#generate:not([disabled])")
    quick(page)
    generate(page)
    finished(page)
    assert page.locator(".canvas .message.error").count() == 0


@both_widths
def test_a_preset_sets_sampler_and_steps(visit, studio: Studio) -> None:
    page = visit()
    page.get_by_role("button", name="Full").click()
    preset = studio.options()["presets"]["Full"]
    page.wait_for_function("steps => document.querySelector('#steps input').value === steps", arg=str(preset["steps"]))
    title = studio.options()["sampler"]["titles"][preset["sampler"]]
    page.wait_for_function("title => document.querySelector('#sampler input').value === title", arg=title)


@both_widths
def test_a_link_sets_the_page(visit, studio: Studio) -> None:
    style, ensemble = studio.labels["style"][1], studio.labels["ensemble"][1]
    asked = studio.request(
        style=style,
        ensemble=ensemble,
        seed=SEED,
        sampler="ddim",
        steps=3,
        guidance_scale=2.5,
        duration_s=2.56,
        knobs={"eta": 0.25},
    )
    page = visit("?" + asked.to_query())
    page.wait_for_function("seed => document.querySelector('#seed input')?.value === seed", arg=str(SEED))
    generate(page)
    settings = finished(page, SEED)
    assert Request.from_dict(settings) == asked
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.click(".link")
    page.wait_for_function("window.copied")
    query = page.evaluate("window.copied").partition("?")[2]
    assert Request.from_query(query) == asked
    assert parse_qs(query)["seed"] == [str(SEED)]


def test_a_wrong_link_is_explained(visit) -> None:
    page = visit("?style=jazz&ensemble=piano&seed=1")
    page.wait_for_function("document.querySelector('.canvas .message').textContent.includes('jazz')")
    assert "The link cannot be followed. style: got 'jazz'" in message(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_without_scrolling_sideways(visit, scheme: str) -> None:
    page = visit(width=390, height=844, color_scheme=scheme, has_touch=True)
    quick(page)
    generate(page)
    finished(page)
    page.click(".views [data-view=both]")
    unfold(page, "advanced")
    unfold(page, "settings")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for selector in ("#generate", ".play", "#style", "#seed", ".download"):
        box = page.locator(selector).bounding_box()
        assert box["x"] >= 0, selector
        assert box["x"] + box["width"] <= 390, selector


def test_everything_has_a_name_for_screen_readers(visit) -> None:
    page = visit()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, a[href], [role=slider]')]
            .filter((each) => each.offsetParent && !(each.getAttribute('aria-label') || each.textContent.trim()
                || each.labels?.length || each.getAttribute('aria-labelledby') || each.title))
            .map((each) => each.outerHTML)"""
    )
    assert nameless == []

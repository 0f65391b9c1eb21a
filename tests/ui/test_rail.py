"""The rail: words as seeds, a lock, presets, an ensemble that changes while the music plays, and wrong values."""

from __future__ import annotations

import pytest
from visitor import (
    SEED,
    both_widths,
    choose,
    choose_sampler,
    finished,
    generate,
    message,
    number,
    player,
    quick,
    settings_of,
    unfold,
    wav,
    write_seed,
)

from diffusion.denoisers import GUIDANCE_RULES
from diffusion.request import Request
from diffusion.samplers import SAMPLERS
from diffusion.settings import BOOK, BY_THE_BOOK, seed_of
from diffusion.studio import Studio
from diffusion.theory import GRIDS

IN_SIGHT = ("style", "ensemble", "sampler", "steps", "guidance_scale", "seed")


def seed_field(page) -> str:
    return page.locator("#seed input").input_value()


def lock(page, on: bool = True) -> None:
    page.locator("#keep input").set_checked(on)


def changed(page, run: str):
    """Wait for another clip than that of a run, and return the settings inside its WAV."""
    page.wait_for_function("run => document.querySelector('.canvas').dataset.clip !== run", arg=run)
    page.wait_for_selector("#generate:not([disabled])")
    return settings_of(wav(page))


def test_few_knobs_are_in_sight_and_each_says_in_a_sentence_what_it_does(visit) -> None:
    page = visit()
    for name in IN_SIGHT:
        sentence = page.locator(f"#{name} .info-text")
        assert sentence.is_visible(), name
        assert sentence.inner_text().endswith("."), name
    assert not page.locator("#duration_s").is_visible()
    unfold(page, "advanced")
    page.locator("#duration_s .info-text").wait_for()


@pytest.mark.parametrize(("width", "columns"), [(1440, 2), (390, 1)])
def test_what_unfolds_takes_the_width_that_there_is(visit, width: int, columns: int) -> None:
    page = visit(width=width)
    for fold in ("advanced", "settings"):
        unfold(page, fold)
        inside, rail = (
            page.locator(each).bounding_box() for each in (f"#{fold} [data-testid=accordion-content]", "#rail")
        )
        assert inside["width"] > 0.85 * rail["width"]
    music, method = (page.locator(each).bounding_box() for each in ("#duration_s", "#grid"))
    assert (method["x"] > music["x"] + music["width"]) == (columns == 2)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("name", "value"), [("grid", "karras"), ("guidance_rule", "plain")])
def test_a_choice_under_advanced_says_what_it_means_and_is_kept(visit, name: str, value: str) -> None:
    page = visit()
    quick(page, 2, SEED)
    choice = {"grid": GRIDS, "guidance_rule": GUIDANCE_RULES}[name][value]
    choose(page, name, value)
    page.locator(f"#{name} .info-text", has_text=choice.summary).wait_for()
    generate(page)
    finished(page, SEED)
    settings = settings_of(wav(page))
    assert settings[name] == value
    again = visit("?" + Request.from_dict(settings).to_query())
    unfold(again, "advanced")
    again.locator(f"#{name} .info-text", has_text=choice.summary).wait_for()
    assert again.locator(f"#{name} input:checked").input_value() == value


@both_widths
def test_by_the_book_is_one_switch(visit) -> None:
    page = visit()
    quick(page, 2, SEED)
    choose_sampler(page, "DDPM")
    grid, variance = page.locator("#grid input"), page.locator("#ddpm-variance input")
    variance.first.wait_for()
    choose(page, "by_the_book", "yes")
    page.wait_for_selector("#grid input[value=linear-betas]:checked:disabled", state="attached")
    page.wait_for_selector("#ddpm-variance input[value=beta]:checked:disabled", state="attached")
    assert all(each.is_disabled() for each in [*grid.all(), *variance.all()])
    assert page.locator("#guidance_against input[value=no-label]").is_checked()
    page.locator("#by_the_book .info-text", has_text=BOOK["yes"].summary).wait_for()
    generate(page)
    finished(page, SEED)
    settings = settings_of(wav(page))
    assert {"by_the_book": "yes", **BY_THE_BOOK, "knobs": {"variance": "beta"}}.items() <= settings.items()
    again = visit("?" + Request.from_dict(settings).to_query())
    unfold(again, "advanced")
    again.wait_for_selector("#grid input[value=linear-betas]:checked:disabled", state="attached")
    choose(again, "by_the_book", "no")
    again.wait_for_selector("#grid input[value=leap]:checked:enabled", state="attached")
    again.wait_for_selector("#ddpm-variance input[value=beta-tilde]:checked:enabled", state="attached")
    assert again.locator("#guidance_from input").first.is_enabled()


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_every_folded_knob_has_its_sentence_too(studio: Studio, sampler: str) -> None:
    for name, knob in studio.options()["knobs"][sampler].items():
        assert knob["help"].endswith("."), name


@both_widths
def test_a_name_is_a_seed(visit) -> None:
    page = visit()
    quick(page, 2)
    write_seed(page, "Ada")
    page.get_by_text(f"Ada = seed {seed_of('ada')}").wait_for()
    generate(page)
    finished(page, seed_of("ada"))
    assert seed_field(page) == "Ada"  # the word stays, and its number beside it
    assert page.locator("#meaning").inner_text() == f"Ada = seed {seed_of('ada')}"
    write_seed(page, 7)
    page.wait_for_function("document.querySelector('#meaning').textContent.trim() === ''")


def test_markup_in_a_name_is_only_text(visit) -> None:
    page = visit()
    write_seed(page, "<i>Eve</i>")
    page.get_by_text(f"<i>Eve</i> = seed {seed_of('<i>eve</i>')}").wait_for()
    assert page.locator("#meaning i").count() == 0


@both_widths
def test_an_unlocked_seed_is_heard_once_and_a_locked_one_again(visit) -> None:
    page = visit()
    quick(page, 2)
    write_seed(page, "Ada")
    lock(page)
    for _ in range(2):
        generate(page)
        finished(page, seed_of("ada"))
    lock(page, False)
    generate(page)
    settings = finished(page)
    assert settings["seed"] != seed_of("ada")
    assert seed_field(page) == str(settings["seed"])
    write_seed(page, "")
    lock(page)
    generate(page)
    drawn = finished(page)["seed"]
    assert seed_field(page) == str(drawn)
    generate(page)
    finished(page, drawn)


@both_widths
def test_the_dice_draws_another(visit) -> None:
    page = visit()
    before = seed_field(page)
    page.click("#dice")
    page.wait_for_function("before => document.querySelector('#seed input').value !== before", arg=before)
    assert 0 <= int(seed_field(page)) < 2**32


@both_widths
def test_presets_set_the_rail_and_show_which_one_it_agrees_with(visit, studio: Studio) -> None:
    page = visit()
    presets = studio.options()["presets"]
    assert list(presets) == ["Instant", "Balanced", "Full", "2020"]
    page.wait_for_selector("[data-preset=Balanced][aria-pressed=true]")
    page.click("[data-preset=Instant]")
    page.wait_for_function(
        "n => document.querySelector('#steps input').value === n", arg=str(presets["Instant"]["steps"])
    )
    page.wait_for_selector("[data-preset=Instant][aria-pressed=true]")
    number(page, "steps", 9)
    page.wait_for_function("!document.querySelector('#presets [aria-pressed=true]')")
    assert not page.locator(".race").is_visible()


@both_widths
def test_the_ensemble_changes_while_the_music_plays_on(visit, studio: Studio) -> None:
    page = visit()
    quick(page, 2, SEED)
    lock(page)
    generate(page)
    finished(page, SEED)
    assert player(page, "playing")
    run = page.locator(".canvas").get_attribute("data-clip")
    page.evaluate(
        """async () => {
            const { player } = await import('/page/shared/player.js');
            window.jumps = [];
            const show = player.show.bind(player);
            player.show = (buffer, options) => { window.jumps.push(options.position); show(buffer, options); };
        }"""
    )
    choose(page, "ensemble", studio.labels["ensemble"][1])
    choose(page, "ensemble", studio.labels["ensemble"][2])  # of several choices in a row, the last counts
    settings = changed(page, run)
    assert (settings["seed"], settings["ensemble"]) == (SEED, studio.labels["ensemble"][2])
    assert page.evaluate("window.jumps") == [None]  # one clip took over, where the other was
    assert player(page, "playing")
    run = page.locator(".canvas").get_attribute("data-clip")
    choose(page, "style", studio.labels["style"][1])
    settings = changed(page, run)
    assert (settings["seed"], settings["style"]) == (SEED, studio.labels["style"][1])


def test_the_newest_choice_ends_the_run_of_the_one_before(visit, studio: Studio) -> None:
    page = visit()
    quick(page, 2, SEED)
    lock(page)
    generate(page)
    finished(page, SEED)
    run = page.locator(".canvas").get_attribute("data-clip")
    number(page, "steps", 1000)
    choose(page, "ensemble", studio.labels["ensemble"][1])
    page.wait_for_selector(".sampling .canvas")
    page.wait_for_function("document.querySelector('[data-number=step]').textContent.endsWith('/ 1000')")
    number(page, "steps", 2)
    choose(page, "ensemble", studio.labels["ensemble"][2])
    settings = changed(page, run)
    assert (settings["steps"], settings["ensemble"]) == (2, studio.labels["ensemble"][2])


def test_an_unlocked_choice_waits_for_generate(visit, studio: Studio) -> None:
    page = visit()
    quick(page, 2, SEED)
    generate(page)
    finished(page, SEED)
    run = page.locator(".canvas").get_attribute("data-clip")
    choose(page, "ensemble", studio.labels["ensemble"][1])
    lock(page)
    write_seed(page, 1)
    choose(page, "ensemble", studio.labels["ensemble"][2])  # locked, but not the seed that is on
    page.wait_for_timeout(1000)  # four times as long as a choice settles
    assert page.locator(".waiting, .sampling").count() == 0
    assert page.locator(".canvas").get_attribute("data-clip") == run


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("steps", "", "steps: got nothing, allowed 1 to 1000"),
        ("steps", "0", "steps: got 0, allowed a whole number from 1 to 1000"),
        ("steps", "2.5", "steps: got 2.5, allowed a whole number from 1 to 1000"),
        ("guidance_scale", "", "guidance_scale: got nothing, allowed 1.0 to 15.0"),
        ("guidance_from", "", "guidance_from: got nothing, allowed -15.0 to 15.0"),
        ("duration_s", "", "duration_s: got nothing, allowed 2.56 to 40.96"),
        ("seed", "2.5", "seed: got 2.5, allowed a whole number from 0 to 4294967295, or a word"),
        ("seed", "4294967296", "seed: got 4294967296, allowed a whole number from 0 to 4294967295"),
        ("seed", "-7", "seed: got -7, allowed a whole number from 0 to 4294967295"),
    ],
)
def test_a_wrong_value_is_named_on_the_canvas(visit, name: str, value: str, words: str) -> None:
    page = visit()
    if not page.locator(f"#{name}").is_visible():
        unfold(page, "advanced")
    if name == "seed":
        write_seed(page, value)
    else:
        number(page, name, value)
    page.click("#generate")
    page.wait_for_selector(".canvas .message.error")
    assert words in message(page)
    page.wait_for_selector("#generate:not([disabled])")


def test_a_slider_brings_a_number_back_into_its_range(visit) -> None:
    page = visit()
    quick(page, 1, SEED)
    number(page, "guidance_scale", 99)
    generate(page)
    assert finished(page)["guidance_scale"] == 15
    assert page.locator("#guidance_scale input[type=number]").input_value() == "15"


def test_a_length_off_the_raster_is_rounded_and_said(visit) -> None:
    page = visit()
    quick(page, 1, SEED)
    number(page, "duration_s", 3)
    generate(page)
    assert finished(page)["duration_s"] == 3.008
    assert page.locator("#duration_s input[type=number]").input_value() == "3.008"
    assert "Rounded to the next length that this model can make." in page.locator("#duration_s").inner_text()
    number(page, "duration_s", 2.56)
    generate(page)
    assert finished(page)["duration_s"] == 2.56
    assert "Rounded" not in page.locator("#duration_s").inner_text()


@pytest.mark.parametrize("width", [390, 1440])
def test_the_rail_fits(visit, width: int) -> None:
    page = visit(width=width, height=900, has_touch=width == 390)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tops = [button.bounding_box()["y"] for button in page.locator("[data-preset]").all()]
    assert len(tops) == 4
    assert len(set(tops)) == 1  # one line
    small = page.evaluate(
        """() => [...document.querySelectorAll('#deck button, #rail button, #rail label:has([type=radio])')]
            .filter((each) => each.offsetParent && each.getBoundingClientRect().height < 36)
            .map((each) => each.outerHTML)"""
    )
    assert small == []

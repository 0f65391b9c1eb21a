"""Keys do what the buttons do, and leave to a focused control what is its own."""

from __future__ import annotations

import pytest
from visitor import SEED, both_widths, endless, finished, generate, player, quick, write_seed

from diffusion.ui.compose.race import RACE


def nowhere(page) -> None:
    page.evaluate("document.activeElement.blur()")


def locked(page) -> bool:
    return page.locator("#keep input").is_checked()


@both_widths
def test_space_plays_and_pauses(visit) -> None:
    page = visit()
    nowhere(page)
    page.keyboard.press(" ")
    page.wait_for_selector(".play[aria-label=Pause]")
    page.keyboard.press(" ")
    page.wait_for_selector(".play[aria-label=Play]")
    assert page.evaluate("scrollY") == 0  # nor does the page move


@both_widths
def test_g_generates_s_stops_r_rolls_and_l_locks(visit) -> None:
    page = visit()
    endless(page, SEED)
    nowhere(page)
    page.keyboard.press("l")
    assert locked(page)
    page.keyboard.press("L")
    assert not locked(page)
    page.keyboard.press("r")
    page.wait_for_function("seed => document.querySelector('#seed input').value !== seed", arg=str(SEED))
    page.evaluate("window.before = document.querySelector('.canvas').dataset.clip; window.sounded = true")
    page.keyboard.press("g")
    page.wait_for_selector(".sampling")
    page.wait_for_selector("#stop:not([disabled])")
    page.keyboard.press("s")
    assert finished(page)["stopped_at"] is not None


@both_widths
def test_arrows_walk_through_the_film(visit) -> None:
    page = visit()
    quick(page, 3)
    generate(page)
    finished(page)
    nowhere(page)
    film = page.locator(".film input")
    end = int(film.get_attribute("max"))
    page.keyboard.press("ArrowLeft")
    assert int(film.input_value()) == end - 1
    for _ in range(end + 1):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("document.querySelector('.panes').dataset.index === '0'")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.panes').dataset.index === '1'")


def test_a_field_keeps_what_is_typed_into_it(visit) -> None:
    page = visit()
    write_seed(page, "")
    page.locator("#seed input").focus()
    page.keyboard.type("gr sl?")
    assert page.locator("#seed input").input_value() == "gr sl?"
    assert not locked(page)
    assert not player(page, "playing")
    assert not page.locator("#keys").is_visible()
    assert page.locator(".waiting, .sampling").count() == 0


@pytest.mark.parametrize("keys", ["Control+l", "Alt+l", "Meta+l"])
def test_keys_with_modifiers_are_the_browsers(visit, keys: str) -> None:
    page = visit()
    nowhere(page)
    page.keyboard.press(keys)
    assert not locked(page)


def test_a_focused_control_keeps_its_own_keys(visit) -> None:
    page = visit()
    page.locator("#keep input").focus()
    page.keyboard.press(" ")
    assert locked(page)
    assert not player(page, "playing")
    page.locator("#style input[value=any]").focus()
    film = page.locator(".film input")
    frame = film.input_value()
    page.keyboard.press("ArrowRight")
    assert film.input_value() == frame
    page.locator("#guidance_scale input[type=range]").focus()
    guidance = page.locator("#guidance_scale input[type=range]").input_value()
    page.keyboard.press("ArrowRight")
    assert page.locator("#guidance_scale input[type=range]").input_value() != guidance
    assert film.input_value() == frame
    page.keyboard.press("l")  # a slider has no use for a letter
    assert not locked(page)


def test_the_list_of_keys_opens_and_closes(visit) -> None:
    page = visit()
    nowhere(page)
    page.keyboard.press("?")
    page.locator("#keys").wait_for()
    assert page.locator("#keys dt").count() == page.locator("#keys dd").count() >= 7
    page.keyboard.press("?")
    page.locator("#keys").wait_for(state="hidden")
    page.get_by_role("button", name="Keys", exact=True).click()
    page.locator("#keys").wait_for()
    page.keyboard.press("Escape")
    page.locator("#keys").wait_for(state="hidden")


def test_touch_screens_see_no_keys(visit) -> None:
    mark = "getComputedStyle(document.querySelector('#generate'), '::after').display"
    assert visit().evaluate(mark) != "none"
    page = visit(width=390, height=844, has_touch=True, is_mobile=True)
    assert page.evaluate(mark) == "none"
    assert not page.locator(".show-keys").is_visible()
    assert page.locator(f"[data-preset='{RACE}']").is_visible()

"""The lab in the browser: knobs answer, time is dragged, the numbers come, and whoever makes music does not wait."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from visitor import both_widths, finished, generate, quick

from diffusion.lab import EXPERIMENTS
from diffusion.lab.experiment import Experiment
from diffusion.settings import Choice
from diffusion.ui.lab.code import coloured, formula
from diffusion.ui.lab.encoding import frame
from diffusion.ui.shared.words import FRENCH

OPENED = "#lab/swiss-roll?points=500&seed=3"
DONE = "document.querySelector('.lab:not(.busy) .numbers tbody tr')"
FRAMES = "Number(document.querySelector('.lab .time input').max)"


def experiment_names() -> list[str]:
    return list(EXPERIMENTS)


def said(experiment: Experiment) -> set[str]:
    """All sentences that stand beside an experiment."""
    sentences = {experiment.title, experiment.summary, experiment.claim}
    for knob in experiment.knobs.values():
        sentences |= {knob.title, knob.help}
        if isinstance(knob, Choice):
            sentences |= {entry.title for entry in knob.catalogue.values()}
    return sentences


def in_lab(visit, address: str = OPENED):
    page = visit()
    page.evaluate("address => { location.hash = address; }", address)
    page.wait_for_function(DONE)
    return page


@both_widths
def test_a_link_leads_to_an_experiment_with_its_knobs(visit) -> None:
    page = in_lab(visit)
    assert page.locator("#lab .experiments [aria-current]").inner_text() == "Swiss roll"
    assert page.locator("#lab [name=points]").input_value() == "500"
    assert "seed=3" in page.url
    assert page.locator("#lab .panel canvas").first.is_visible()
    assert page.locator("#lab math").count() == 1
    assert "def" in page.locator("#lab .code").inner_text() or "class" in page.locator("#lab .code").inner_text()
    assert not page.locator("#canvas").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_time_is_dragged_and_played(visit) -> None:
    page = in_lab(visit)
    assert page.evaluate(FRAMES) >= 10
    cloud = "document.querySelector('.lab .panels canvas').toDataURL()"
    end = page.evaluate(cloud)
    page.locator("#lab .time input").fill("0")
    start = page.evaluate(cloud)
    assert start != end
    assert page.locator("#lab .strip button").count() == 10
    page.locator("#lab .strip button").last.click()
    assert page.evaluate(cloud) == end
    page.click("#lab .roll")
    page.wait_for_function("Number(document.querySelector('.lab .time input').value) > 1")
    page.wait_for_function(f"Number(document.querySelector('.lab .time input').value) === {FRAMES}")
    page.locator("#lab .time input").fill("5")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    assert page.locator("#lab .time input").input_value() == "6"


def test_a_knob_answers_with_a_new_run_and_the_address_says_it(visit) -> None:
    page = in_lab(visit)
    page.evaluate("document.querySelector('.lab .numbers tbody').replaceChildren()")
    page.locator("#lab [name=points]").fill("300")
    page.wait_for_function(DONE)
    assert "points=300" in page.url
    address = page.url
    page.get_by_role("button", name="Another seed").click()
    page.wait_for_function("address => location.href !== address", arg=address)


def test_what_cannot_be_asked_is_said(visit) -> None:
    page = visit()
    page.evaluate("location.hash = '#lab/swiss-roll?points=1&seed=3'")
    page.wait_for_selector("#lab .message.error")
    assert re.search("points: got 1, allowed .*100 to 5000", page.inner_text("#lab .message"))
    page.locator("#lab [name=points]").fill("500")
    page.wait_for_function(DONE)


def test_a_training_is_watched_and_stopped_while_music_is_made(visit) -> None:
    page = in_lab(visit)
    page.get_by_role("button", name="Train again").click()
    page.wait_for_function("/Step \\d+ of/.test(document.querySelector('.lab .message').textContent)")
    other = visit()
    quick(other)
    generate(other)
    finished(other)
    page.get_by_role("button", name="Stop").locator("visible=true").click()
    page.wait_for_selector("#lab .lab:not(.busy)")
    assert page.inner_text("#lab .message") == "Stopped."


def test_the_keys_of_other_rooms_do_nothing_here(visit) -> None:
    page = in_lab(visit)
    seed = page.locator("#seed input").input_value()
    for key in "glx":
        page.keyboard.press(key)
    page.wait_for_function(DONE)
    page.get_by_role("link", name="Compose", exact=True).click()
    assert page.locator("#canvas").is_visible()
    assert not page.locator(".sampling").count()
    assert page.locator("#seed input").input_value() == seed
    assert not page.locator("#keep input").is_checked()


@pytest.mark.parametrize("name", experiment_names())
def test_everything_that_stands_beside_an_experiment_has_its_french(name: str) -> None:
    assert said(EXPERIMENTS[name]) - FRENCH.keys() == set()


@pytest.mark.parametrize("name", experiment_names())
def test_every_experiment_can_be_shown(name: str) -> None:
    experiment = EXPERIMENTS[name]
    knobs = experiment.asked({})
    assert formula(experiment.formula).startswith("<math")
    assert len(experiment.knobs) <= 6

    class Text(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.text = ""

        def handle_data(self, data: str) -> None:
            self.text += data

    shown = Text()
    shown.feed(coloured(experiment.source_code(knobs)))
    assert shown.text.strip() == experiment.source_code(knobs).strip()
    first = frame(next(iter(experiment.run(knobs, 1))))
    assert first["panels"]
    assert json.loads(json.dumps(first, allow_nan=False)) == first

"""The lab in the browser: knobs answer, time is dragged, the numbers come, and whoever makes music does not wait."""

from __future__ import annotations

import io
import itertools
import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image
from visitor import both_widths, finished, generate, quick

from diffusion.lab import EXPERIMENTS, INDEX
from diffusion.lab.experiment import SWITCH, Experiment
from diffusion.lab.noising import MOST_BYTES
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
    sentences = {experiment.title, experiment.summary, experiment.claim, experiment.training}
    sentences |= {experiment.source.document, experiment.source.place}
    for knob in experiment.knobs.values():
        sentences |= {knob.title, knob.help}
        if isinstance(knob, Choice):
            sentences |= {entry.title for entry in knob.catalogue.values()}
            sentences |= {entry.summary for entry in knob.catalogue.values() if knob.catalogue is not SWITCH}
    return sentences


def without_numbers(sentence: str) -> str:
    """A sentence as `counted` in words.js looks it up."""
    numbers = itertools.count()
    return re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", lambda _: f"{{n{next(numbers)}}}", sentence)


def png(colour: str, width: int = 40, height: int = 30) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def bring(page, content: bytes, name: str, kind: str) -> None:
    """Choose a file with the button."""
    page.locator("#lab .own input").set_input_files({"name": name, "mimeType": kind, "buffer": content})


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


@both_widths
def test_a_reader_finds_what_a_document_does(visit) -> None:
    page = in_lab(visit)
    page.click("#lab .index summary")
    page.get_by_role("link", name="Naive skipping, DDIM and DDPM in 60 of 300 steps").wait_for()
    page.get_by_role("link", name="Ancestral sampling in 100 steps").click()
    page.wait_for_selector("#lab .experiments [data-name=digits][aria-current]")
    page.wait_for_selector("#lab [name=sampler][value=ddpm]:checked", state="attached")
    assert page.locator("#lab [name=steps]").input_value() == "100"
    assert not page.locator("#lab .index div").is_visible()


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


FIRST = """() => {
    const canvas = document.querySelector('#lab .row canvas');
    const at = canvas?.getContext('2d').getImageData(5, 5, 1, 1).data;
    return canvas && [canvas.width, canvas.height, at[0], at[1], at[2]];
}"""


def first_picture(page) -> list[int]:
    """Size and colour of the first picture, before any noise."""
    page.locator("#lab .time input").fill("0")
    return page.evaluate(FIRST)


@both_widths
def test_a_picture_of_ones_own_dissolves_chosen_or_dropped(visit) -> None:
    page = in_lab(visit, "#lab/noising?steps=20&seed=3")
    shipped = first_picture(page)
    page.locator("#lab .time input").fill("10")
    bring(page, png("red"), "red.png", "image/png")
    page.wait_for_function("document.querySelector('#lab .row canvas')?.width === 40")
    page.wait_for_function(DONE)
    page.locator("#lab .time input").fill("0")
    page.wait_for_function(f"String(({FIRST})()) === '40,30,255,0,0'")
    assert "steps=20" in page.url
    page.get_by_role("button", name="What ships").click()
    page.wait_for_function(f"({FIRST})()?.[0] === {shipped[0]}")
    assert not page.get_by_role("button", name="What ships").is_visible()
    page.evaluate(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], 'blue.png', { type: 'image/png' }));
            const drop = new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true });
            document.querySelector('#lab .panels').dispatchEvent(drop);
        }""",
        list(png("blue", 20, 20)),
    )
    page.wait_for_function(f"({FIRST})()?.[0] === 20")
    assert not page.locator(".veil").is_visible()


def test_the_clip_on_show_dissolves_and_is_heard(visit) -> None:
    page = in_lab(visit, "#lab/noising?steps=20&seed=3")
    page.get_by_role("button", name="The clip on show").click()
    page.wait_for_selector("#lab [name=subject][value=clip]:checked", state="attached")
    page.wait_for_function(DONE)
    page.wait_for_selector("#lab audio")
    with_own = page.evaluate("document.querySelector('#lab .row canvas').toDataURL()")
    page.get_by_role("button", name="What ships").click()
    page.wait_for_function("own => document.querySelector('#lab .row canvas')?.toDataURL() !== own", arg=with_own)


@pytest.mark.parametrize(
    ("content", "name", "kind", "words"),
    [
        (b"no picture", "a.png", "image/png", "picture: got a file that is no PNG or JPEG picture, or a damaged one."),
        (b"", "a.png", "image/png", "picture: got a file that is no PNG or JPEG picture, or a damaged one."),
        (b"no sound", "a.wav", "audio/wav", "source: clip: damaged, or not audio in a format that can be read."),
        (b"0" * (MOST_BYTES + 1), "a.png", "image/png", "10.0 MB are too much: at most 10 MB are read."),
    ],
    ids=["no picture", "empty", "no sound", "too large"],
)
def test_what_is_no_picture_and_no_sound_is_refused_in_a_sentence(
    visit, content: bytes, name: str, kind: str, words: str
) -> None:
    page = in_lab(visit, "#lab/noising?steps=20&seed=3")
    before = first_picture(page)
    bring(page, content, name, kind)
    page.wait_for_selector("#lab .message.error")
    assert page.inner_text("#lab .message") == words
    page.get_by_role("button", name="Another seed").click()
    page.wait_for_function("document.querySelector('#lab .message').textContent === ''")
    assert first_picture(page) == before


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
    assert {each for each in said(EXPERIMENTS[name]) if not {each, without_numbers(each)} & FRENCH.keys()} == set()


def test_the_index_of_the_documents_has_its_french() -> None:
    said = {*INDEX, *(each.what for places in INDEX.values() for each in places)}
    assert {each for each in said if not {each, without_numbers(each)} & FRENCH.keys()} == set()


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

"""A model with seven labels: each can be chosen, is heard, said, kept in files and links; another model shows two."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from gradio_client import Client
from serving import PATIENCE_S, free_port, serving
from visitor import SEED, choose, finished, generate, message, number, player, quick, unfold, wav

from diffusion.engine import Clip
from diffusion.request import Request
from diffusion.studio import Studio, open_studio


@pytest.fixture(scope="module")
def server(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(small_checkpoint, tmp_path_factory.mktemp("labels") / "log.txt", free_port()) as address:
        yield address


@pytest.fixture(scope="module")
def studio(small_checkpoint: Path) -> Studio:
    return open_studio(small_checkpoint, "cpu")


def chosen(page, name: str) -> str:
    return page.locator(f"#{name} input:checked").input_value()


def test_mode_and_tempo_are_chosen_said_and_kept(visit, studio: Studio) -> None:
    page = visit(width=390, height=844)
    for name in ("mode", "tempo"):
        assert chosen(page, name) == "any"
        assert page.locator(f"#{name} .info-text").inner_text().endswith(".")
    quick(page, 2, SEED)
    choose(page, "tempo", "fast")
    page.locator("#keep input").check()
    generate(page)
    before = finished(page, SEED)
    assert (before["mode"], before["tempo"]) == ("any", "fast")
    run = page.locator(".canvas").get_attribute("data-clip")
    choose(page, "mode", "minor")  # the seed is locked: it is heard at once
    page.wait_for_function("run => document.querySelector('.canvas').dataset.clip !== run", arg=run)
    page.wait_for_selector("#generate:not([disabled])")
    asked = studio.request(seed=SEED, steps=2, duration_s=2.56, mode="minor", tempo="fast")
    *_, clip = studio.generate(asked)
    assert isinstance(clip, Clip)
    assert wav(page) == clip.to_wav()
    assert message(page).endswith(f"for piano, minor, fast, made of noise {SEED}.")
    assert "-minor-fast-" in page.locator(".download").get_attribute("download")
    assert "minor · fast" in page.locator(".takes .card").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.click(".link")
    page.wait_for_function("window.copied")
    query = page.evaluate("window.copied").partition("?")[2]
    assert Request.from_query(query) == asked
    page.get_by_role("button", name="Stage").first.click()
    assert page.locator("#stage .piece").inner_text().endswith("Minor · Fast")
    again = visit("?" + query)
    again.wait_for_function("document.querySelector('#mode input:checked').value === 'minor'")
    assert chosen(again, "tempo") == "fast"


def test_a_link_from_before_leaves_mode_and_tempo_open(visit, studio: Studio) -> None:
    asked = studio.request(seed=SEED, steps=2, duration_s=2.56)
    assert not {"mode", "tempo"} & parse_qs(asked.to_query()).keys()
    page = visit("?" + asked.to_query())
    page.wait_for_function("seed => document.querySelector('#seed input')?.value === seed", arg=str(SEED))
    assert (chosen(page, "mode"), chosen(page, "tempo")) == ("any", "any")
    choose(page, "mode", "major")
    page.wait_for_function("document.querySelector('.download').download.includes('-major-')")
    file = {"name": "old.json", "mimeType": "application/json", "buffer": json.dumps(asked.to_dict()).encode()}
    page.locator(".takes input[type=file]").set_input_files(file)
    page.wait_for_function("document.querySelector('#mode input:checked').value === 'any'")


@pytest.mark.parametrize("width", [1440, 390])
def test_a_key_a_beat_and_an_ending_are_chosen_said_and_kept(visit, studio: Studio, width: int) -> None:
    page = visit(width=width, height=844)
    unfold(page, "advanced")
    page.locator("#key label").first.wait_for()
    names = page.locator("#key label").all_inner_texts()
    assert names == ["Any", "C", "D♭", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"]
    boxes = [page.locator("#key label").nth(i).bounding_box() for i in range(len(names))]
    assert all(box["width"] >= 24 for box in boxes)
    lefts = [box["x"] for box in boxes[1:]]
    assert lefts == sorted(lefts)  # as on a piano, black keys between white ones
    assert max(box["x"] + box["width"] for box in boxes) <= width
    quick(page, 2, SEED)
    page.locator("#key label").nth(7).click(position={"x": 5, "y": 5})
    choose(page, "beat", "104")
    choose(page, "ending", "ends")
    choose(page, "mode", "minor")
    generate(page)
    settings = finished(page, SEED)
    assert (settings["key"], settings["beat"], settings["ending"]) == ("F#", "104", "ends")
    asked = studio.request(seed=SEED, steps=2, duration_s=2.56, mode="minor", key="F#", beat="104", ending="ends")
    *_, clip = studio.generate(asked)
    assert isinstance(clip, Clip)
    assert wav(page) == clip.to_wav()
    assert message(page).endswith(f"for piano, in F♯ minor, ♩ = 104, with its end, made of noise {SEED}.")
    assert "-minor-Fsharp-104-ends-" in page.locator(".download").get_attribute("download")
    assert "in F♯ minor · ♩ = 104 · with its end" in page.locator(".takes .card").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    again = visit("?" + asked.to_query())
    unfold(again, "advanced")
    again.wait_for_function("document.querySelector('#key input:checked')?.value === 'F#'")
    assert (chosen(again, "beat"), chosen(again, "ending")) == ("104", "ends")


@pytest.mark.parametrize(
    ("locale", "said", "warned"),
    [
        ("en-US", "in A minor, slow", r"At t = 1, [\d.]+ % of the signal's variance is left, but sampling begins"),
        ("fr-FR", "en la mineur, lent", r"À t = 1, il reste [\d.]+ % de la variance du signal, mais l'échantillonnage"),
    ],
)
def test_what_the_seed_drew_is_said_and_a_schedule_that_does_not_end_in_noise(
    browser, small_checkpoint: Path, tmp_path: Path, locale: str, said: str, warned: str
) -> None:
    folder = Path(shutil.copytree(small_checkpoint, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["prior"] = [
        {"labels": ["mode", "tempo"], "counts": [[0, 0, 0], [9, 0, 0]]},
        {"labels": ["key"], "counts": [0] * 9 + [3, 0, 0]},
    ]
    config["schedule"] = {"name": "quadratic"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with serving(folder, tmp_path / "log.txt", free_port()) as address:
        context = browser.new_context(reduced_motion="reduce", locale=locale)
        context.set_default_timeout(1000 * PATIENCE_S)
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector(".play:not([disabled])")
        assert re.match(warned, message(page))
        quick(page, 2, 7)
        generate(page)
        settings = finished(page, 7)
        assert (settings["mode"], settings["drawn"]) == ("any", {"mode": "minor", "tempo": "slow", "key": "A"})
        assert said in message(page)
        context.close()


def test_labels_are_axes_and_part_of_a_race(visit) -> None:
    page = visit()
    quick(page, 2, SEED)
    choose(page, "mode", "minor")
    page.click("[data-preset='2020']")
    page.locator(".race").wait_for()
    assert page.locator(".race h2").inner_text() == f"One noise, two ways: Chorale, Piano, Minor, seed {SEED}"
    page.click("#stop:not([disabled])")
    page.wait_for_selector("#generate:not([disabled])")
    page.get_by_role("link", name="Compare").click()
    menu = page.locator(".compare [data-axis=x] select")
    page.wait_for_selector(".compare [data-axis=y] .values button")
    menu.select_option("tempo")
    chips = page.locator(".compare [data-axis=x] .values button")
    assert chips.all_inner_texts() == ["Any", "Slow", "Medium", "Fast"]
    assert not page.locator("#tempo").is_visible()  # the grid has its own
    assert page.locator("#mode").is_visible()


@pytest.mark.parametrize("duration_s", [5.12, 40.96])
def test_a_clip_may_be_short_or_long(visit, duration_s: float) -> None:
    page = visit(width=390, height=844)
    quick(page, 2, SEED)
    number(page, "duration_s", duration_s)
    generate(page)
    assert finished(page, SEED)["duration_s"] == duration_s
    assert player(page, "duration") == pytest.approx(duration_s)
    assert float(page.locator(".seek").get_attribute("aria-valuemax")) == pytest.approx(duration_s)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_programs_choose_them_too(server: str, studio: Studio) -> None:
    client = Client(server, verbose=False)
    *_, settings = client.predict(seed=SEED, steps=2, duration_s=2.56, key="Db", beat="62", api_name="/generate")
    asked = studio.request(seed=SEED, steps=2, duration_s=2.56, key="Db", beat="62")
    del settings["seconds"]
    assert Request.from_dict(settings) == asked
    *_, cells = client.predict(
        axis_x="key", values_x="C, F#", axis_y="steps", values_y="2", tempo="slow", duration_s=2.56,
        distances=False, api_name="/compare",
    )  # fmt: skip
    assert [(each["key"], each["tempo"]) for each in cells] == [("C", "slow"), ("F#", "slow")]


def test_a_model_without_them_shows_no_such_controls(browser, plain_checkpoint: Path, tmp_path: Path) -> None:
    with serving(plain_checkpoint, tmp_path / "log.txt", free_port()) as address:
        context = browser.new_context(reduced_motion="reduce")
        context.set_default_timeout(1000 * PATIENCE_S)
        page = context.new_page()
        page.goto(f"{address}/?style=chorale&ensemble=piano&seed=7&steps=2&duration_s=2.56&mode=minor")
        page.wait_for_selector(".canvas .message.error")
        assert "The link cannot be followed. mode: got 'minor', allowed any." in message(page)
        page.wait_for_selector(".play:not([disabled])")
        assert page.locator("#style").is_visible()
        assert page.locator("#mode, #tempo, #key, #beat, #ending").count() == 0
        quick(page, 2, 7)
        generate(page)
        assert "mode" not in finished(page, 7)
        page.get_by_role("link", name="Compare").click()
        page.wait_for_selector(".compare [data-axis=y] .values button")
        titles = page.locator(".compare [data-axis=x] select option").all_inner_texts()
        assert not {"Mode", "Tempo", "Key", "Beat", "Ending"} & set(titles)
        context.close()

"""A label that only a model knows: it is asked for, said, kept and compared, and no file of the product names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from serving import free_port, serving
from small_models import LABELS, music, save
from test_mcp import ask
from visitor import SEED, choose, finished, generate, message, quick, unfold, wav

from diffusion.engine import Clip
from diffusion.request import Request
from diffusion.studio import Studio, open_studio
from diffusion.ui.shared import naming

MOODS = ["calm", "very_stormy"]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("own") / "moody", music({**LABELS, "mood": MOODS}))


@pytest.fixture(scope="module")
def server(own: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(own, tmp_path_factory.mktemp("own") / "log.txt", free_port()) as address:
        yield address


@pytest.fixture(scope="module")
def studio(own: Path) -> Studio:
    return open_studio(own, "cpu")


def asked(studio: Studio, **settings: Any) -> Request:
    return studio.request(seed=SEED, steps=2, duration_s=2.56, **settings)


def test_it_is_named_after_the_others(studio: Studio) -> None:
    settings = asked(studio, key="D", tempo="slow", mood="very_stormy").to_dict()
    assert naming.names(settings)["en"] == ["Chorale", "Piano", "In D", "Slow", "Very stormy"]
    assert naming.title(settings)["fr"] == "Choral pour piano, en ré, lent, very stormy"
    assert naming.file_name(settings) == f"out-of-noise-chorale-piano-slow-D-very_stormy-{SEED}.wav"


def test_a_visitor_chooses_it_hears_it_and_keeps_it(visit, studio: Studio) -> None:
    page = visit(width=390, height=844)
    unfold(page, "advanced")
    assert page.locator("#mood label").all_inner_texts() == ["Any", "Calm", "Very stormy"]
    quick(page, 2, SEED)
    choose(page, "mood", "very_stormy")
    generate(page)
    assert finished(page, SEED)["mood"] == "very_stormy"
    request = asked(studio, mood="very_stormy")
    *_, clip = studio.generate(request)
    assert isinstance(clip, Clip)
    assert wav(page) == clip.to_wav()
    assert message(page).endswith(f"for piano, very stormy, made of noise {SEED}.")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    again = visit("?" + request.to_query())
    unfold(again, "advanced")
    again.wait_for_function("document.querySelector('#mood input:checked')?.value === 'very_stormy'")


def test_it_may_be_an_axis(visit) -> None:
    page = visit()
    unfold(page, "advanced")
    page.click(".rooms a[href='#compare']")
    page.wait_for_selector(".compare [data-axis=y] .values button")
    assert page.locator("#mood").is_visible()
    page.locator(".compare [data-axis=x] select").select_option(label="Mood")
    assert page.locator(".compare [data-axis=x] .values button").all_inner_texts() == ["Any", "Calm", "Very stormy"]
    assert not page.locator("#mood").is_visible()


def test_programs_ask_for_it_and_are_told_what_there_is(server: str, studio: Studio) -> None:
    client = Client(server, verbose=False)
    assert client.predict(api_name="/options")["mood"]["choices"] == ["any", *MOODS]
    *_, settings = client.predict(seed=SEED, steps=2, duration_s=2.56, mood="calm", api_name="/generate")
    del settings["seconds"]
    assert Request.from_dict(settings) == asked(studio, mood="calm")
    html, _, cells = client.predict(
        axis_x="mood", values_x="any, calm", axis_y="steps", values_y="2", duration_s=2.56, distances=False,
        api_name="/compare",
    )  # fmt: skip
    assert [each["mood"] for each in cells] == ["any", "calm"]
    assert '"title": "Mood", "labels": ["Any", "Calm"]' in Path(html).read_text(encoding="utf-8")
    for tool in ask(server).values():
        if tool.name != "options":
            assert "very_stormy" in tool.inputSchema["properties"]["mood"]["description"]

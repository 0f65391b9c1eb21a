"""The slow reveal: what is kept of a run, who may hear it, and what comes out of the loudspeaker."""

from __future__ import annotations

import base64
import io
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile
import torch
from visitor import both_widths, finished, generate, message, player, quick

from diffusion.audio.loudness import TARGET_DB, loudness_db
from diffusion.engine import Preview
from diffusion.film import KEPT, Film
from diffusion.request import Request
from diffusion.studio import Studio
from diffusion.ui.compose.reel import AGE_S, BYTES, FILMS, LONGEST_S, REVEAL_S, Reel, Reels
from diffusion.ui.compose.visits import Visits


def filmed(studio: Studio, total: int, stopped_at: int | None = None) -> Film:
    film = Film(studio.codec, Request({"style": "any", "ensemble": "any"}, 0))
    features = np.zeros(studio.codec.shape(4), np.float32)
    for index in range((total if stopped_at is None else stopped_at) + 1):
        x0 = features + index / total if index else None
        film.add(Preview(index, total, 1 - index / total, 0.0, 0.5, 0.8, index, 0.0, features, x0))
    film.cut()
    return film


@pytest.mark.parametrize("total", [1, 3, 20, 23, 24, 30, 49, 200, 1000])
def test_a_film_keeps_few_steps_evenly_with_the_noise_and_the_last(studio: Studio, total: int) -> None:
    film = filmed(studio, total)
    steps = [frame["index"] for frame in film.frames]
    assert (steps[0], steps[-1]) == (0, total)
    assert len(steps) == min(total + 1, KEPT)
    gaps = np.diff(steps)
    assert gaps.min() > 0
    assert gaps.max() <= max(2, 2 * total / KEPT)
    beliefs = [float(belief.mean()) for belief in film.beliefs[1:]]
    np.testing.assert_allclose(beliefs, np.array(steps[1:]) / total, atol=1e-3)
    assert steps == [frame["index"] for frame in filmed(studio, total).frames]  # whatever the time it took


@pytest.mark.parametrize("stopped_at", [0, 1, 40, 999])
def test_a_film_of_a_stopped_run_ends_where_it_stopped(studio: Studio, stopped_at: int) -> None:
    film = filmed(studio, 1000, stopped_at)
    assert film.frames[-1]["index"] == stopped_at
    assert len(film.frames) == len(film.beliefs) == min(stopped_at + 1, len(film.frames), KEPT)
    assert len(film.frames) >= min(stopped_at + 1, KEPT // 2)


def reel(size_bytes: int = 200) -> Reel:
    return Reel({0: np.zeros(size_bytes // 2, np.float16)}, {0: 1.0}, 1.0, "")


def test_a_film_expires_when_nobody_has_used_it() -> None:
    now = 0.0
    reels = Reels(clock=lambda: now)
    reels.keep("run", "visitor", reel())
    now = AGE_S - 1
    assert reels.get("run") is not None
    now = 2 * AGE_S - 2  # used since
    assert reels.get("run") is not None
    now += AGE_S + 1
    assert reels.get("run") is None
    assert len(reels) == 0


def test_each_visitor_has_the_film_of_the_latest_run_until_leaving() -> None:
    reels = Reels()
    for run, owner in [("a1", "a"), ("b1", "b"), ("a2", "a")]:
        reels.keep(run, owner, reel())
    assert [reels.get(run) is not None for run in ("a1", "b1", "a2")] == [False, True, True]
    reels.drop("a")
    assert [reels.get(run) is not None for run in ("b1", "a2")] == [True, False]


def test_all_films_together_are_bounded() -> None:
    reels = Reels()
    for index in range(FILMS + 3):
        reels.keep(f"run {index}", f"visitor {index}", reel())
        reels.get("run 0")  # the one in use stays
    assert len(reels) == FILMS
    assert reels.get("run 0") is not None
    assert [reels.get(f"run {index}") for index in (1, 2, 3)] == [None, None, None]
    large = reel(BYTES // 2 - 1)
    for name in ("x", "y", "z"):
        reels.keep(name, name, large)
    assert [reels.get(name) is not None for name in ("run 0", "x", "y", "z")] == [False, False, True, True]


@pytest.fixture(scope="module")
def visits(studio: Studio) -> Visits:
    return Visits(studio)


def run(visits: Visits, visitor: str, **settings: Any) -> dict[str, Any]:
    *_, clip = visits.perform(visits.studio.request(duration_s=2.56, seed=5, **settings), visitor)
    return clip


def heard(answer: dict[str, Any] | None) -> np.ndarray:
    assert answer is not None
    wave, _ = soundfile.read(io.BytesIO(base64.b64decode(answer["audio"])))
    return wave


def level_db(wave: np.ndarray, rate_hz: int) -> float:
    return float(loudness_db(torch.from_numpy(wave)[None], rate_hz))


def test_every_step_can_be_heard_and_none_is_louder_than_the_clip(visits: Visits) -> None:
    rate_hz = visits.studio.mel.sample_rate_hz
    clip = run(visits, "a", steps=4)
    answers = [visits.belief({"run": clip["run"], "step": frame["index"]}) for frame in clip["film"]]
    music = heard(clip)
    for answer in answers:
        assert answer is not None
        wave = heard(answer)
        assert len(wave) == len(music)
        assert wave[0] == wave[-1] == 0
        assert level_db(wave, rate_hz) <= TARGET_DB + 0.1
        assert 0.1 <= answer["seconds"] <= LONGEST_S
    assert level_db(heard(answers[0]), rate_hz) < TARGET_DB - 8
    assert sum(answer["seconds"] for answer in answers[:-1] if answer) <= REVEAL_S + 1
    assert level_db(heard(answers[-1]), rate_hz) == pytest.approx(level_db(music, rate_hz), abs=0.3)


def test_nobody_hears_a_film_without_its_name(visits: Visits) -> None:
    clip = run(visits, "a", steps=1)
    name = clip["run"]
    assert len(name) == 32  # 122 random bits
    assert visits.belief({"run": name, "step": 0})
    for asked in (
        None,
        name,
        {},
        {"run": name},
        {"run": name, "step": 7},
        {"run": name, "step": "0"},
        {"run": name, "step": False},
        {"run": name[:-1], "step": 0},
        {"run": "a", "step": 0},
        {"run": [name], "step": 0},
    ):
        assert visits.belief(asked) is None


def test_a_film_is_gone_with_its_visitor(visits: Visits) -> None:
    clip, other = run(visits, "a", steps=1), run(visits, "b", steps=1)
    visits.leave(gr.Request(session_hash="a"))
    assert visits.belief({"run": clip["run"], "step": 0}) is None
    assert visits.belief({"run": other["run"], "step": 0})
    visits.leave(gr.Request(session_hash="b"))
    assert len(visits.reels) == 0


def test_the_welcome_emerges_too(studio: Studio) -> None:
    visits = Visits(studio)
    *_, clip = visits.welcome("first")
    visits.leave(gr.Request(session_hash="first"))
    assert len(visits.reels) == 0
    assert visits.belief({"run": clip["run"], "step": clip["film"][0]["index"]})


def remember(page) -> None:
    page.evaluate("async () => { window.clip = (await import('/page/shared/player.js')).player.buffer; }")


def wait_for(page, which: str) -> None:
    """Until the player has the clip's buffer again, or that of a step."""
    page.wait_for_function(
        """async (which) => {
            const { player } = await import('/page/shared/player.js');
            return (player.buffer === window.clip) === (which === 'clip');
        }""",
        arg=which,
    )


@both_widths
def test_a_hand_on_the_film_hears_its_step_at_the_same_position(visit) -> None:
    page = visit()
    quick(page, 6)
    generate(page)
    finished(page)
    remember(page)
    film = page.locator(".film input")
    assert film.get_attribute("aria-valuetext") == "the clip"
    film.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    wait_for(page, "step")
    assert page.locator(".film-step").inner_text() == "step 4 of 6"
    assert film.get_attribute("aria-valuetext") == "step 4 of 6"
    assert player(page, "playing")
    page.keyboard.press("End")
    wait_for(page, "clip")
    assert page.locator(".film-step").is_hidden()

    page.click(".play")
    page.wait_for_selector(".play[aria-label=Play]")
    position = player(page, "position")
    film.focus()
    page.keyboard.press("Home")
    page.wait_for_function("document.querySelector('.panes').dataset.index === '0'")
    wait_for(page, "step")
    assert not player(page, "playing")
    assert player(page, "position") == position
    page.click(".play")
    page.wait_for_selector(".play[aria-label=Pause]")
    wait_for(page, "step")
    before = page.locator(".canvas").get_attribute("data-clip")
    generate(page)
    page.wait_for_function("before => document.querySelector('.canvas').dataset.clip !== before", arg=before)
    assert page.locator(".film-step").is_hidden()


def test_the_reveal_ends_when_the_visitor_does_anything_else(visit) -> None:
    page = visit()
    quick(page, 6)
    generate(page)
    finished(page)
    remember(page)

    def begin() -> None:
        page.click(".reveal[aria-pressed=false]")
        wait_for(page, "step")
        page.wait_for_function("Number(document.querySelector('.film input').value) < 6")

    def over() -> None:
        page.wait_for_selector(".reveal[aria-pressed=false]")
        wait_for(page, "clip")

    begin()
    page.click(".reveal[aria-pressed=true]")
    over()
    page.wait_for_function("(film => film.value === film.max)(document.querySelector('.film input'))")
    assert player(page, "playing")

    begin()
    page.click(".play")
    over()
    assert not player(page, "playing")

    begin()
    page.locator(".film input").focus()
    page.keyboard.press("End")
    over()

    begin()
    page.locator(".reveal[aria-pressed=true]").press("Enter")
    over()

    begin()
    page.evaluate("import('/page/shared/player.js').then(({ player }) => { player.loop = false; })")
    generate(page)
    over_or_new = "document.querySelector('.reveal').getAttribute('aria-pressed') === 'false'"
    page.wait_for_function(over_or_new)
    finished(page)
    assert page.locator(".film input").evaluate("film => film.value === film.max")


def test_an_expired_film_says_so_and_its_clip_still_plays(visit) -> None:
    page = visit()
    quick(page, 2)
    for _ in range(2):
        generate(page)
        finished(page)
    page.locator(".takes .put").last.click()  # the older take, whose film has made way for that of the newer
    page.wait_for_function("document.querySelector('.canvas').dataset.clip === window.before")
    page.click(".reveal")
    page.wait_for_selector(".canvas .message.error")
    assert message(page) == "This film has expired: generate again."
    page.wait_for_selector(".reveal[aria-pressed=false]")
    assert player(page, "playing")


def test_pictures_fade_where_motion_is_welcome(visit) -> None:
    page = visit()
    quick(page, 3)
    generate(page)
    finished(page)
    fading = "() => [...document.querySelectorAll('.reveal-veil')].some((veil) => getComputedStyle(veil).opacity > 0)"
    page.evaluate(f"() => {{ window.faded = false; setInterval(() => {{ window.faded ||= ({fading})(); }}, 20); }}")
    page.click(".reveal")
    page.wait_for_selector(".film-step:not([hidden])")
    page.wait_for_selector(".reveal[aria-pressed=false]")
    assert not page.evaluate("window.faded")
    page.emulate_media(reduced_motion="no-preference")
    page.click(".reveal")
    page.wait_for_function("window.faded")
    page.wait_for_selector(".reveal[aria-pressed=false]")
    assert not page.evaluate(fading)

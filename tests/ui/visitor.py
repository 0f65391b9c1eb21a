"""What a visitor does with hands, eyes and ears."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
import soundfile

SEED = 424242
both_widths = pytest.mark.parametrize("screen", [(1440, 900), (390, 844)], indirect=True, ids=["wide", "phone"])


def number(page, name: str, value: float | str) -> None:
    field = page.locator(f"#{name} input[type=number]")
    for _ in range(10):  # a fold that has only just opened sets its fields once more
        field.fill(str(value))
        field.blur()
        looks = []
        for _ in range(2):
            page.evaluate("() => new Promise((done) => setTimeout(done, 50))")
            looks.append(field.input_value())
        if looks == 2 * [str(value)]:
            break


def write_seed(page, text: str | int) -> None:
    page.locator("#seed input").fill(str(text))
    page.locator("#seed input").blur()


def unfold(page, fold: str) -> None:
    """Open a fold of the rail: advanced or settings."""
    if not page.locator(f"#{fold} [data-testid=accordion-content]").is_visible():
        page.click(f"#{fold} > button")
        page.locator(f"#{fold} [data-testid=accordion-content]").wait_for()


def choose(page, name: str, value: str) -> None:
    page.locator(f"#{name} input[value='{value}']").check(force=True)


def choose_sampler(page, title: str) -> None:
    page.locator("#sampler input").click()
    page.get_by_role("option", name=title, exact=True).click()


def quick(page, steps: int = 3, seed: int | None = None, duration_s: float = 2.56) -> None:
    """The shortest clip that there is, or another."""
    unfold(page, "advanced")
    settled = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    for _ in range(50):  # a fold that has just opened may put its own value back
        number(page, "duration_s", duration_s)
        page.evaluate(settled)
        if page.locator("#duration_s input[type=number]").input_value() == str(duration_s):
            break
    number(page, "steps", steps)
    if seed is not None:
        write_seed(page, seed)


def endless(page, seed: int | None = None) -> None:
    """The longest clip that there is, in as many steps as there are: it goes on until somebody ends it."""
    quick(page, 1000, seed, 40.96)


def generate(page) -> None:
    page.evaluate(
        """async () => {
            const { player } = await import('/page/shared/player.js');
            [window.before, window.sounded] = [document.querySelector('.canvas').dataset.clip, player.playing];
            player.addEventListener('change', () => { window.sounded ||= player.playing; });
        }"""
    )
    page.click("#generate:not([disabled])")


def finished(page, seed: int | None = None) -> dict[str, Any]:
    """Wait for the clip that was asked for, and return the settings inside its WAV."""
    page.wait_for_function("document.querySelector('.canvas').dataset.clip !== window.before")
    page.wait_for_function("window.sounded")  # since it was asked for
    page.wait_for_selector("#generate:not([disabled])")
    settings = settings_of(wav(page))
    assert seed is None or settings["seed"] == seed
    return settings


def wav(page) -> bytes:
    """The file behind the link to it."""
    text = page.evaluate(
        """async () => {
            const file = await (await fetch(document.querySelector('.download').href)).blob();
            return await new Promise((resolve) => {
                const reader = new FileReader();
                reader.onload = () => resolve(reader.result.split(',')[1]);
                reader.readAsDataURL(file);
            });
        }"""
    )
    return base64.b64decode(text)


def settings_of(file: bytes) -> dict[str, Any]:
    with soundfile.SoundFile(io.BytesIO(file)) as sound:
        return json.loads(sound.comment)


def player(page, property: str) -> Any:
    """What the page's player says of itself: playing, position, duration, loop."""
    return page.evaluate("async (name) => (await import('/page/shared/player.js')).player[name]", property)


def message(page) -> str:
    return page.locator(".canvas .message").inner_text()


def watch_pictures(page) -> None:
    page.evaluate(
        """() => {
            window.pictures = {noise: new Set(), belief: new Set()};
            for (const name of ['noise', 'belief']) {
                const image = document.querySelector(`[data-picture=${name}] img`);
                new MutationObserver(() => window.pictures[name].add(image.src)).observe(image, {attributes: true});
            }
        }"""
    )


def pictures(page, name: str) -> int:
    return page.evaluate("name => window.pictures[name].size", name)

"""Browsers with rules of their own: about sound, the clipboard, frames, keys, what is kept, and tabs that sleep."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import PATIENCE_S, free_port
from visitor import SEED, finished, generate, message, player, quick, wav

# Sound begins only within the handler of a press, as in Safari: elsewhere `resume` waits.
SAFARI = """
let pressed = false;
for (const name of ['click', 'keydown', 'touchend']) {
    window.addEventListener(name, (event) => {
        pressed ||= event.isTrusted && NAMES.includes(name);
        setTimeout(() => { pressed = false; });
    }, { capture: true });
}
const NAMES = @names;
const { resume } = AudioContext.prototype;
const waiting = [];
AudioContext.prototype.resume = function () {
    if (!pressed && this.state !== 'running') return new Promise((done) => waiting.push(done));
    return resume.call(this).then(() => waiting.splice(0).forEach((done) => done()));
};
window.AudioContext = class extends AudioContext {
    constructor(options) {
        super(options);
        if (!pressed) this.suspend();
    }
};
"""
QWERTY_ONLY = [("&", "Digit1"), ("é", "Digit2"), ("!", "Digit1")]


@pytest.fixture
def ruled(browser, server: str) -> Iterator[Any]:
    """Opens the page in a browser with a rule: a script that runs before any other."""
    contexts: list[Any] = []

    def open_page(rule: str, query: str = ""):
        context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
        context.set_default_timeout(1000 * PATIENCE_S)
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(rule)
        page.goto(f"{server}/{query}")
        page.wait_for_selector("#generate:not([disabled])", state="attached")
        page.wait_for_selector(".play:not([disabled])", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()


def clip_on(page) -> str:
    return page.locator(".canvas").get_attribute("data-clip")


def test_sound_is_unlocked_in_the_press_that_asks_for_a_clip(ruled) -> None:
    page = ruled(SAFARI.replace("@names", "['click', 'keydown', 'touchend']"))
    quick(page, seed=SEED)
    generate(page)
    finished(page, SEED)
    assert page.locator(".takes .card").count() == 1
    assert player(page, "playing")
    page.wait_for_function("async () => (await import('/page/shared/player.js')).player.context.state === 'running'")


def test_a_clip_and_its_take_never_wait_for_sound(ruled) -> None:
    page = ruled(SAFARI.replace("@names", "[]"))  # not even in a press
    before = clip_on(page)
    for made in (1, 2):
        quick(page, seed=SEED + made)
        page.click("#generate:not([disabled])")
        page.wait_for_function("made => document.querySelectorAll('.takes .card').length === made", arg=made)
        page.wait_for_function("before => document.querySelector('.canvas').dataset.clip !== before", arg=before)
        page.wait_for_function(
            "seed => document.querySelector('.canvas .message').textContent.endsWith(`${seed}.`)", arg=SEED + made
        )
        page.wait_for_function(
            """seed => {
                const said = document.querySelector('.announcement').textContent;
                return said.includes(`${seed}.`) && said.includes('Ready to play.');
            }""",
            arg=SEED + made,
        )
        before = clip_on(page)
    assert not player(page, "playing")
    assert page.locator(".play").get_attribute("aria-label") == "Play"


def test_the_stage_never_waits_for_sound(ruled) -> None:
    page = ruled(SAFARI.replace("@names", "[]"), "?stage=1")
    for key in ("1", "ArrowRight"):
        before = clip_on(page)
        page.keyboard.press(key)
        page.wait_for_function("before => document.querySelector('.canvas').dataset.clip !== before", arg=before)
    now = clip_on(page)
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("now => document.querySelector('.canvas').dataset.clip !== now", arg=now)


def press(page, key: str, code: str, shift: bool = False) -> None:
    """A key of another keyboard: what it says, and where it is."""
    page.evaluate(
        """([key, code, shiftKey]) => document.body.dispatchEvent(
            new KeyboardEvent('keydown', { key, code, shiftKey, bubbles: true, cancelable: true })
        )""",
        [key, code, shift],
    )


@pytest.mark.parametrize(("key", "code"), QWERTY_ONLY)
def test_the_number_keys_of_the_stage_go_by_their_place(visit, key: str, code: str) -> None:
    page = visit()
    page.click(".stage-open")
    before = clip_on(page)
    press(page, key, code, shift=key == "!")
    page.wait_for_function("before => document.querySelector('.canvas').dataset.clip !== before", arg=before)


def test_letters_of_other_alphabets_go_by_their_place_and_latin_ones_do_not(visit) -> None:
    page = visit()
    lock = page.locator("#keep input")
    press(page, "д", "KeyL")  # Russian
    assert lock.is_checked()
    press(page, "λ", "KeyL")  # Greek
    assert not lock.is_checked()
    press(page, "n", "KeyL")  # Dvorak
    assert not lock.is_checked()
    press(page, "l", "KeyP")  # Dvorak
    assert lock.is_checked()
    press(page, "ь", "KeyM")
    press(page, "?", "KeyM", shift=True)  # French
    page.locator("#keys").wait_for()
    press(page, "Dead", "BracketLeft")
    press(page, "", "")


def link_is_shown(page) -> None:
    """The link stands in a dialog, selected, and is that of the clip on the canvas."""
    dialog = page.locator("dialog.qr")
    dialog.wait_for()
    link = dialog.locator(".link-text").inner_text()
    assert "seed=0" in link
    assert page.evaluate("getSelection().toString().trim()") == link
    assert "copy it by hand" in dialog.inner_text()
    assert dialog.locator(".code").count() == 0
    assert page.locator(".link").inner_text() == "Copy link"
    dialog.get_by_role("button", name="Close").click()
    dialog.wait_for(state="hidden")


def test_without_a_clipboard_the_link_is_shown(visit) -> None:
    page = visit()
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    url = page.url
    page.click(".link")
    link_is_shown(page)
    assert page.url == url
    page.click(".show-qr")
    page.locator("dialog.qr svg").wait_for()  # the code comes back
    page.keyboard.press("Escape")
    page.click(".link")
    link_is_shown(page)


def until_open(port: int) -> None:
    """Wait for the server at a port of this machine."""
    for _ in range(10 * PATIENCE_S):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("the server did not start")


def test_in_a_frame_of_another_page_the_link_is_shown(browser, server: str, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(1000 * PATIENCE_S)
    page = context.new_page()
    frame = f'<iframe src="{server}/" width="1400" height="860"></iframe>'
    (tmp_path / "index.html").write_text(frame, encoding="utf-8")
    port = free_port()
    other = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until_open(port)
        page.goto(f"http://localhost:{port}/")  # another name, another origin
        page.frame_locator("iframe").locator(".play:not([disabled])").wait_for()
        inside = page.frames[1]
        inside.click(".link")
        link_is_shown(inside)
    finally:
        context.close()
        other.terminate()
        other.wait()


KEEPS_NOTHING = """
for (const name of ['sessionStorage', 'localStorage', 'indexedDB']) {
    Object.defineProperty(window, name, { get() { throw new DOMException('not here', 'SecurityError'); } });
}
"""


def test_a_browser_that_keeps_nothing_shows_the_page(ruled) -> None:
    page = ruled(KEEPS_NOTHING)
    quick(page, seed=SEED)
    generate(page)
    finished(page, SEED)
    assert page.locator(".takes .card").count() == 1


def test_takes_are_there_after_a_look_elsewhere(visit) -> None:
    page = visit()
    quick(page, seed=SEED)
    generate(page)
    finished(page, SEED)
    file = wav(page)
    page.goto("about:blank")
    page.go_back()
    page.wait_for_selector(".takes .card.on")
    assert wav(page) == file


def test_a_tab_that_was_frozen_in_mid_run_shows_the_clip(visit) -> None:
    page = visit()
    quick(page, 1000, SEED)
    generate(page)
    page.wait_for_function("document.querySelector('.panes').dataset.index >= 1")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
    page.wait_for_timeout(3000)  # the time that the tab sleeps
    devtools.send("Page.setWebLifecycleState", {"state": "active"})
    page.click("#stop:not([disabled])")
    finished(page, SEED)
    assert "does not answer" not in message(page)

"""What a visitor keeps: the takes of a visit, two against each other, and settings that come back from files."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
import soundfile
import torch
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
    unfold,
    wav,
)

from diffusion.audio.loudness import loudness_db
from diffusion.audio.wav import to_bytes
from diffusion.engine import Clip
from diffusion.request import Request
from diffusion.studio import Studio
from diffusion.ui import messages

ANYTHING = {"style": "any", "ensemble": "any"}
SETTINGS = {**ANYTHING, "seed": 5, "steps": 3, "duration_s": 2.56}


def take(page, index: int):
    return page.locator(".takes .card").nth(index)


def wait_for_takes(page, count: int) -> None:
    page.wait_for_function("count => document.querySelectorAll('.takes .card').length === count", arg=count)


def make(page, style: str, ensemble: str, seed: int) -> bytes:
    choose(page, "style", style)
    choose(page, "ensemble", ensemble)
    quick(page, seed=seed)
    generate(page)
    finished(page, seed)
    return wav(page)


def on_canvas(page, name: str) -> None:
    """Wait until the take of that seed is the one on the canvas."""
    page.wait_for_function("name => document.querySelector('.download').download.includes(name)", arg=name)


def loudness(file: bytes) -> float:
    wave, rate_hz = soundfile.read(io.BytesIO(file))
    return float(loudness_db(torch.from_numpy(wave)[None], rate_hz))


def drop(page, name: str, content: bytes, type: str = "", padding: int = 0) -> None:
    """Drag a file over the page, see the veil, let go; `padding` bytes of zero are added in the browser."""
    page.evaluate(
        """({name, content, type, padding}) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            window.dropped = new DataTransfer();
            window.dropped.items.add(new File([bytes, new Uint8Array(padding)], name, { type }));
            window.drag = (name, on) => on.dispatchEvent(new DragEvent(name, {
                dataTransfer: window.dropped, bubbles: true, cancelable: true,
            }));
            window.drag('dragenter', document.querySelector('#rail'));
        }""",
        {"name": name, "content": base64.b64encode(content).decode(), "type": type, "padding": padding},
    )
    page.locator(".veil").wait_for(state="visible")
    taken = page.evaluate("!window.drag('dragover', document.querySelector('.veil'))")
    assert taken, "the browser would leave the page for the file"
    page.evaluate("window.drag('drop', document.querySelector('.veil'))")
    page.locator(".veil").wait_for(state="hidden")


def controls(page) -> list[Any]:
    """The values of everything on the rail."""
    return page.evaluate(
        """[...document.querySelectorAll('#rail input')].map((each) =>
            each.matches('[type=radio], [type=checkbox]') ? each.checked : each.value)"""
    )


def value(page, name: str) -> str:
    return page.locator(f"#{name} input").first.input_value()


def wait_for_message(page, text: str) -> None:
    page.wait_for_function("text => document.querySelector('.canvas .message').textContent.includes(text)", arg=text)


@both_widths
def test_takes_are_kept_and_come_back(visit, studio: Studio) -> None:
    page = visit()
    assert page.locator(".takes .card").count() == 0  # the clip that greets was not asked for
    assert "Every clip that you make stays here" in page.locator(".takes-strip").inner_text()
    styles, ensembles = studio.labels["style"], studio.labels["ensemble"]
    first = make(page, styles[1], ensembles[2], 7)
    picture = page.locator("[data-picture=belief] img").get_attribute("src")
    second = make(page, styles[0], ensembles[1], 8)
    wait_for_takes(page, 2)
    newest = take(page, 0).inner_text()
    assert "seed 8" in newest
    assert "UniPC · 3 steps" in newest
    assert "2.6 s" in newest
    assert styles[0].lower() in newest.lower()
    assert take(page, 1).locator("img").get_attribute("src") == picture
    page.evaluate(
        """async () => {
            const { player } = await import('/page/shared/player.js');
            window.silences = 0;
            player.addEventListener('change', () => { window.silences += !player.playing; });
        }"""
    )
    take(page, 1).locator(".put").click()
    on_canvas(page, "-7.")
    assert wav(page) == first
    page.wait_for_function("src => document.querySelector('[data-picture=belief] img').src === src", arg=picture)
    assert message(page).endswith("made of noise 7.")
    assert page.locator("[data-number=step]").inner_text() == "3 / 3"
    assert player(page, "playing")
    assert page.evaluate("window.silences") == 0
    page.click(".play")
    page.locator(".seek").press("Home")
    page.locator(".seek").press("ArrowRight")
    take(page, 0).locator(".put").click()
    on_canvas(page, "-8.")
    assert wav(page) == second
    assert player(page, "position") == pytest.approx(1, abs=0.01)
    assert not player(page, "playing")
    assert page.locator(".takes .card").count() == 2


def test_a_take_goes_on_while_the_next_is_made(visit) -> None:
    page = visit()
    quick(page, seed=7)
    generate(page)
    finished(page, 7)
    choose_sampler(page, "DDPM")
    quick(page, 1000, seed=8)
    generate(page)
    page.wait_for_function("document.querySelector('.panes').dataset.index >= 1")
    page.locator(".takes .card .put").click()
    page.wait_for_function("document.querySelector('.panes').dataset.index >= 3")
    page.click("#stop")
    settings = finished(page, 8)
    wait_for_takes(page, 2)
    assert f"stopped at {settings['stopped_at']} of 1000" in take(page, 0).inner_text()
    take(page, 1).locator(".put").click()
    on_canvas(page, "-7.")
    assert page.locator(".film input").get_attribute("max") <= "4"  # its own film, none of the later run's pictures


@both_widths
def test_two_takes_against_each_other_are_equally_loud(visit, studio: Studio) -> None:
    page = visit()
    styles, ensembles = studio.labels["style"], studio.labels["ensemble"]
    files = {"B": make(page, styles[0], ensembles[1], 7), "A": make(page, styles[1], ensembles[0], 8)}
    levels = {side: loudness(file) for side, file in files.items()}
    assert page.locator(".duel").is_hidden()
    page.keyboard.press("x")  # nothing to play against each other yet
    take(page, 0).locator("[data-side=A]").click()
    take(page, 1).locator("[data-side=B]").click()
    page.locator(".duel [data-side=A]").click()
    on_canvas(page, "-8.")
    page.click(".play")
    page.locator(".seek").press("Home")
    page.locator(".seek").press("ArrowRight")
    gains, positions = {}, {}
    for side, key in (("B", "x"), ("A", "X"), ("B", "x")):
        page.locator(".seek").focus()
        page.keyboard.press(key)
        page.wait_for_function(
            "side => document.querySelector(`.duel [data-side=${side}]`).getAttribute('aria-pressed') === 'true'",
            arg=side,
        )
        on_canvas(page, "-8." if side == "A" else "-7.")
        page.wait_for_function("async () => (await import('/page/shared/player.js')).player.playing")
        assert wav(page) == files[side]
        page.click(".play")
        gains[side], positions[side] = player(page, "gain"), player(page, "position")
    heard = {side: levels[side] + 20 * torch.tensor(gains[side]).log10().item() for side in levels}
    assert heard["A"] == pytest.approx(heard["B"], abs=0.02)
    assert max(gains.values()) == 1  # nothing is turned up, so nothing clips
    assert all(1 <= position < 2.56 for position in positions.values())  # on from where the other was
    louder = max(levels, key=lambda side: levels[side])
    if levels["A"] != pytest.approx(levels["B"], abs=0.06):
        assert f"{louder} is turned down by" in page.locator(".takes-hint").inner_text()
    page.locator("#seed input").focus()
    page.keyboard.press("x")  # a letter of a seed
    assert page.locator(".duel [data-side=B]").get_attribute("aria-pressed") == "true"
    take(page, 1).locator("[data-side=B]").click()
    page.wait_for_function("async () => (await import('/page/shared/player.js')).player.gain === 1")
    assert page.locator(".duel").is_hidden()


def test_the_louder_take_is_turned_down(visit, studio: Studio) -> None:
    page = visit()
    rate_hz = studio.mel.sample_rate_hz
    tone = torch.sin(torch.arange(rate_hz * 256 // 100) * 0.1)
    files = [to_bytes(tone * amplitude, rate_hz) for amplitude in (0.5, 0.25)]
    settings = {**Request(ANYTHING, 1).to_dict(), "evaluations": 20, "stopped_at": None, "version": "0"}
    clips = [messages.clip(str(i), {**settings, "seed": i}, 1.0, [], "data:,", wav) for i, wav in enumerate(files)]
    show(page, clips)
    take(page, 0).locator("[data-side=A]").click()
    take(page, 1).locator("[data-side=B]").click()
    page.locator(".duel [data-side=B]").click()
    page.wait_for_function("window.gains.length === 1")
    page.keyboard.press("x")
    page.wait_for_function("window.gains.length === 2")
    assert page.evaluate("window.gains") == pytest.approx([0.5, 1], abs=0.002)
    assert "B is turned down by 6.0 dB" in page.locator(".takes-hint").inner_text()


def test_only_the_newest_takes_are_kept(visit, studio: Studio) -> None:
    page = visit()
    file = to_bytes(torch.zeros(3200), studio.mel.sample_rate_hz)
    settings = {**Request(ANYTHING, 1).to_dict(), "evaluations": 20, "stopped_at": None, "version": "0"}
    show(page, [messages.clip(str(i), {**settings, "seed": i}, 1.0, [], "data:,", file) for i in range(30)])
    assert page.locator(".takes .card").count() == 24
    assert "seed 29" in take(page, 0).inner_text()
    assert "seed 6" in take(page, 23).inner_text()
    assert page.locator(".takes-count").inner_text() == "24"
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440


def show(page, clips: list[dict[str, Any]]) -> None:
    """Takes on a canvas that has finished clips from here and notes at what gain one is put on."""
    page.evaluate(
        """async (clips) => {
            const { Takes } = await import('/page/compose/takes.js');
            document.querySelector('#takes .takes').outerHTML = await (await fetch('/page/compose/takes.html')).text();
            window.gains = [];
            const canvas = Object.assign(new EventTarget(), {
                clip: null, titleOf: () => '', say: () => {},
                async showClip(clip, { gain }) {
                    window.gains.push(gain);
                    this.clip = clip;
                    this.dispatchEvent(new Event('clip'));
                },
            });
            const takes = new Takes({ trigger() {} }, canvas);
            document.addEventListener('keydown', ({ key }) => { if (key === 'x') takes.swap(); });
            for (const clip of clips) {
                canvas.clip = clip;
                canvas.dispatchEvent(new Event('clip'));
            }
        }""",
        clips,
    )


@both_widths
def test_a_take_gives_its_settings_back(visit, studio: Studio) -> None:
    page = visit()
    choose(page, "style", studio.labels["style"][1])
    choose_sampler(page, "DDIM")
    quick(page, 3, SEED)
    number(page, "ddim-eta", 0.5)
    number(page, "guidance_scale", 3.3)
    generate(page)
    asked, file = finished(page, SEED), wav(page)
    choose(page, "style", "any")
    choose_sampler(page, "UniPC")
    number(page, "duration_s", 5.12)
    number(page, "guidance_scale", 9)
    quick(page, 2, 1)
    page.locator(".takes .restore").click()
    wait_for_message(page, "Settings restored: generate to hear it.")
    page.wait_for_function("seed => document.querySelector('#seed input')?.value === seed", arg=str(SEED))
    page.wait_for_function("document.querySelector('#keep input').checked")
    generate(page)
    assert finished(page, SEED) == asked
    assert wav(page) == file


@both_widths
def test_a_dropped_file_gives_its_settings_back(visit, studio: Studio) -> None:
    labels = {"style": studio.labels["style"][1], "ensemble": "any"}
    asked = Request(labels, SEED, "ddim", 3, 3.25, 2.56, {"eta": 0.125}, model=studio.digest)
    *_, clip = studio.generate(asked)
    assert isinstance(clip, Clip)
    page = visit()
    posted: list[int] = []
    page.on("request", lambda request: posted.append(len(request.post_data_buffer or b"")))
    drop(page, "mine.wav", clip.to_wav(), "audio/wav")
    wait_for_message(page, "Settings restored: generate to hear it.")
    assert max(posted) < 4096  # the settings were sent, the sound was not
    page.wait_for_function("document.querySelector('#keep input').checked")
    generate(page)
    finished(page, SEED)
    assert wav(page) == clip.to_wav()


@both_widths
def test_the_json_beside_the_wav_gives_its_settings_back(visit, studio: Studio, tmp_path) -> None:
    page = visit()
    quick(page, 3, SEED)
    number(page, "guidance_scale", 3.3)
    generate(page)
    asked, file = finished(page, SEED), wav(page)
    with page.expect_download() as download:
        page.click(".save-json")
    assert download.value.suggested_filename.endswith(f"{SEED}.json")
    saved = tmp_path / "saved.json"
    download.value.save_as(saved)
    assert json.loads(saved.read_text(encoding="utf-8")) == asked
    other = visit()
    with other.expect_file_chooser() as chooser:
        other.click(".open-clip")
    chooser.value.set_files(saved)
    wait_for_message(other, "Settings restored: generate to hear it.")
    other.wait_for_function("document.querySelector('#keep input').checked")
    generate(other)
    finished(other, SEED)
    assert wav(other) == file


def test_settings_of_another_model_are_restored_with_a_warning(visit, studio: Studio) -> None:
    page = visit()
    drop(page, "other.json", json.dumps({**SETTINGS, "model": "0123456789ab"}).encode())
    wait_for_message(page, "They are for the model 0123456789ab, which is not here")
    assert studio.digest in message(page)
    page.wait_for_function("document.querySelector('#seed input').value === '5'")
    assert value(page, "steps") == "3"


def test_a_stopped_clip_comes_back_whole_and_says_so(visit) -> None:
    page = visit()
    drop(page, "stopped.json", json.dumps({**SETTINGS, "evaluations": 2, "stopped_at": 2}).encode())
    wait_for_message(page, "That clip was stopped early: generate to hear it finished.")


def test_a_clip_that_went_through_a_pipe_comes_back(visit) -> None:
    """Its header does not say how long it is: whoever wrote it did not know yet."""
    whole, unknown = to_bytes(torch.zeros(2000), 32_000, SETTINGS), b"\xff" * 4
    data = whole.index(b"data")
    streamed = whole[:4] + unknown + whole[8 : data + 4] + unknown + whole[data + 8 :]
    page = visit()
    drop(page, "streamed.wav", streamed, "audio/wav")
    wait_for_message(page, "Settings restored: generate to hear it.")
    page.wait_for_function("document.querySelector('#seed input').value === '5'")


REFUSED = [
    ("nothing.wav", b"", "nothing.wav is empty."),
    ("photo.png", b"\x89PNG\r\n\x1a\n" * 200, "photo.png (image/png, 2 KB) is no clip."),
    ("cut.wav", to_bytes(torch.zeros(2000), 32_000, SETTINGS)[:1000], "cut.wav is only the beginning of a WAV file."),
    ("plain.wav", to_bytes(torch.zeros(2000), 32_000), "plain.wav is a WAV file without settings inside."),
    ("noise.json", b"\xff\xfe{", "noise.json does not hold settings as JSON."),
    ("list.json", b"[1, 2]", "list.json holds JSON, but not the settings of a clip."),
    ("deep.json", b'{"style": ' + b"[" * 9000 + b"]" * 9000 + b"}", "deep.json holds JSON, but not the settings"),
    ("long.json", b" " * 70_000 + b"{}", "long.json is too long for settings: 69 KB"),
    ("jazz.json", json.dumps({**SETTINGS, "style": "jazz"}).encode(), "jazz.json was not restored. style: got 'jazz'"),
    ("none.json", b"{}", "none.json was not restored. seed: got nothing"),
    ("more.json", json.dumps({**SETTINGS, "tempo": 90}).encode(), "more.json was not restored. tempo: got 90"),
    ("steps.json", json.dumps({**SETTINGS, "steps": 1e9}).encode(), "steps: got 1000000000, allowed a whole number"),
    ("knob.json", json.dumps({**SETTINGS, "knobs": {"eta": 2}}).encode(), "knobs: got eta = 2, but unipc has"),
    ("wide.json", json.dumps({**SETTINGS, "style": "a" * 50_000}).encode(), "wide.json was not restored."),
    ("<img src=x onerror=alert(1)>.json", b"{}", "<img src=x onerror=alert(1)>.json was not restored."),
]


def test_other_files_are_refused_in_words_and_change_nothing(visit) -> None:
    page = visit()
    unfold(page, "advanced")
    page.locator("#duration_s input[type=number]").wait_for()
    page.locator("#decoder input").first.wait_for(state="attached")
    before = controls(page)
    for name, content, sentence in REFUSED:
        drop(page, name, content, "image/png" if name.endswith("png") else "")
        wait_for_message(page, sentence)
        assert page.locator(".canvas .message.error").count() == 1, name
        assert len(message(page)) <= 400, name
    drop(page, "album.wav", b"RIFF\0\0\0\0WAVE", "audio/wav", padding=65 * 2**20)
    wait_for_message(page, "album.wav is too long: 65.0 MB, but at most 64 MB are read.")
    many = b"RIFF\xff\xff\0\0WAVE" + b"junk\0\0\0\0" * 100_000
    drop(page, "chunks.wav", many, "audio/wav")
    wait_for_message(page, "chunks.wav is a WAV file without settings inside.")
    assert controls(page) == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_takes_fit_a_phone_and_a_thumb(visit, scheme: str) -> None:
    page = visit(width=390, height=844, color_scheme=scheme, has_touch=True)
    for seed in (7, 8):
        quick(page, seed=seed)
        generate(page)
        finished(page, seed)
    take(page, 0).locator("[data-side=A]").click()
    take(page, 1).locator("[data-side=B]").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = page.evaluate(
        """[...document.querySelectorAll('.takes button, .canvas .take > *')].filter((each) => each.offsetParent)
            .filter((each) => { const box = each.getBoundingClientRect(); return box.height < 36 || box.width < 36; })
            .map((each) => each.outerHTML)"""
    )
    assert small == []

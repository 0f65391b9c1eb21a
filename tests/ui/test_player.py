"""The player heard sample by sample: its graph is rendered by the browser's own audio engine."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soundfile

from diffusion.engine import Clip
from diffusion.studio import Studio

RATE_HZ = 32_000
# Plays a script of [time in s, what to do, ...] and returns the sound and what the player says of itself after each.
RENDER = """async ({ sounds, script, seconds, rate, latency }) => {
    const { Player } = await import('/page/shared/player.js');
    const context = new OfflineAudioContext(1, Math.round(seconds * rate), rate);
    if (latency) Object.defineProperty(context, 'outputLatency', { value: latency });
    const player = new Player(context);
    const buffers = {};
    for (const [name, base64] of Object.entries(sounds)) {
        const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer;
        if (new TextDecoder().decode(bytes.slice(0, 4)) === 'RIFF') buffers[name] = await player.decode(bytes);
        else {
            buffers[name] = context.createBuffer(1, bytes.byteLength / 4, rate);
            buffers[name].copyToChannel(new Float32Array(bytes), 0);
        }
    }
    const said = [];
    for (const time of new Set(script.map(([time]) => time))) {
        context.suspend(time).then(() => {
            for (const [, verb, value, options] of script.filter(([each]) => each === time)) {
                if (verb === 'show') player.show(buffers[value], options);
                else if (verb === 'loop') player.loop = value;
                else if (verb) player[verb](value);
                said.push({ position: player.position, playing: player.playing });
            }
            context.resume();
        });
    }
    const samples = (await context.startRendering()).getChannelData(0);
    let text = '';
    const bytes = new Uint8Array(samples.buffer);
    for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    return { samples: btoa(text), said };
}"""
LEAD = 0.03 * RATE_HZ  # samples from a command to its effect
START = 0.005 * RATE_HZ
SWITCH = 0.04 * RATE_HZ
BLOCK = 128  # an offline context stops at whole blocks
Render = Callable[..., tuple[np.ndarray, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def render(browser, server: str) -> Render:
    page = browser.new_page()
    page.goto(f"{server}/page/compose/canvas.html")

    def play(
        sounds: dict[str, np.ndarray | bytes], script: list[list[Any]], seconds: float, latency: float = 0
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        data = {
            name: base64.b64encode(sound if isinstance(sound, bytes) else sound.astype("<f4").tobytes()).decode()
            for name, sound in sounds.items()
        }
        arguments = {"sounds": data, "script": script, "seconds": seconds, "rate": RATE_HZ, "latency": latency}
        heard = page.evaluate(RENDER, arguments)
        return np.frombuffer(base64.b64decode(heard["samples"]), "<f4"), heard["said"]

    yield play
    page.close()


def tone(periods: int, samples: int, amplitude: float = 0.5, phase: float = 0.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * periods * np.arange(samples) / samples + phase)


def slope(periods: int, samples: int, amplitude: float = 0.5) -> float:
    """The largest step from one sample of a tone to the next."""
    return amplitude * 2 * np.sin(np.pi * periods / samples)


def largest_step(sound: np.ndarray) -> float:
    return float(np.abs(np.diff(sound, prepend=0.0)).max())


def began(sound: np.ndarray) -> int:
    return int(np.flatnonzero(sound)[0])


def test_a_tone_goes_round_as_if_it_had_no_seam(render: Render) -> None:
    length = 8000
    wave = tone(110, length)
    sound, _ = render({"a": wave}, [[0, "show", "a"], [0, "play"]], 1)
    steady = np.arange(int(LEAD + START), len(sound))
    np.testing.assert_allclose(sound[steady], np.resize(wave, steady[-1] + 1)[steady - int(LEAD)], atol=1e-6)
    assert largest_step(sound) <= slope(110, length) + 1 / START


def test_every_round_of_a_clip_is_the_first_sample_by_sample(render: Render, studio: Studio) -> None:
    *_, clip = studio.generate(studio.request(seed=1, steps=2, duration_s=2.56))
    assert isinstance(clip, Clip)
    assert clip.sample_rate_hz == RATE_HZ
    length = len(clip.wave)
    sound, _ = render({"clip": clip.to_wav()}, [[0, "show", "clip"], [0, "play"]], 3.3 * length / RATE_HZ)
    first = sound[int(LEAD) : int(LEAD) + length]
    for times in (1, 2):
        again = sound[int(LEAD) + times * length :][:length]
        np.testing.assert_array_equal(again[int(START) :], first[int(START) :])
    assert np.abs(first).max() > 0.01
    wave, _ = soundfile.read(io.BytesIO(clip.to_wav()), dtype="float32")
    np.testing.assert_allclose(sound[int(LEAD) + length :][:length], wave, rtol=0, atol=1 / 2**15)  # seam to seam


def test_an_exchange_keeps_the_position_and_does_not_click(render: Render) -> None:
    length = 16_000
    old, new = tone(100, length), tone(150, length, 0.4, 1.0)
    script = [[0, "show", "old"], [0, "play"], [0.8, "show", "new"], [1.0, None]]
    sound, said = render({"old": old, "new": new}, script, 1.5)
    after = np.arange(int(0.8 * RATE_HZ + LEAD + SWITCH + BLOCK), len(sound))
    np.testing.assert_allclose(sound[after], np.resize(new, len(sound))[after - int(LEAD)], atol=1e-6)
    assert largest_step(sound) <= slope(100, length) + slope(150, length, 0.4) + 1 / START
    assert said[-1]["position"] == pytest.approx(1.0 - LEAD / RATE_HZ - 0.5, abs=BLOCK / RATE_HZ)
    crossing = sound[int(0.8 * RATE_HZ) : int(0.8 * RATE_HZ + LEAD + SWITCH + BLOCK)]
    assert largest_step(crossing[1:] - crossing[:-1]) < 0.1


@pytest.mark.parametrize("position", [0.0, 0.2])
def test_an_exchange_can_begin_elsewhere(render: Render, position: float) -> None:
    length = 16_000
    sounds = {"old": tone(100, length), "new": np.random.default_rng(0).uniform(-0.5, 0.5, length)}
    script = [[0, "show", "old"], [0, "play"], [0.64, "show", "new", {"position": position, "fade": 0.1}]]
    sound, said = render(sounds, script, 1.5)
    assert said[-1]["position"] == pytest.approx(position)
    start = int(0.64 * RATE_HZ + LEAD)
    after = np.arange(start + int(0.1 * RATE_HZ) + BLOCK, len(sound))
    expected = np.resize(np.roll(sounds["new"], -int(position * RATE_HZ)), len(sound))
    np.testing.assert_allclose(sound[after], expected[after - start], atol=1e-6)


def test_nothing_that_a_visitor_does_clicks(render: Render) -> None:
    """Seeks faster than their fades, as when dragging; pauses; another sound in the middle of a fade."""
    length = 16_000
    sounds = {"a": tone(50, length), "b": tone(60, length, 0.5, 2.0)}
    script: list[list[Any]] = [[0, "show", "a"], [0, "play"]]
    script += [[0.2 + 0.008 * k, "seek", 0.03 * k + 0.0017] for k in range(12)]
    script += [[0.5, "pause"], [0.512, "play"], [0.52, "show", "b"], [0.532, "loop", False], [0.54, "seek", 0.1]]
    script += [[0.6, "show", "a", {"gain": 0.5, "fade": 0.2}], [0.65, "loop", True], [0.7, "pause"]]
    sound, said = render(sounds, script, 1)
    assert not said[-1]["playing"]
    assert not sound[int(0.8 * RATE_HZ) :].any()
    assert np.abs(sound[: int(0.7 * RATE_HZ)]).max() > 0.4
    # each of two voices may fade and sound at once, and none ever begins or ends otherwise than from or to silence
    assert largest_step(sound) <= 2 * (slope(60, length) + 0.5 / START)
    assert largest_step(sound[int(0.15 * RATE_HZ) : int(0.5 * RATE_HZ)]) <= 4 * (slope(60, length) + 0.5 / SWITCH)


@pytest.mark.parametrize(("correlation", "dip_db"), [(0, 0.0), (1, -3.0)])
def test_a_crossfade_keeps_the_power_of_sounds_as_alike_as_it_is_told(
    render: Render, correlation: float, dip_db: float
) -> None:
    old, new = np.random.default_rng(0).normal(0, 0.1, (2, RATE_HZ))
    script = [[0, "show", "old"], [0, "play"], [0.2, "show", "new", {"fade": 0.6, "correlation": correlation}]]
    sound, _ = render({"old": old, "new": new}, script, 1)
    middle = sound[int(0.46 * RATE_HZ) : int(0.56 * RATE_HZ)]
    assert 20 * np.log10(middle.std() / 0.1) == pytest.approx(dip_db, abs=0.3)


def test_a_sound_fades_into_itself_unheard(render: Render) -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, RATE_HZ)
    script = [[0, "show", "a"], [0, "play"], [0.2, "show", "b", {"fade": 0.6}]]
    sound, _ = render({"a": wave, "b": wave}, script, 1)
    steady = np.arange(int(LEAD + START), len(sound))
    np.testing.assert_allclose(sound[steady], wave[steady - int(LEAD)], atol=1e-6)


def test_without_its_loop_a_sound_ends_once(render: Render) -> None:
    wave = tone(110, 8000)
    script = [[0, "show", "a"], [0, "play"], [0.3, "loop", False], [0.4, None], [0.9, None]]
    sound, said = render({"a": wave}, script, 1)
    assert said[-2]["position"] == pytest.approx(0.4 - LEAD / RATE_HZ - 0.25, abs=BLOCK / RATE_HZ)
    assert said[-2]["playing"]
    assert (said[-1]["playing"], said[-1]["position"]) == (False, 0)
    end = int(LEAD) + 2 * 8000  # the round that was under way is heard to its end
    np.testing.assert_allclose(sound[end - 4000 : end], wave[4000:], atol=1e-6)
    assert not sound[end:].any()


def test_the_playhead_is_where_the_ear_is(render: Render) -> None:
    """Sound leaves the loudspeaker `outputLatency` later than the context's clock says."""
    script = [
        [0, "show", "a"],
        [0, "play"],
        [0.5, None],
        [0.6, "seek", 0.5],
        [0.64, None],
        [0.9, None],
        [0.96, "pause"],
    ]
    _, said = render({"a": tone(110, 32_000)}, script, 1, latency=0.1)
    early, late = said[2]["position"], [each["position"] for each in said[3:]]
    assert early == pytest.approx(0.5 - LEAD / RATE_HZ - 0.1, abs=BLOCK / RATE_HZ)
    assert late[:2] == pytest.approx([0.5, 0.5])  # a visitor sees at once where the next sound will be
    assert late[2] == pytest.approx(0.5 + 0.3 - LEAD / RATE_HZ - 0.1, abs=BLOCK / RATE_HZ)
    assert late[3] == pytest.approx(0.5 + 0.36 - LEAD / RATE_HZ - 0.1, abs=BLOCK / RATE_HZ)


def test_an_exchange_moves_the_playhead_no_further_than_time_does(render: Render) -> None:
    script = [[0, "show", "a"], [0, "play"], [0.5, None], [0.504, "show", "b"], [0.52, None], [0.7, None]]
    _, said = render({"a": tone(110, 32_000), "b": tone(90, 32_000)}, script, 1, latency=0.1)
    positions = [each["position"] for each in said[2:]]
    expected = [time - LEAD / RATE_HZ - 0.1 for time in (0.5, 0.504, 0.52, 0.7)]
    assert positions == pytest.approx(expected, abs=BLOCK / RATE_HZ)


def test_the_context_runs_at_the_rate_of_the_clips(visit, studio: Studio) -> None:
    """So the browser resamples nothing before the loop, whose seam would else be filtered as if silence lay beyond."""
    page = visit()
    rate = page.evaluate("async () => (await import('/page/shared/player.js')).player.context.sampleRate")
    assert rate == studio.mel.sample_rate_hz

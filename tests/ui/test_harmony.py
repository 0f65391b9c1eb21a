"""The slow reveal of the shipped model, as it comes out of the loudspeaker: noise at first, music at last."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from serving import free_port, serving
from visitor import both_widths, finished, generate, player, quick, wav

from diffusion.checkpoint import find_checkpoint


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(find_checkpoint(), tmp_path_factory.mktemp("shipped") / "log.txt", free_port()) as address:
        yield address


LISTEN = """async () => {
    const { player } = await import('/page/shared/player.js');
    const source = `registerProcessor('ear', class extends AudioWorkletProcessor {
        process([input]) {
            this.port.postMessage([currentFrame, input.length ? input[0].slice() : new Float32Array(128)]);
            return true;
        }
    });`;
    await player.context.audioWorklet.addModule(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
    const ear = new AudioWorkletNode(player.context, 'ear', { numberOfOutputs: 0 });
    window.blocks = [];
    ear.port.onmessage = ({ data }) => window.blocks.push(data);
    const { connect } = AudioNode.prototype;
    AudioNode.prototype.connect = function (target, ...rest) {
        if (target === player.context.destination) connect.call(this, ear);
        return connect.call(this, target, ...rest);
    };
    window.step = 0;
    const { show } = player;
    player.show = (buffer, options) => {
        const wave = buffer.getChannelData(0);
        for (let i = 1; i < wave.length; i += 1) window.step = Math.max(window.step, Math.abs(wave[i] - wave[i - 1]));
        show.call(player, buffer, options);
    };
}"""
HEARD = """() => {
    const blocks = window.blocks, samples = new Float32Array(128 * blocks.length);
    blocks.forEach(([, block], i) => samples.set(block, 128 * i));
    const bytes = new Uint8Array(samples.buffer);
    let text = '';
    for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    // No block is missing: frames and blocks run on together. The browser sometimes reads its clock late, never early.
    const leads = blocks.map(([frame], i) => frame - 128 * i), half = leads.length >> 1;
    const whole = Math.max(...leads.slice(0, half)) === Math.max(...leads.slice(half));
    return { samples: btoa(text), whole, step: window.step };
}"""


def flatness(sound: np.ndarray) -> float:
    """Of the power spectrum over the whole of a sound: 1 for white noise, 0 for tones."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, 1024)[::256] * np.hanning(1024)
    power = (np.abs(np.fft.rfft(frames)) ** 2).mean(0)[2:] + 1e-12
    return float(np.exp(np.log(power).mean()) / power.mean())


@both_widths
def test_hiss_turns_into_harmony_at_one_playhead(visit) -> None:
    page = visit()
    quick(page, 5, 5)
    generate(page)
    finished(page)
    page.click(".play")
    page.wait_for_selector(".play[aria-label=Play]")
    page.evaluate(LISTEN)
    page.click(".reveal")
    page.wait_for_selector(".reveal[aria-pressed=true]")
    page.wait_for_selector(".film-step:not([hidden])")
    page.wait_for_selector(".reveal[aria-pressed=false]")
    assert player(page, "playing")  # the clip goes on
    assert page.locator(".film input").evaluate("film => film.value === film.max")
    revealed = page.evaluate("window.blocks.length")
    page.wait_for_function("before => window.blocks.length > before + 100", arg=revealed)
    heard = page.evaluate(HEARD)
    assert heard["whole"]
    sound = np.frombuffer(base64.b64decode(heard["samples"]), "<f4").astype(float)
    start = int(np.flatnonzero(sound)[0])
    clip, rate_hz = soundfile.read(io.BytesIO(wav(page)))

    end = 128 * revealed
    assert (end - start) / rate_hz > 4
    hiss, harmony = sound[start + rate_hz // 4 : start + 3 * rate_hz // 4], sound[end - rate_hz : end]
    assert flatness(hiss) > 0.1
    assert flatness(harmony) < flatness(hiss) / 20

    # Two sounds whose power is kept together are each as steep as before at most, so their sum is by less than a half.
    assert np.abs(np.diff(sound)).max() <= np.sqrt(2) * heard["step"]

    # What is heard at the end is the clip, at the place where the playhead has come to since it began with the noise,
    # whose first samples are too quiet for 16 bits. A browser that gets no time begins a sound later than was booked.
    tail = np.arange(end + rate_hz // 10, len(sound))
    places = range(-rate_hz // 10, 400)
    assert min(np.abs(sound[tail] - clip[(tail - start + place) % len(clip)]).max() for place in places) < 2e-3

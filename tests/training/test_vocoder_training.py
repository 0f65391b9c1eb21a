"""A vocoder trains on a folder of audio files, resumes bit for bit, and says what is wrong."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from diffusion import checkpoint
from diffusion.audio.codec import LogMelCodec
from diffusion.training.vocoder import AudioFolder, errors, phase_derivatives, train_vocoder
from diffusion.training.vocoder_config import VocoderTraining

TINY = {"batch": 2, "frames": 8, "width": 16, "depth": 1, "hidden": 32, "refinements": 1, "warmup_steps": 2,
        "log_steps": 2, "save_minutes": 1e9}  # fmt: skip
RATE = 32_000


@pytest.fixture(scope="module")
def audio(tmp_path_factory) -> Path:
    """Two notes, in stereo and mono, two formats and two depths of folders."""
    folder = tmp_path_factory.mktemp("audio")
    (folder / "deeper").mkdir()
    t = np.arange(RATE) / RATE
    for name, pitch_hz in (("low.wav", 220.0), ("deeper/high.flac", 660.0)):
        wave = sum(0.2 / k * np.sin(2 * math.pi * pitch_hz * k * t) for k in range(1, 8)) * np.exp(-3 * t)
        stereo = np.stack([wave, wave], 1) if name.endswith("wav") else wave
        soundfile.write(folder / name, stereo, RATE)
    return folder


def test_it_learns(audio, tmp_path):
    train_vocoder(VocoderTraining(steps=40, lr=5e-3, **TINY), audio, tmp_path, held_out=audio)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    logged = [each for each in records if "amplitude" in each]
    assert [each["step"] for each in logged] == list(range(2, 41, 2))
    for part in ("amplitude", "phase", "mel"):
        early, late = (np.mean([each[part] for each in some]) for some in (logged[:4], logged[-4:]))
        assert late < early, part
    assert set(records[-1]["held_out_distance"]) == {"vocoder", "griffin_lim"}
    vocoder = checkpoint.load_vocoder(tmp_path)
    assert vocoder(torch.rand(1, 128, 4)).shape == (1, 2048)
    assert all(tensor.dtype == torch.bfloat16 for tensor in load_file(tmp_path / checkpoint.WEIGHTS).values())


def test_a_run_in_two_halves_is_the_run_in_one(audio, tmp_path):
    settings = {**TINY, "warmup_steps": 0, "decay_fraction": 0.0}
    train_vocoder(VocoderTraining(steps=6, **settings), audio, tmp_path / "whole")
    train_vocoder(VocoderTraining(steps=4, **settings), audio, tmp_path / "halves")
    train_vocoder(VocoderTraining(steps=6, **settings), audio, tmp_path / "halves")
    whole, halves = (load_file(tmp_path / name / checkpoint.WEIGHTS) for name in ("whole", "halves"))
    assert all(torch.equal(whole[name], halves[name]) for name in whole)


def test_another_configuration_is_refused(audio, tmp_path):
    train_vocoder(VocoderTraining(steps=1, **TINY), audio, tmp_path)
    with pytest.raises(ValueError, match=r"another configuration: lr: saved 0\.002, now 0\.0001"):
        train_vocoder(VocoderTraining(steps=2, lr=1e-4, **TINY), audio, tmp_path)


def test_files_are_read_as_mono_and_every_crop_has_its_length(audio, tmp_path):
    folder = AudioFolder(audio, RATE)
    assert len(folder.files) == 2
    assert folder.crops(np.random.default_rng(0), 5, 4096).shape == (5, 4096)
    assert folder.openings(2 * RATE, 0.5, RATE).shape == (2, 2 * RATE)  # longer than the files
    with pytest.raises(ValueError, match=r"audio: got .*, need a folder with WAV or FLAC files"):
        AudioFolder(tmp_path, RATE)
    with pytest.raises(ValueError, match=r"audio: got .* at 32000 Hz, need 16000 Hz"):
        AudioFolder(audio, 16_000)


def test_the_truth_has_no_error_of_phase_and_amplitude(audio):
    """A vocoder that says what is there is not punished, one that says anything else is."""
    wave = AudioFolder(audio, RATE).crops(np.random.default_rng(1), 2, 8 * 512)
    codec = LogMelCodec()
    torch.manual_seed(0)
    vocoder = checkpoint.VocoderConfiguration({"width": 16, "depth": 1, "hidden": 32}, {}).build()
    truth = vocoder.stft(wave)
    turn, lean = phase_derivatives(truth, codec.mel)

    class Knowing(type(vocoder)):
        def estimate(self, mel_magnitude):
            return type(vocoder.estimate(mel_magnitude))(truth.abs().clamp(min=1e-4).log(), turn, lean)

    knowing = Knowing(codec.mel, width=16, depth=1, hidden=32)
    turns = torch.rand(2, 8, vocoder.bins)
    right, wrong = errors(knowing, codec, wave, turns), errors(vocoder, codec, wave, turns)
    assert right["phase"] < 1e-6
    assert right["amplitude"] < 0.01
    assert all(right[name] < wrong[name] for name in right)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({}, "need one of them positive"), ({"steps": 1, "frames": 2}, "frames: got 2"), ({"steps": 1, "lr": 0}, "lr")],
)
def test_a_wrong_setting_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        VocoderTraining(**wrong)


def test_the_command_trains(audio, tmp_path):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]
    command = [sys.executable, "-m", "diffusion", "train-vocoder", "--audio", audio, "--out", tmp_path, "--steps=2"]
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run([*command, *flags], cwd=root, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "step 2" in result.stdout
    assert (tmp_path / checkpoint.WEIGHTS).is_file()

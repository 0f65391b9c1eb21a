import argparse
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from diffusion.audio.codec import LogMelCodec
from diffusion.data import command, features
from diffusion.data.dataset import VERSION, Features
from diffusion.data.families import SPLITS, find_families, split_families
from diffusion.data.fonts import DEFAULT_EAR_FONTS, DEFAULT_FONT, playing
from diffusion.data.key import key
from diffusion.data.labels import ENSEMBLES, LABELS, STYLES
from diffusion.data.performance import HOP, MIN_S, SAMPLE_RATE_HZ, beat, tempo
from diffusion.data.render import render_performance
from diffusion.data.scores import save_pieces
from diffusion.data.synthesiser import Synthesiser

HOURS = 0.15
FEW = ("piano", "strings", "brass")  # what is rendered here, lest it take long


def write(job: features.Job, families: list[int], split_of: list[str], workers: int) -> int:
    """A split of FEW ensembles in two shards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "ENSEMBLES", FEW)
        patch.setattr(features, "SHARD_S", HOURS * 3600 / 2)
        return features.write_splits([job], families, split_of, workers)


@pytest.fixture(scope="module")
def made(tmp_path_factory, pieces):
    """A small training split of two shards: (job, families, split_of)."""
    out = tmp_path_factory.mktemp("features")
    save_pieces(out / "scores.npz", pieces)
    families = find_families(pieces)
    split_of = split_families(pieces, families, 0)
    job = features.Job(out, out / "scores.npz", "train", HOURS, 0, (DEFAULT_FONT,))
    assert write(job, families, split_of, workers=1) == 2
    return job, families, split_of


def test_every_style_is_rendered_on_every_ensemble_for_the_same_time(pieces):
    members = list(range(len(pieces)))
    plan = features.plan_split(pieces, members, "train", 8.0, seed=3)
    seconds = np.zeros((len(STYLES), len(ENSEMBLES)))
    for shard in plan:
        cells = {(pieces[p.piece].style, p.ensemble) for p in shard}
        assert len(cells) >= 0.9 * seconds.size, "a shard alone is nearly balanced"
        for p in shard:
            cell = STYLES.index(pieces[p.piece].style), ENSEMBLES.index(p.ensemble)
            seconds[cell] += p.frames * HOP / SAMPLE_RATE_HZ
    shares = np.array([features.SHARES.get(style, 1.0) for style in STYLES])
    wanted = 8 * 3600 * shares[:, None] / shares.sum() / len(ENSEMBLES)
    np.testing.assert_allclose(seconds, np.broadcast_to(wanted, seconds.shape), atol=MIN_S)
    used = [p.piece for shard in plan for p in shard]
    counts = np.bincount(used, minlength=len(pieces))
    for style in STYLES:
        mine = counts[[p.style == style for p in pieces]]
        assert mine.max() - mine.min() <= 1, "every piece of a style is played equally often"
    assert features.plan_split(pieces, members, "train", 8.0, seed=3) == plan
    assert features.plan_split(pieces, members, "train", 8.0, seed=4) != plan


def test_a_plan_needs_pieces_of_every_style(pieces):
    members = [i for i, p in enumerate(pieces) if p.style != "jig"]
    with pytest.raises(ValueError, match="no piece of the styles \\['jig'\\]"):
        features.plan_split(pieces, members, "test", 1.0, seed=0)
    with pytest.raises(ValueError, match=r"hours: got 0\.3, need 0\.35 or more"):
        features.plan_split(pieces, members, "test", 0.3, seed=0)


def test_a_shard_holds_what_its_labels_say(made, pieces, monkeypatch):
    job, families, split_of = made
    members = [i for i, split in enumerate(split_of) if split == "train"]
    monkeypatch.setattr(features, "ENSEMBLES", FEW)
    monkeypatch.setattr(features, "SHARD_S", HOURS * 3600 / 2)
    plan = features.plan_split(pieces, members, "train", HOURS, 0)
    path = features.shard_path(job.out, "train", 1)
    shard = load_file(path)
    assert shard["mel"].dtype == torch.float16
    assert shard["mel"].shape == (int(shard["frames"].sum()), 128)
    index = len(plan[1]) - 1
    p = plan[1][index]
    piece = pieces[p.piece]
    assert members.count(p.piece) == 1
    tonic, mode = key(piece, p)
    wanted = {"style": piece.style, "ensemble": p.ensemble, "mode": mode, "tempo": tempo(piece, p), "key": tonic}
    wanted["beat"] = beat(piece, p)
    assert {name: LABELS[name][int(shard[name][index]) - 1] for name in LABELS} == wanted
    assert int(shard["transpose"][index]) == p.transpose
    assert int(shard["family"][index]) == families[p.piece]
    wave = render_performance(piece, p, Synthesiser(DEFAULT_FONT))
    expected = LogMelCodec().encode(torch.from_numpy(wave)[None])[0, 0].T.half()
    start, frames = int(shard["start"][index]), int(shard["frames"][index])
    torch.testing.assert_close(shard["mel"][start : start + frames], expected)
    with safe_open(path, "pt") as opened:
        settings = json.loads(opened.metadata()["settings"])
    assert settings["version"] == VERSION
    assert list(settings["fonts"]) == ["FluidR3Mono_GM.sf3"]
    assert settings["codec"]["hop_size"] == HOP
    assert settings["labels"] == {name: list(values) for name, values in LABELS.items()}
    assert all(source["licence"] for source in settings["sources"])


def test_the_same_seed_gives_the_same_bytes_over_several_processes(made, tmp_path: Path):
    job, families, split_of = made
    again = dataclasses.replace(job, out=tmp_path)
    write(again, families, split_of, workers=2)
    for index in range(2):
        first, second = (features.shard_path(out, "train", index).read_bytes() for out in (job.out, tmp_path))
        assert first == second


def test_an_interrupted_run_goes_on(made):
    job, families, split_of = made
    kept, lost = (features.shard_path(job.out, "train", index) for index in range(2))
    before, written = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    lost.with_name(f".{lost.name}.part").write_bytes(before[: len(before) // 2])
    assert write(job, families, split_of, workers=1) == 1
    assert lost.read_bytes() == before
    assert kept.stat().st_mtime_ns == written
    assert sorted(p.name for p in lost.parent.iterdir()) == [kept.name, lost.name]
    assert write(job, families, split_of, workers=1) == 0


@pytest.mark.parametrize(("change", "named"), [({"seed": 1}, "seed: 0 there, 1 wanted"), ({"hours": 0.151}, "hours")])
def test_other_settings_are_refused(made, change, named):
    job, families, split_of = made
    with pytest.raises(ValueError, match=f"other settings .*{named}"):
        write(dataclasses.replace(job, **change), families, split_of, workers=1)


def test_the_command_from_cached_scores_to_features(tmp_path: Path, pieces, capsys, monkeypatch):
    monkeypatch.setattr(features, "ENSEMBLES", FEW)
    monkeypatch.setitem(sys.modules, "music21", None)  # scores that are read need it no more
    save_pieces(tmp_path / "scores.npz", pieces)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    hours = ["--hours", "0.1", "--ear-hours", "0.1", "--test-hours", "0.1"]
    args = parser.parse_args(["--out", str(tmp_path), *hours, "--workers", "1", "--splits", "ear", "test"])
    command.run(args)
    assert "chorale: 10 pieces in 10 families (train 7, ear 2, test 1)" in capsys.readouterr().out
    table = json.loads((tmp_path / "pieces.json").read_text(encoding="utf-8"))
    assert all(entry["licence"] and entry["source"] for entry in table.values())
    seen = {}
    for split in ("ear", "test"):
        read = Features(tmp_path, split)
        assert {table[str(i)]["split"] for i in read.columns["piece"]} == {split}
        seen[split] = set(read.columns["family"].tolist())
        fonts = DEFAULT_EAR_FONTS if split == "ear" else (DEFAULT_FONT,)
        assert set(read.settings["fonts"]) == {font.name for font in fonts}
    assert not seen["ear"] & seen["test"]
    assert not (tmp_path / "train").exists()
    assert set(SPLITS) == {entry["split"] for entry in table.values()}
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    read = Features(tmp_path, "test")
    seconds = read.columns["frames"] * HOP / SAMPLE_RATE_HZ
    reels = seconds[read.columns["style"] == 1 + STYLES.index("reel")].sum() / 3600
    hours_of_test = card.split("## Hours of test")[1].split("\n##")[0]
    assert [row for row in hours_of_test.splitlines() if row.startswith("| reel") and row.endswith(f"{reels:.2f} |")]
    assert all(
        word in card
        for word in (*STYLES, *FEW, *(each for name in ("mode", "tempo", "key", "beat") for each in LABELS[name]))
    )
    assert all(entry["licence"] in card and entry["source"] in card for entry in table.values())
    assert "seed 0" in card
    assert "## Hours of train" not in card


def test_a_font_that_cannot_play_an_ensemble_is_passed_over():
    assert playing(DEFAULT_EAR_FONTS, "organ") == list(DEFAULT_EAR_FONTS)
    assert [font.name for font in playing(DEFAULT_EAR_FONTS, "piano")] == ["TimGM6mb.sf2", "sf_GMbank.sf2"]
    with pytest.raises(ValueError, match="none of which can play the piano"):
        playing(DEFAULT_EAR_FONTS[:1], "piano")


def test_every_font_plays_its_part(pieces):
    plan = features.plan_split(pieces, list(range(len(pieces))), "ear", 1.0, seed=0)
    played = [(features.font_for(p, DEFAULT_EAR_FONTS).name, p.ensemble) for shard in plan for p in shard]
    for ensemble in ENSEMBLES:
        fonts = {font for font, e in played if e == ensemble}
        assert fonts == {font.name for font in playing(DEFAULT_EAR_FONTS, ensemble)}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--hours=0", "hours must be positive, got 0"),
        ("--workers=0", "workers must be"),
        ("--seed=-1", "seed must not"),
    ],
)
def test_the_command_refuses_nonsense(tmp_path: Path, option, message):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with pytest.raises(ValueError, match=message):
        command.run(parser.parse_args(["--out", str(tmp_path), option]))


def test_the_command_finds_a_missing_font_before_it_starts(tmp_path: Path):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with pytest.raises(FileNotFoundError, match=r"sound font /nowhere/x\.sf2 is missing"):
        command.run(parser.parse_args(["--out", str(tmp_path / "new"), "--font", "/nowhere/x.sf2"]))
    assert not (tmp_path / "new").exists()

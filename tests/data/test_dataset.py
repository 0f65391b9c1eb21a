import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from diffusion.data.dataset import VERSION, Features

LENGTHS = (40, 50, 30, 60, 45, 35, 70, 20)


def write(
    folder: Path,
    index: int = 0,
    bands: int = 128,
    settings: dict | None = None,
    columns: dict[str, list[int]] | None = None,
) -> Path:
    """A shard whose features tell where they come from: the frame number in band 0, the performance in band 1."""
    frames = torch.tensor(LENGTHS)
    mel = torch.zeros(int(frames.sum()), bands)
    mel[:, 0] = torch.cat([torch.arange(n) for n in LENGTHS]).float()
    mel[:, 1] = torch.repeat_interleave(torch.arange(len(LENGTHS)), frames).float() + 100 * index
    table = {
        "style": torch.tensor([1, 1, 1, 1, 2, 2, 2, 2]),
        "ensemble": torch.tensor([1, 1, 2, 2, 1, 1, 2, 2]),
        "mode": torch.tensor([1, 2, 1, 2, 1, 2, 1, 2]),
        "tempo": torch.tensor([1, 2, 3, 1, 2, 3, 1, 2]),
        "key": torch.tensor([1, 2, 3, 4, 5, 6, 7, 8]),
        "beat": torch.tensor([8, 7, 6, 5, 4, 3, 2, 1]),
        "frames": frames,
        "start": frames.cumsum(0) - frames,
    }
    table |= {name: torch.arange(len(LENGTHS)) for name in ("piece", "family", "transpose")}
    table |= {name: torch.tensor(values) for name, values in (columns or {}).items()}
    path = folder / "train" / f"{index:05d}.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file(
        table | {"mel": mel.half()},
        path,
        metadata={"settings": json.dumps({"version": VERSION, "seed": 0, **(settings or {})})},
    )
    return path


@pytest.fixture
def features(tmp_path: Path) -> Features:
    write(tmp_path, 0)
    write(tmp_path, 1)
    return Features(tmp_path, "train")


def test_crops_are_runs_of_one_performance_with_its_labels(features):
    crops, labels = features.crop(np.random.default_rng(0), 16, 200)
    assert crops.shape == (200, 1, 128, 16)
    assert crops.dtype == torch.float32
    pulse = labels.pop("pulse")
    torch.testing.assert_close(pulse, torch.zeros(200, 2), rtol=0, atol=0)  # these shards do not say
    assert list(labels) == ["style", "ensemble", "mode", "tempo", "key", "beat"]
    assert all((v.shape, v.dtype) == ((200,), torch.int64) for v in labels.values())
    frame, performance = crops[:, 0, 0], crops[:, 0, 1]
    torch.testing.assert_close(frame, frame[:, :1] + torch.arange(16.0))
    torch.testing.assert_close(performance, performance[:, :1].expand(-1, 16))
    index = performance[:, 0].long() % 100
    torch.testing.assert_close(labels["style"], 1 + index // 4)
    torch.testing.assert_close(labels["ensemble"], 1 + index // 2 % 2)
    torch.testing.assert_close(labels["mode"], 1 + index % 2)
    torch.testing.assert_close(labels["tempo"], 1 + index % 3)
    torch.testing.assert_close(labels["key"], 1 + index)
    torch.testing.assert_close(labels["beat"], 8 - index)


def test_crops_know_where_in_a_beat_they_begin(tmp_path: Path):
    beat_frames = [31.25, 40.0, 62.5, 0.0, 50.0, 0.0, 35.0, 60.0]
    beat_at = [6.25, 10.0, 3.5, 0.0, 50.0, 0.0, 100.0, 0.0]
    write(tmp_path, columns={"beat_frames": beat_frames, "beat_at": beat_at})
    crops, labels = Features(tmp_path, "train").crop(np.random.default_rng(0), 16, 200)
    index, begins = crops[:, 0, 1, 0].long(), crops[:, 0, 0, 0]
    frames, at = (torch.tensor(values)[index] for values in (beat_frames, beat_at))
    rate, phase = labels["pulse"].unbind(1)
    assert labels["pulse"].dtype == torch.float32
    assert len(index.unique()) == len(LENGTHS)
    torch.testing.assert_close(rate * frames, (frames > 0).float())
    assert ((phase >= 0) & (phase < 1)).all()
    turns = (begins - at) * rate - phase
    torch.testing.assert_close(turns, turns.round(), rtol=0, atol=1e-5)


def test_labels_are_drawn_uniformly_and_starts_over_all_that_fit(features):
    crops, labels = features.crop(np.random.default_rng(0), 16, 8000)
    cells = torch.bincount(2 * labels["style"] + labels["ensemble"] - 3)
    assert (cells - 2000).abs().max() < 200  # five standard deviations
    starts = crops[:, 0, 0, 0]
    performance = crops[:, 0, 1, 0]
    first = starts[performance == 0]
    assert set(first.tolist()) == set(range(LENGTHS[0] - 16 + 1))
    ratio = int((performance == 1).sum()) / len(first)
    assert ratio == pytest.approx((50 - 15) / (40 - 15), rel=0.25)


def test_a_crop_follows_from_its_generator_alone(features, tmp_path: Path):
    rng = np.random.default_rng(5)
    features.crop(rng, 16, 8)
    state = rng.bit_generator.state
    expected, expected_labels = features.crop(rng, 16, 8)
    resumed = np.random.default_rng()
    resumed.bit_generator.state = state
    crops, labels = Features(tmp_path, "train").crop(resumed, 16, 8)
    torch.testing.assert_close(crops, expected, rtol=0, atol=0)
    torch.testing.assert_close(labels, expected_labels)
    assert not torch.equal(features.crop(resumed, 16, 8)[0], expected)


def test_a_whole_performance(features):
    assert len(features) == 2 * len(LENGTHS)
    mel = features.performance(len(LENGTHS) + 2)
    assert mel.shape == (1, 128, LENGTHS[2])
    torch.testing.assert_close(mel[0, 0], torch.arange(30.0))
    assert mel[0, 1].unique().tolist() == [102]


def test_the_draws_of_a_run_that_is_under_way_stay_the_same(features):
    """Crops as (performance, frame), and labels, drawn by the first version of this format."""
    rng = np.random.default_rng(7)
    crops, labels = features.crop(rng, 16, 12)
    assert list(zip(crops[:, 0, 1, 0].tolist(), crops[:, 0, 0, 0].tolist(), strict=True)) == [
        (106, 15), (105, 9), (104, 27), (6, 27), (1, 11), (103, 29),
        (6, 0), (103, 23), (101, 10), (1, 31), (6, 36), (3, 18),
    ]  # fmt: skip
    assert labels["style"].tolist() == [2, 2, 2, 2, 1, 1, 2, 1, 1, 1, 2, 1]
    assert labels["ensemble"].tolist() == [2, 1, 1, 2, 1, 2, 2, 2, 1, 1, 2, 2]
    assert labels["tempo"].tolist() == [1, 3, 2, 1, 2, 1, 1, 1, 2, 2, 1, 1]
    crops, _ = features.crop(rng, 45, 6)
    assert crops[:, 0, 1, 0].tolist() == [4, 6, 103, 104, 104, 106]
    assert rng.integers(2**32) == 3007655863


def test_pairs_of_labels_need_not_be_complete_and_may_be_any(tmp_path: Path):
    write(tmp_path, columns={"style": [0, 0, 1, 1, 1, 2, 2, 2], "ensemble": [0, 0, 0, 1, 1, 1, 1, 1]})
    _, labels = Features(tmp_path, "train").crop(np.random.default_rng(0), 16, 4000)
    pairs, counts = torch.stack([labels["style"], labels["ensemble"]], 1).unique(dim=0, return_counts=True)
    assert pairs.tolist() == [[0, 0], [1, 0], [1, 1], [2, 1]]
    assert (counts - 1000).abs().max() < 140  # five standard deviations


def test_short_performances_are_passed_over_and_too_long_crops_refused(features):
    crops, _ = features.crop(np.random.default_rng(0), 45, 300)
    assert set((crops[:, 0, 1, 0].long() % 100).tolist()) == {1, 3, 4, 6}
    crops, labels = features.crop(np.random.default_rng(0), 65, 50)
    assert set((crops[:, 0, 1, 0].long() % 100).tolist()) == {6}
    assert labels["style"].unique().tolist() == labels["ensemble"].unique().tolist() == [2]
    with pytest.raises(ValueError, match="frames must be at most 70 in split 'train', got 71"):
        features.crop(np.random.default_rng(0), 71, 1)
    for frames, batch in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match=f"got frames={frames}, batch={batch}"):
            features.crop(np.random.default_rng(0), frames, batch)


def test_a_missing_or_empty_folder(tmp_path: Path):
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(FileNotFoundError, match=f"no features in {folder}/test: run python -m diffusion data"):
            Features(folder, "test")
        (tmp_path / "test").mkdir(exist_ok=True)


def test_a_truncated_shard_is_named(tmp_path: Path):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"00000\.safetensors is truncated"):
        Features(tmp_path, "train")


def test_other_bands_are_refused(tmp_path: Path):
    write(tmp_path, bands=80)
    with pytest.raises(ValueError, match=r"mel must have shape \(frames, 128\), got \(350, 80\)"):
        Features(tmp_path, "train")


def test_shards_of_different_runs_are_refused(tmp_path: Path):
    write(tmp_path, 0)
    write(tmp_path, 1, settings={"seed": 1})
    with pytest.raises(ValueError, match=r"00001\.safetensors was made with other settings than 00000"):
        Features(tmp_path, "train")


@pytest.mark.parametrize("version", [2, None])
def test_features_of_an_older_format_are_refused(tmp_path: Path, version):
    write(tmp_path, settings={"version": version})
    with pytest.raises(ValueError, match=rf"has format {version}, this version reads {VERSION}: make the data again"):
        Features(tmp_path, "train")


def test_reading_needs_none_of_the_tools_that_made_the_features():
    code = (
        "import sys, diffusion.data.dataset, diffusion.data.labels;"
        "print([m for m in ('librosa', 'music21', 'tinysoundfont', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"

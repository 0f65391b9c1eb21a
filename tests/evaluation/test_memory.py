import numpy as np
import pytest
import torch

from diffusion.audio.mel import MelParameters
from diffusion.data.dataset import Features
from diffusion.evaluation import memory
from diffusion.evaluation.augmentation import _transposition
from diffusion.evaluation.memory import FRAMES, Memory, describe

MEL = MelParameters()


def melody(seed, frames=160):
    """Features (1, 128, frames): notes of random pitch and length with overtones, where bands are close enough."""
    rng = np.random.default_rng(seed)
    floor = MEL.bounds[0]
    clip = torch.full((MEL.bands, frames), floor)
    bands = torch.arange(MEL.bands)[:, None]
    start = 0
    while start < frames:
        length = int(rng.integers(6, 24))
        pitch_hz = 523 * 2 ** (rng.integers(12) / 12)
        for overtone in (1, 2):
            band = float(np.interp(overtone * pitch_hz, MEL.frequencies_hz, np.arange(MEL.bands)))
            decay = torch.exp(-torch.arange(min(length, frames - start)) / 20)
            part = clip[:, start : start + length]
            part.copy_(torch.maximum(part, floor + 2.5 * torch.exp(-((bands - band) ** 2)) * decay))
        start += length
    return clip[None]


class Melodies(Features):
    """A split of melodies (seed: frames), without files."""

    def __init__(self, frames):
        self.frames = frames
        self.settings = {"codec": {}}

    def __len__(self):
        return len(self.frames)

    def performance(self, index):
        return melody(index, self.frames[index])


@pytest.fixture(scope="module")
def remembered():
    return Memory(Melodies([400, 250, 700, 320]))


def test_copies_are_found_wherever_they_begin_in_any_key_and_with_noise(remembered):
    clip = melody(2, 700)[..., 301:501]
    noise = torch.Generator().manual_seed(0)
    clips = [clip, clip + 0.1 * torch.randn(clip.shape, generator=noise)]
    clips += [_transposition(MEL, semitones) @ clip for semitones in (-4.0, 3.0, 7.0)]
    found = remembered.nearest(torch.stack(clips))
    assert found.dtype == torch.float32
    assert found[0] > 0.97
    assert found[1] > 0.9
    assert found[2:].min() > 0.85


def test_an_exact_copy_has_similarity_one(remembered):
    whole = torch.stack([melody(3, 320)])
    torch.testing.assert_close(remembered.nearest(whole), torch.ones(1), atol=1e-4, rtol=0)


def test_new_music_silence_and_held_sounds_are_not_found(remembered):
    new = remembered.nearest(torch.stack([melody(seed, 200) for seed in range(100, 108)]))
    assert new.max() < 0.75
    still = torch.full((1, 128, 200), MEL.bounds[0])
    held = still.clone()
    held[:, 40:60] = 1.0
    assert remembered.nearest(torch.stack([still, held])).abs().max() < 0.3


def test_the_search_equals_a_loop_over_all_places_and_keys(monkeypatch):
    monkeypatch.setattr(memory, "BLOCK", 64)  # several blocks
    lengths = [200, 120, 330]
    remembered = Memory(Melodies(lengths))
    clips = torch.stack([melody(seed, 120) for seed in (50, 51)] + [melody(2, 330)[..., 90:210]])
    expected = []
    for query in describe(clips, MEL):
        length = query.shape[1]
        query = query - query.mean(1, keepdim=True)
        best = 0.0
        for index, frames in enumerate(lengths):
            rows = describe(melody(index, frames)[None], MEL)[0]
            for place in range(rows.shape[1] - length + 1):
                stretch = rows[:, place : place + length]
                stretch = stretch - stretch.mean(1, keepdim=True)
                for key in range(12):
                    turned = torch.cat([query[:12].roll(key, 0), query[12:]])
                    best = max(best, float((turned * stretch).sum() / turned.norm() / stretch.norm()))
        expected.append(best)
    torch.testing.assert_close(remembered.nearest(clips), torch.tensor(expected), atol=1e-4, rtol=1e-4)
    together = remembered.nearest(clips)
    assert torch.equal(together, torch.cat([remembered.nearest(clip[None]) for clip in clips]))


def test_clips_of_other_lengths_and_impossible_ones(remembered):
    assert remembered.nearest(melody(1, 250)[None, ..., 40:120])[0] > 0.97
    assert remembered.nearest(melody(1, 250)[None, ..., 20:240])[0] > 0.97
    with pytest.raises(ValueError, match="heard: got 704 frames, allowed 8 to 700"):
        remembered.nearest(torch.zeros(1, 1, 128, 704))
    with pytest.raises(ValueError, match="heard: got 4 frames"):
        remembered.nearest(torch.zeros(1, 1, 128, FRAMES))


def test_a_split_is_read_from_disk(invented_data):
    features = Features(invented_data, "train")
    seen = []

    def progress(items):
        for item in items:
            seen.append(item)
            yield item

    remembered = Memory(features, progress=progress)
    assert seen == list(range(len(features)))
    own = torch.stack([features.performance(index)[..., 32:144] for index in (0, 5)])
    assert remembered.nearest(own).min() > 0.9

import pytest
import torch

from diffusion.evaluation.controls import CONTROLS, hold_chord, shuffle_frames
from diffusion.evaluation.distances import diversity, precision_recall


@pytest.mark.parametrize("block_frames", [1, 7])
def test_shuffling_keeps_every_frame_and_loses_their_order(block_frames):
    clip = torch.arange(3 * 50.0).reshape(1, 3, 50)
    shuffled = shuffle_frames(clip, torch.Generator().manual_seed(0), block_frames)
    assert shuffled.shape == clip.shape
    assert not torch.equal(shuffled, clip)
    order = shuffled[0, 0].argsort()
    torch.testing.assert_close(shuffled[..., order], clip)
    kept = (shuffled[0, 0].diff() == 1).sum()
    assert kept >= 50 - 1 - 2 * (50 // block_frames + 1) if block_frames > 1 else kept < 10


@pytest.mark.parametrize("chord_frames", [1, 2, 5])
def test_a_held_chord_is_a_few_successive_loud_frames(chord_frames):
    clip = torch.arange(40.0).expand(1, 2, 40).clone()  # ever louder
    held = hold_chord(clip, torch.Generator().manual_seed(0), chord_frames)
    assert held.shape == clip.shape
    frames = held[0, 0].unique()
    torch.testing.assert_close(frames, torch.arange(chord_frames) + frames[0])
    assert frames[0] >= (40 - chord_frames) // 2
    assert held[0, 0].diff().abs().max() <= 1


def test_controls_repeat_with_their_seed():
    clip = torch.randn(1, 4, 30)
    for make in (shuffle_frames, hold_chord):
        first, again, other = (make(clip, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        torch.testing.assert_close(first, again)
        assert not torch.equal(first, other)


def test_impossible_grains_are_refused():
    with pytest.raises(ValueError, match="block_frames: got 30"):
        shuffle_frames(torch.zeros(1, 4, 30), torch.Generator(), 30)
    with pytest.raises(ValueError, match="chord_frames: got 0"):
        hold_chord(torch.zeros(1, 4, 30), torch.Generator(), 0)


def test_controls_of_a_set_treat_each_clip_by_itself():
    clips = torch.arange(3 * 2 * 40.0).reshape(3, 1, 2, 40)
    for name, control in CONTROLS.items():
        made = control(clips, torch.Generator().manual_seed(0))
        assert made.shape == clips.shape
        torch.testing.assert_close(made, control(clips, torch.Generator().manual_seed(0)))
        if name != "one clip repeated":
            assert not torch.equal(made, clips)
            for clip, original in zip(made, clips, strict=True):
                assert set(clip.unique().tolist()) <= set(original.unique().tolist())
    order = CONTROLS["shuffled frames"](clips, torch.Generator().manual_seed(0))[:, 0, 0].argsort(1)
    assert not torch.equal(order[0], order[1])


def test_one_clip_repeated_fails_by_diversity_and_recall_where_precision_sees_nothing():
    embeddings = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    label = torch.arange(60) % 4
    real = torch.randn(60, 8, generator=torch.Generator().manual_seed(1))
    repeated = torch.empty_like(embeddings)
    for each in range(4):
        clips = embeddings[label == each][:, None, None]
        repeated[label == each] = CONTROLS["one clip repeated"](clips, torch.Generator())[:, 0, 0]
    assert repeated.unique(dim=0).shape == (4, 8)
    assert diversity(embeddings, label) > 3
    assert diversity(repeated, label) == 0
    assert precision_recall(real, embeddings)[1] > 0.6
    assert precision_recall(embeddings, repeated) == (1.0, 4 / 60)

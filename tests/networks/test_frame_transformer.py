"""The network: shapes, independence of clips, positions, labels and the filter that is written by hand."""

import pytest
import torch
from torch.nn import functional as F

from diffusion.denoisers import NetworkDenoiser
from diffusion.networks import FrameTransformer
from diffusion.networks.frame_transformer import beat_waves, depthwise, rotary, rotate
from diffusion.theory import Cosine


def network(**arguments: object) -> FrameTransformer:
    """A small one with every weight drawn, since a fresh one ends in zeros."""
    torch.manual_seed(0)
    settings = {"bands": 16, "width": 32, "depth": 2, "heads": 2, "hidden": 48, "labels": {"style": 3, "ensemble": 2}}
    net = FrameTransformer(**{**settings, **arguments})
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return net.double()


def inputs(batch: int, frames: int = 24) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, 1, 16, frames, generator=generator, dtype=torch.float64)
    cond = {"style": torch.arange(batch) % 4, "ensemble": torch.arange(batch) % 3}
    return x, torch.linspace(-5, 5, batch, dtype=torch.float64), cond


@pytest.mark.parametrize(("channels", "outputs", "frames"), [(1, 1, 4), (1, 2, 24), (2, 2, 40)])
def test_output_has_the_frames_of_the_input_at_any_length(channels: int, outputs: int, frames: int) -> None:
    x = torch.randn(2, channels, 16, frames, dtype=torch.float64)
    y = network(channels=channels, outputs=outputs)(x, torch.zeros(2, dtype=torch.float64), {})
    assert y.shape == (2, outputs * channels, 16, frames)


@pytest.mark.parametrize("refinement", [0, 4])
def test_a_fresh_network_believes_nothing(refinement: int) -> None:
    settings = {"bands": 16, "width": 32, "depth": 1, "heads": 2, "hidden": 32, "labels": {"style": 2}, "pulse": 2}
    net = FrameTransformer(**settings, outputs=2, coarse=1, refinement=refinement)
    assert torch.equal(net(torch.randn(1, 1, 16, 8), torch.zeros(1), {}), torch.zeros(1, 3, 16, 8))


def test_coarse_outputs_are_the_same_in_all_frames_of_a_token() -> None:
    x, log_snr, cond = inputs(2)
    net = network(outputs=2, coarse=1)
    fine, coarse = net(x, log_snr, cond).split([2, 1], dim=1)
    tokens = coarse.unflatten(-1, (-1, net.patch_frames))
    torch.testing.assert_close(tokens, tokens[..., :1].expand_as(tokens), rtol=0, atol=0)
    assert tokens[..., 0].std() > 0.1
    alone = network(outputs=2)
    alone.load_state_dict({name: value for name, value in net.state_dict().items() if "coarse" not in name})
    torch.testing.assert_close(fine, alone(x, log_snr, cond))


def test_refinement_sees_over_the_edges_of_tokens() -> None:
    """With tokens that see nothing, what changes one frame of x_t changes the answer three frames around it."""
    x, log_snr, cond = inputs(1)
    net = network(refinement=3)
    torch.nn.init.zeros_(net.embed.weight)
    other = x.clone()
    other[..., 11] += 1  # the last frame of a token
    changed = (net(other, log_snr, cond) - net(x, log_snr, cond)).abs().amax(dim=(0, 1, 2)) > 0
    assert changed.nonzero()[:, 0].tolist() == list(range(8, 15))
    assert not torch.equal(net(x, log_snr + 1, cond), net(x, log_snr, cond))


def test_each_clip_is_independent_of_its_batch() -> None:
    net, (x, log_snr, cond) = network(), inputs(4)
    whole = net(x, log_snr, cond)
    for i in range(4):
        one = net(x[i : i + 1], log_snr[i : i + 1], {name: label[i : i + 1] for name, label in cond.items()})
        torch.testing.assert_close(one[0], whole[i])


def test_every_input_matters() -> None:
    net, (x, log_snr, cond) = network(), inputs(3)
    y = net(x, log_snr, cond)
    for changed in (
        net(x.flip(-1), log_snr, cond).flip(-1),
        net(x, log_snr + 1, cond),
        net(x, log_snr, {**cond, "style": (cond["style"] + 1) % 4}),
        net(x, log_snr, {**cond, "ensemble": (cond["ensemble"] + 1) % 3}),
    ):
        assert (changed - y).abs().amax(dim=(1, 2, 3)).min() > 1e-3


def test_a_label_that_is_not_given_is_any() -> None:
    net, (x, log_snr, _) = network(), inputs(2)
    null = torch.zeros(2, dtype=torch.long)
    torch.testing.assert_close(net(x, log_snr, {}), net(x, log_snr, {"style": null, "ensemble": null}))


def test_the_pulse_tells_every_token_its_place_in_a_beat() -> None:
    net, (x, log_snr, cond) = network(pulse=3), inputs(2)
    pulse = torch.tensor([[0.03, 0.2], [0.0, 0.7]], dtype=torch.float64)
    told, untold = net(x, log_snr, {**cond, "pulse": pulse}), net(x, log_snr, cond)
    assert (told[0] - untold[0]).abs().max() > 1e-2
    torch.testing.assert_close(told[1], untold[1], rtol=0, atol=0)  # a rate of 0 tells nothing
    torch.testing.assert_close(net(x, log_snr, {**cond, "pulse": pulse + torch.tensor([0.0, 1.0])}), told)
    assert (net(x, log_snr, {**cond, "pulse": pulse + torch.tensor([0.0, 0.5])})[0] - told[0]).abs().max() > 1e-2


def test_places_in_a_beat_go_round_and_on() -> None:
    waves = beat_waves(torch.tensor([[1 / 12, 0.25]], dtype=torch.float64), 9, 4, 2)  # three tokens to a beat
    torch.testing.assert_close(waves[:, 3:], waves[:, :-3])
    torch.testing.assert_close(waves[0, 0], torch.tensor([-(0.75**0.5), 0.5, 0.5, -(0.75**0.5)], dtype=torch.float64))
    later = beat_waves(torch.tensor([[1 / 12, 0.25 + 4 / 12]], dtype=torch.float64), 8, 4, 2)
    torch.testing.assert_close(later, waves[:, 1:])


@pytest.mark.parametrize("shape", [(1, 1, 16, 10), (1, 2, 16, 8), (1, 1, 17, 8)])
def test_a_wrong_shape_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"x_t: got shape .*need \(B, 1, 16, F\)"):
        network()(torch.zeros(shape, dtype=torch.float64), torch.zeros(1, dtype=torch.float64), {})


def test_a_width_that_the_heads_do_not_divide_is_named() -> None:
    with pytest.raises(ValueError, match="width: got 30, need a multiple of twice the 4 heads"):
        FrameTransformer(width=30, heads=4, labels={})


def test_depthwise_is_the_library_s_convolution() -> None:
    x, weights = torch.randn(2, 9, 6, dtype=torch.float64), torch.randn(5, 6, dtype=torch.float64)
    expected = F.conv1d(x.mT, weights.T[:, None], padding=2, groups=6).mT
    torch.testing.assert_close(depthwise(x, weights), expected)


def test_rotated_products_depend_on_distance_alone() -> None:
    rotation = rotary(12, 8, torch.device("cpu")).double()
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64)
    products = (rotate(q.expand(1, 1, 12, 8), rotation) @ rotate(k.expand(1, 1, 12, 8), rotation).mT)[0, 0]
    for distance in range(-11, 12):
        along = products.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along), rtol=1e-5, atol=1e-6)
    assert (products[0, 1:] - products[0, :-1]).abs().max() > 0.01


def test_moments_become_the_input_near_the_data_and_the_mean_near_the_noise() -> None:
    net = network(outputs=2)
    denoiser = NetworkDenoiser(net, Cosine(), "moments")
    x, _, cond = inputs(2)
    clean = denoiser(x, torch.full((2,), 1e-4, dtype=torch.float64), cond).x0
    torch.testing.assert_close(clean, x, atol=2e-3, rtol=1e-3)
    t = torch.ones(2, dtype=torch.float64)
    mean = net(x, denoiser.schedule.log_snr(t), cond).chunk(2, dim=1)[0]
    torch.testing.assert_close(denoiser(x, t, cond).x0, mean, atol=0.05, rtol=0.05)

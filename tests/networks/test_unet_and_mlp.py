import json
import math

import pytest
import torch

from diffusion.checkpoint import Configuration, load, save
from diffusion.networks import NETWORKS, AdaptiveUNet, ConvUNet, DemoUNet, FlatMLP, StepMLP
from diffusion.networks.unet import AdaptiveLevel
from diffusion.objectives import Hybrid, SquaredError
from diffusion.theory import SCHEDULES, LinearBetas, MixtureDenoiser

LABELS = {"style": 3, "ensemble": 2}
U_NETS = [ConvUNet, AdaptiveUNet]
LOG_SNRS = LinearBetas(10, 0.05, 0.5).log_snr(torch.arange(1, 11, dtype=torch.float64) / 10).tolist()


def awake(network):
    """Last layers start at zero: give them weights, so that what goes in can be seen coming out."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


def small(kind, **settings):
    torch.manual_seed(0)
    return kind(labels=LABELS, widths=[8, 16], condition=16, **settings)


@pytest.mark.parametrize("kind", U_NETS)
def test_shape_and_zero_start(kind):
    network = small(kind, channels=2, outputs=2)
    x_t = torch.randn(3, 2, 12, 20)
    out = network(x_t, torch.tensor([-3.0, 0.0, 3.0]), {"style": torch.tensor([0, 1, 3])})
    assert out.shape == (3, 4, 12, 20)
    assert not out.any()
    assert awake(network)(x_t, torch.zeros(3), {}).any()


@pytest.mark.parametrize("kind", U_NETS)
def test_time_and_labels_are_heard_and_a_missing_label_is_any(kind):
    network = awake(small(kind))
    x_t, log_snr = torch.randn(1, 1, 8, 8), torch.zeros(1)
    plain = network(x_t, log_snr, {})
    null = torch.zeros(1, dtype=torch.long)
    assert torch.equal(plain, network(x_t, log_snr, {"style": null, "ensemble": null}))
    assert not torch.allclose(plain, network(x_t, log_snr + 1, {}))
    for name in LABELS:
        assert not torch.allclose(plain, network(x_t, log_snr, {name: null + 1}))


@pytest.mark.parametrize("kind", U_NETS)
def test_each_clip_is_alone_in_its_batch(kind):
    network = awake(small(kind)).double()
    x_t = torch.randn(4, 1, 8, 16, dtype=torch.float64)
    log_snr = torch.linspace(-4, 4, 4, dtype=torch.float64)
    cond = {"style": torch.tensor([0, 1, 2, 3])}
    together = network(x_t, log_snr, cond)
    alone = [network(x_t[i : i + 1], log_snr[i : i + 1], {"style": cond["style"][i : i + 1]}) for i in range(4)]
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("kind", U_NETS)
def test_shapes_that_do_not_halve_are_refused(kind):
    for shape in ((1, 1, 8, 10), (1, 2, 8, 8), (1, 8, 8)):
        with pytest.raises(ValueError, match="x_t: got shape"):
            small(kind)(torch.zeros(shape), torch.zeros(1), {})
    with pytest.raises(ValueError, match="widths"):
        kind(labels={}, widths=[12])


@pytest.mark.parametrize("kind", U_NETS)
def test_the_input_passes_by_all_coarser_levels(kind):
    """With the way up from the first level cut, only its skip connection can carry what goes in."""
    network = awake(small(kind))
    with torch.no_grad():
        network.up[0].weight.zero_()
        network.up[0].bias.zero_()
    out = [network(x_t, torch.zeros(1), {}) for x_t in torch.randn(2, 1, 1, 8, 8)]
    assert not torch.allclose(*out, atol=1e-3)


def test_residual_levels_keep_the_variance():
    """Sums of two independent paths over sqrt(2): twenty levels deep, the variance has not grown."""
    torch.manual_seed(0)
    h, c = torch.randn(2, 32, 16, 16), torch.zeros(2, 8)
    for _ in range(20):
        h = AdaptiveLevel(32, 32, 8)(h, c)
    assert 0.02 < float(h.detach().var()) < 1.5


def test_the_two_u_nets_condition_in_their_own_way():
    """In the one the condition is added, in the other it scales what was normalised."""
    names = {kind: {name.split(".")[-2] for name, _ in small(kind).named_parameters()} for kind in U_NETS}
    assert "project" in names[ConvUNet] - names[AdaptiveUNet]
    assert "modulation" in names[AdaptiveUNet] - names[ConvUNet]


def demo(**settings):
    torch.manual_seed(0)
    return DemoUNet(**{"channels": 3, "labels": {}, "log_snrs": LOG_SNRS, **settings})


def test_the_demo_u_net_is_that_of_the_notebook():
    """Pairs (8, 16), (16, 32), (32, 64), sixteen sines, three channels: as many weights as its cells make."""

    def conv(size, width_in, width_out):
        return size * size * width_in * width_out + width_out + 2 * width_out  # with its GroupNorm

    def mlp(width):
        return 16 * width + width + width * width + width

    pairs = [(8, 16), (16, 32), (32, 64)]
    encoder = sum(mlp(i) + conv(3, i, o) + conv(3, o, o) + conv(4, o, o) for i, o in pairs)
    decoder = sum(conv(4, o, o) + mlp(2 * o) + conv(3, 2 * o, o) + conv(3, o, i) for i, o in pairs)
    expected = conv(3, 3, 8) + encoder + decoder + 9 * 8 * 3 + 3
    network = demo()
    assert sum(parameter.numel() for parameter in network.parameters()) == expected
    leaves = [module for module in network.modules() if not list(module.children())]
    for module, then, last in zip(leaves, leaves[1:], leaves[2:], strict=False):
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            assert isinstance(then, torch.nn.Mish)
            assert isinstance(last, torch.nn.GroupNorm)
    assert isinstance(leaves[-1], torch.nn.Conv2d)  # what it says is not activated
    x_t = torch.randn(2, 3, 16, 24)
    assert network(x_t, torch.zeros(2), {}).shape == x_t.shape


def test_each_level_of_the_demo_u_net_is_told_the_step_by_itself():
    network, x_t = demo(labels={"style": 2}), torch.randn(1, 3, 8, 8)
    early, late = (torch.tensor([LOG_SNRS[i]]) for i in (0, 9))
    assert torch.equal(network(x_t, early, {}), network(x_t, early + 0.01, {}))  # the nearest step
    assert not torch.allclose(network(x_t, early, {}), network(x_t, early, {"style": torch.tensor([1])}))
    levels = [*network.times_before, *network.times_after]
    for told in levels:
        for other in levels:
            other[-1].weight.data.mul_(other is told)
        assert not torch.allclose(network(x_t, early, {}), network(x_t, late, {}))
        for other in levels:
            torch.nn.init.normal_(other[-1].weight)
    with pytest.raises(ValueError, match="widths"):
        demo(widths=[8])
    with pytest.raises(ValueError, match="log_snrs"):
        demo(log_snrs=[])
    with pytest.raises(ValueError, match="x_t: got shape"):
        network(torch.zeros(1, 3, 8, 12), early, {})


def test_the_input_of_the_demo_u_net_passes_by_all_coarser_levels():
    network = demo(channels=1)
    with torch.no_grad():
        network.up[0][0].weight.zero_()
    out = [network(x_t, torch.zeros(1), {}) for x_t in torch.randn(2, 1, 1, 8, 8)]
    assert not torch.allclose(*out, atol=1e-3)


def test_the_flat_mlp_sees_a_picture_as_a_list():
    network = FlatMLP(shape=[2, 4, 6], labels={}, log_snrs=LOG_SNRS, width=16, depth=1, outputs=2)
    assert network(torch.zeros(3, 2, 4, 6), torch.zeros(3), {}).shape == (3, 4, 4, 6)
    with pytest.raises(ValueError, match="x_t: got shape"):
        network(torch.zeros(3, 2, 6, 4), torch.zeros(3), {})


def test_mlp_multiplies_each_step_by_its_own_embedding():
    network = StepMLP(labels={"part": 2}, log_snrs=LOG_SNRS, outputs=2)
    x_t = torch.randn(10, 2)
    log_snr = torch.tensor(LOG_SNRS)
    out = network(x_t, log_snr, {})
    assert out.shape == (10, 4)
    torch.testing.assert_close(network(x_t, log_snr + 0.01, {}), out)  # the nearest step
    with torch.no_grad():
        network.gains[0].weight[4] += 1
    changed = (network(x_t, log_snr, {}) != out).any(1)
    assert changed.nonzero().flatten().tolist() == [4]
    assert not torch.allclose(network(x_t, log_snr, {"part": torch.ones(10, dtype=torch.long)}), out)
    for shape in ((10, 3), (10, 2, 1)):
        with pytest.raises(ValueError, match="x_t: got shape"):
            network(torch.zeros(shape), log_snr, {})
    with pytest.raises(ValueError, match="log_snrs"):
        StepMLP(labels={}, log_snrs=[])


ARGUMENTS = {
    "frame-transformer": {"bands": 8, "width": 16, "depth": 1, "heads": 2, "hidden": 16, "outputs": 2},
    "conv-unet": {"widths": [8, 16], "condition": 16, "outputs": 2},
    "adaptive-unet": {"widths": [8, 16], "condition": 16, "outputs": 2},
    "demo-unet": {"widths": [8, 16], "log_snrs": LOG_SNRS, "time": 8, "outputs": 2},
    "step-mlp": {"dimensions": 2, "log_snrs": LOG_SNRS, "width": 16, "outputs": 2},
    "flat-mlp": {"shape": [1, 8, 8], "log_snrs": LOG_SNRS, "width": 16, "outputs": 2},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_checkpoint_brings_every_network_back(name, tmp_path):
    arguments = json.loads(json.dumps({"name": name, **ARGUMENTS[name]}))
    labels = {"style": ["reel", "jig"]}
    configuration = Configuration(arguments, {"name": "linear", "steps": 10}, "eps-mix", labels, frames=8)
    network = awake(configuration.build())
    save(tmp_path, configuration, network.state_dict(), torch.float32)
    loaded = load(tmp_path)
    x_t = torch.randn(3, 2) if name == "step-mlp" else torch.randn(3, 1, 8, 8)
    t, cond = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64), {"style": torch.tensor([0, 1, 2])}
    before, after = configuration.denoiser(network)(x_t, t, cond), loaded.denoiser(x_t, t, cond)
    torch.testing.assert_close(before.x0, after.x0)
    fraction = after.variance.fraction
    assert fraction.shape == x_t.shape
    assert bool(((fraction > 0) & (fraction < 1)).all())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_hybrid_reaches_every_weight(name):
    """No part of any network is dead, and both heads learn."""
    torch.manual_seed(0)
    configuration = Configuration(
        {"name": name, **ARGUMENTS[name]}, {"name": "linear", "steps": 100}, "eps-mix", {"style": ["a", "b"]}, 8
    )
    network = awake(configuration.build())
    x0 = torch.randn(16, 2) if name == "step-mlp" else torch.randn(16, 1, 8, 8)
    t, cond = torch.linspace(0.01, 1, 16, dtype=torch.float64), {"style": torch.arange(16) % 3}
    Hybrid()(configuration.denoiser(network), 0.3 * x0, t, torch.randn_like(x0), cond).mean().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_the_mlp_learns_a_cloud_of_points():
    """Two clouds in the plane: the loss comes near that of the exact denoiser."""
    torch.manual_seed(0)
    schedule = SCHEDULES["linear"](10, 0.05, 0.5)
    exact = MixtureDenoiser(
        schedule, torch.tensor([0.5, 0.5]), torch.tensor([[-1.0, 0.5], [1.0, -0.5]]), torch.tensor([0.05, 0.1])
    )
    configuration = Configuration(
        {"name": "step-mlp", "log_snrs": LOG_SNRS},
        {"name": "linear", "steps": 10, "first": 0.05, "last": 0.5},
        "eps",
        {},
        1,
    )
    network = configuration.build()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)
    objective, denoiser = SquaredError("eps"), configuration.denoiser(network)

    def batch(count):
        t = torch.randint(1, 11, (count,), generator=generator).double() / 10
        return exact.sample(count, generator), t, torch.randn(count, 2, generator=generator), {}

    for _ in range(400):
        optimizer.zero_grad()
        objective(denoiser, *batch(512)).mean().backward()
        optimizer.step()
    held_out = batch(4000)
    loss, floor = (float(objective(each, *held_out).mean()) for each in (denoiser, exact))
    assert floor < loss < floor + 0.1
    assert math.isclose(float(held_out[2].square().mean()), 1, abs_tol=0.05)  # what a network of zeros would lose

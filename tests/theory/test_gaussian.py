import torch

from diffusion.theory import CorrelatedDenoiser, Cosine, GaussianDenoiser, MixtureDenoiser, RectifiedFlow, jump

WEIGHTS = torch.tensor([0.3, 0.7]).double()
MEANS = torch.tensor([[1.0, 2.0], [-1.5, 0.2]]).double()
VARIANCES = torch.tensor([0.05, 0.4]).double()


def test_gaussian_belief_is_the_regression_of_x0_on_x_t():
    """The belief's slope is cov(x0, x_t) / var(x_t), and it is right on average."""
    for schedule in (Cosine(), RectifiedFlow()):
        mean, variance = torch.tensor([0.7]).double(), torch.tensor([0.3]).double()
        denoiser = GaussianDenoiser(schedule, mean, variance)
        t = torch.full((2,), 0.6, dtype=torch.float64)
        level = schedule(t[0])
        beliefs = denoiser(torch.stack([level.alpha * mean, level.alpha * mean + 1]), t, {}).x0
        torch.testing.assert_close(beliefs[0], mean)
        slope = level.alpha * variance / (level.alpha**2 * variance + level.sigma**2)
        torch.testing.assert_close(beliefs[1] - beliefs[0], slope)


def test_correlated_belief_is_the_regression_of_x0_on_x_t():
    """The gain is cov(x0, x_t) cov(x_t)^-1, and samples have the covariance."""
    mean, covariance = torch.tensor([0.7, -1.0]).double(), torch.tensor([[1.0, 0.8], [0.8, 2.0]]).double()
    for schedule in (Cosine(), RectifiedFlow()):
        denoiser = CorrelatedDenoiser(schedule, mean, covariance)
        t, x_t = torch.full((3,), 0.6).double(), torch.tensor([[0.0, 0.0], [1.0, 0.0], [-2.0, 3.0]]).double()
        level = schedule(t[0])
        gain = level.alpha * covariance @ torch.linalg.inv(level.alpha**2 * covariance + level.sigma**2 * torch.eye(2))
        torch.testing.assert_close(denoiser(x_t, t, {}).x0, mean + (x_t - level.alpha * mean) @ gain.T)
    samples = denoiser.sample(200_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.cov(samples.T), covariance, atol=0.02, rtol=0.02)


def test_mixture_belief_by_numerical_integration():
    """E[x0 | x_t] as the ratio of two sums over a fine lattice of x0."""
    denoiser = MixtureDenoiser(Cosine(), WEIGHTS, MEANS, VARIANCES)
    axis = torch.linspace(-6, 6, 601, dtype=torch.float64)
    lattice = torch.cartesian_prod(axis, axis)
    squares = (lattice[:, None] - MEANS).square().sum(-1)
    prior = (WEIGHTS / VARIANCES * torch.exp(-squares / (2 * VARIANCES))).sum(-1)
    t = torch.tensor([0.3, 0.6, 0.9]).double()
    x_t = torch.tensor([[0.3, 1.0], [-0.5, 0.4], [1.0, -1.0]]).double()
    level = Cosine()(t)
    belief = denoiser(x_t, t, {}).x0
    for i in range(3):
        weight = prior * torch.exp(-(x_t[i] - level.alpha[i] * lattice).square().sum(-1) / (2 * level.sigma[i] ** 2))
        torch.testing.assert_close(belief[i], (weight[:, None] * lattice).sum(0) / weight.sum())


def test_labels_choose_the_component():
    denoiser = MixtureDenoiser(Cosine(), WEIGHTS, MEANS, VARIANCES)
    x_t, t = torch.randn(3, 2, dtype=torch.float64), torch.full((3,), 0.5, dtype=torch.float64)
    labelled = denoiser(x_t, t, {"component": torch.tensor([0, 1, 2])})
    torch.testing.assert_close(labelled.x0[0], denoiser(x_t, t, {}).x0[0])
    for k in (1, 2):
        alone = GaussianDenoiser(Cosine(), MEANS[k - 1], VARIANCES[k - 1])
        torch.testing.assert_close(labelled.x0[k], alone(x_t, t, {}).x0[k])


def test_mixture_belief_keeps_the_invariant():
    denoiser = MixtureDenoiser(RectifiedFlow(), WEIGHTS, MEANS, VARIANCES)
    x_t, t = torch.randn(4, 2, dtype=torch.float64), torch.linspace(0.1, 1, 4, dtype=torch.float64)
    belief = denoiser(x_t, t, {})
    torch.testing.assert_close(jump(belief.x0, RectifiedFlow()(t), belief.eps), x_t)


def test_mixture_samples():
    denoiser = MixtureDenoiser(Cosine(), WEIGHTS, MEANS, VARIANCES)
    samples = denoiser.sample(20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(samples.mean(0), WEIGHTS @ MEANS, rtol=0, atol=0.03)
    again = denoiser.sample(20_000, torch.Generator().manual_seed(0))
    assert samples.equal(again)

"""What each of the five documents does, and where in the lab it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Place:
    """Something that a document does, and the experiment that does it, with some of its knobs turned."""

    what: str
    experiment: str
    knobs: Mapping[str, Any] = field(default_factory=dict)


INDEX: dict[str, Sequence[Place]] = {
    "Démo DDPM": (
        Place("A picture noised step by step and in one jump", "noising"),
        Place("Noising without its square roots", "noising", {"roots": "off"}),
        Place("The betas of its training, which do not reach noise", "noising", {"betas": "trained"}),
        Place("The U-Net of ConvBlocks, taught by the error of the noise", "digits", {"network": "unet"}),
        Place("Ancestral sampling in 100 steps", "digits", {"sampler": "ddpm", "steps": 100}),
    ),
    "Module 18a, DDPM": (
        Place("The forward process and its curves", "noising", {"schedule": "linear"}),
        Place("The variational bound, term by term", "bits"),
        Place("Digits, as from MNIST", "digits", {"sampler": "ddpm"}),
        Place("Pictures in colour, as from CIFAR-10: only the U-Net changes", "colour", {"group": "any"}),
        Place("Finetuning on a single class", "colour", {"group": "flags"}),
    ),
    "Diffusion probabilistic models, Introduction": (
        Place("Sliced score matching", "score-matching", {"objective": "sliced"}),
        Place("Denoising score matching", "score-matching", {"objective": "denoising"}),
        Place("Langevin dynamics with a decaying step, from a click", "score-matching", {"objective": "exact"}),
        Place(
            "The forward process at ten times, under four schedules",
            "noising",
            {"subject": "points", "schedule": "sigmoid", "betas": "short"},
        ),
        Place("A model with learned mean and variance, in bits", "swiss-roll", {"objective": "kl"}),
        Place("The discretised decoder of the last step", "bits", {"subject": "ddpm"}),
        Place("The simplified loss, and the cloud at ten times", "swiss-roll", {"objective": "ddpm"}),
        Place("Antithetic times", "swiss-roll", {"antithetic": "off"}),
        Place("The moving average of the weights", "swiss-roll", {"ema": "off"}),
    ),
    "DDPM improvements": (
        Place("Magnitude and phase as two channels", "channels"),
        Place("Beliefs that leave [-1, 1] without clipping", "channels", {"clip": "off"}),
        Place("A variance between beta and beta-tilde, by a dial", "channels", {"variance": "dial"}),
        Place("The KL that explodes at the first step", "channels", {"variance": "dial", "v": 0.0}),
        Place("The KL over its batch maximum", "channels", {"objective": "batch-maximum"}),
        Place("MSE and KL together", "channels", {"objective": "mse-kl"}),
        Place("Logarithmic magnitude, where the linear one falls silent", "channels", {"magnitude": "logarithmic"}),
        Place("Sampling from where training ended", "channels", {"start": "noised"}),
    ),
    "DDPM (blog post)": (
        Place("U-Net against MLP", "digits", {"network": "mlp"}),
        Place("Adaptive group norm, and residual paths divided by √2", "digits", {"network": "adaptive"}),
        Place("No time as an input", "digits", {"network": "no-clock"}),
        Place("Few pictures", "digits", {"network": "few"}),
        Place("The loss by time step, across training", "digits"),
        Place("Naive skipping, DDIM and DDPM in 60 of 300 steps", "skipping"),
        Place("How varied DDIM and DDPM are", "skipping", {"steps": 100}),
        Place("Classifier-free guidance: condition on 1", "condition-on-1"),
    ),
}
"""By document."""

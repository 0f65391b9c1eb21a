"""Numbers about clips: accuracies with their intervals, a distance between sets, onsets and pitch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffusion.audio.mel import MelParameters
from diffusion.evaluation.classifier import Judgement

PASS_MARK = 0.7
GRID_HZ = (200.0, 2000.0)  # where partials are both strong and far enough apart to measure


def wilson(successes: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of a proportion, 95 % with z 1.96 (Wilson 1927); it supposes independent clips."""
    if not 0 <= successes <= count or count < 1:
        raise ValueError(f"successes, count: got {successes} of {count}")
    p = successes / count
    centre = (p + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    return max(0.0, centre - reach), min(1.0, centre + reach)


@dataclass(frozen=True)
class Accuracy:
    """`right` of `count` clips."""

    right: int
    count: int

    @property
    def value(self) -> float:
        return self.right / self.count

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.count)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.1%} ({low:.1%}–{high:.1%})"


@dataclass(frozen=True)
class Score:
    """How clips of known style and ensemble were heard.

    `style` counts a clip heard as its style and as music; `style_forced` the best of the styles, "none" not allowed.
    `style_within` is `style` for each ensemble; `none` the clips heard as no music. `style_confusion` (S, S + 1) and
    `ensemble_confusion` (E, E) have the truth in rows.
    """

    style: Accuracy
    style_forced: Accuracy
    ensemble: Accuracy
    none: Accuracy
    style_within: tuple[Accuracy, ...]
    style_confusion: np.ndarray
    ensemble_confusion: np.ndarray

    @property
    def passed(self) -> bool:
        """The style test: at least PASS_MARK of the clips are heard as their style, within ensembles on average."""
        return self.style.value >= PASS_MARK

    @property
    def failed(self) -> bool:
        """The whole interval lies below PASS_MARK: what a control must do."""
        return self.style.interval[1] < PASS_MARK


def score(judgement: Judgement, style: Tensor, ensemble: Tensor) -> Score:
    """Compare a judgement of B clips with their styles (B,) and ensembles (B,), both counted from 0."""
    styles, ensembles = judgement.style.shape[1] - 1, judgement.ensemble.shape[1]
    heard_style, heard_ensemble = judgement.style.argmax(1), judgement.ensemble.argmax(1)
    right = heard_style == style
    count = len(style)
    confusion = torch.zeros(styles, styles + 1, dtype=torch.long)
    confusion.index_put_((style, heard_style), torch.ones(count, dtype=torch.long), accumulate=True)
    between = torch.zeros(ensembles, ensembles, dtype=torch.long)
    between.index_put_((ensemble, heard_ensemble), torch.ones(count, dtype=torch.long), accumulate=True)
    within = [Accuracy(int(right[ensemble == e].sum()), int((ensemble == e).sum())) for e in range(ensembles)]
    return Score(
        style=Accuracy(int(right.sum()), count),
        style_forced=Accuracy(int((judgement.style[:, :-1].argmax(1) == style).sum()), count),
        ensemble=Accuracy(int((heard_ensemble == ensemble).sum()), count),
        none=Accuracy(int((heard_style == styles).sum()), count),
        style_within=tuple(within),
        style_confusion=confusion.numpy(),
        ensemble_confusion=between.numpy(),
    )


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Squared Fréchet distance of two Gaussians fitted to embeddings a (N, D) and b (M, D) (Heusel et al. 2017, eq. 6).

    |mean difference|² + tr(A + B - 2 (A B)^½). Biased upwards for few clips: compare only at equal counts.
    """
    x, y = a.double().numpy(), b.double().numpy()
    if min(len(x), len(y)) < 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"a, b: got shapes {x.shape} and {y.shape}, need two clips at least and the same width")
    cov_x, cov_y = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (x, y))
    values, vectors = np.linalg.eigh(cov_x)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    crossed = np.sqrt(np.linalg.eigvalsh(root @ cov_y @ root).clip(0)).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cov_x) + np.trace(cov_y) - 2 * crossed)


def principal(reference: Tensor, directions: int) -> Tensor:
    """The orthonormal directions (D, directions) in which embeddings (N, D) vary most; fewer if N or D is smaller."""
    centred = (reference - reference.mean(0)).double()
    base: Tensor = torch.linalg.svd(centred, full_matrices=False)[2]
    return base[:directions].T.to(reference)


def onset_rate(features: Tensor, mel: MelParameters) -> Tensor:
    """Onsets per second (B,) of features (B, 1, bands, F): peaks of their rise over time, averaged over bands."""
    import librosa

    rates = []
    for clip in features[:, 0].numpy():
        decibels = (clip * mel.scale + mel.mean) * (20 / math.log(10))
        rate, hop = mel.sample_rate_hz, mel.hop_size
        envelope = librosa.onset.onset_strength(S=decibels, sr=rate, hop_length=hop)
        onsets = librosa.onset.onset_detect(onset_envelope=envelope, sr=rate, hop_length=hop)
        rates.append(len(onsets) * mel.frames_per_s / clip.shape[1])
    return torch.tensor(rates)


def pitch_grid(wave: Tensor, sample_rate_hz: int) -> tuple[Tensor, Tensor]:
    """Of waves (B, N): how well their partials keep to equal temperament at 440 Hz (B,), and pitch classes (B, 12).

    The first is the mean of cos(2 pi semitones), weighted by amplitude, over spectral peaks within GRID_HZ: 1 for
    every peak on the grid, 0 for peaks anywhere, -1 for every peak a quarter tone off. The second is the share of each
    pitch class, from C.
    """
    import librosa

    grids, classes = [], []
    for samples in wave.numpy():
        pitches, amplitudes = librosa.piptrack(
            y=samples, sr=sample_rate_hz, n_fft=8192, hop_length=4096, fmin=GRID_HZ[0], fmax=GRID_HZ[1], threshold=0.05
        )
        found = pitches > 0
        weight = amplitudes[found].astype(np.float64)
        total = weight.sum()
        if total <= 0:
            grids.append(0.0)
            classes.append(np.full(12, 1 / 12))
            continue
        semitones = 69 + 12 * np.log2(pitches[found] / 440)
        grids.append(float((weight * np.cos(2 * np.pi * semitones)).sum() / total))
        nearest = np.round(semitones).astype(int) % 12
        classes.append(np.bincount(nearest, weight, minlength=12) / total)
    return torch.tensor(grids), torch.tensor(np.array(classes))


def entropy_bits(shares: Tensor) -> Tensor:
    """Entropy (B,) of shares (B, n): log2(n) for even ones, lower the clearer a key or a chord."""
    return -(shares * shares.clamp(min=1e-12).log2()).sum(-1)

"""From mel amplitudes to a wave without a network: mel inversion, then fast Griffin-Lim."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.audio.mel import MelParameters, mel_filters


def spread_bands(mel_magnitude: Tensor, mel: MelParameters) -> Tensor:
    """Amplitudes (B, fft_size // 2 + 1, F): the levels of (B, bands, F), interpolated in the logarithm between centres.

    Bins that no band covers are zero.
    """
    filters = torch.tensor(mel_filters(mel)).to(mel_magnitude)
    tiny = torch.finfo(filters.dtype).tiny
    level = (mel_magnitude.clamp(min=tiny) / filters.sum(1, keepdim=True)).log()
    triangles = filters / filters.amax(1, keepdim=True)
    covered = triangles.sum(0)[:, None]
    return (triangles.T @ level / covered.clamp(min=tiny)).exp() * (covered > 0)


def match_bands(magnitude: Tensor, mel_magnitude: Tensor, mel: MelParameters, iterations: int) -> Tensor:
    """`magnitude` (B, fft_size // 2 + 1, F) changed so that its mel amplitudes come closer to (B, bands, F).

    By multiplicative updates for the Kullback-Leibler divergence (Lee & Seung 2000, theorem 2).
    """
    filters = torch.tensor(mel_filters(mel)).to(mel_magnitude)
    tiny = torch.finfo(filters.dtype).tiny
    share = filters.sum(0)[:, None].clamp(min=tiny)
    for _ in range(iterations):
        magnitude = magnitude * (filters.T @ (mel_magnitude / (filters @ magnitude).clamp(min=tiny))) / share
    return magnitude


def invert_mel(mel_magnitude: Tensor, mel: MelParameters, iterations: int = 16) -> Tensor:
    """Non-negative amplitudes (B, fft_size // 2 + 1, F) whose mel amplitudes are close to (B, bands, F).

    The amplitudes of music span decades. An interpolated start with multiplicative updates suits them better than a
    clamped pseudo-inverse with least-squares steps: it is closer at equal time, and nearer to the true spectrum, since
    a smooth start leaves no bin at zero.
    """
    return match_bands(spread_bands(mel_magnitude, mel), mel_magnitude, mel, iterations)


def initial_phase(magnitude: Tensor, hop_size: int) -> Tensor:
    """Phase (B, fft_size // 2 + 1, F) in which every bin turns at the frequency of the partial it belongs to.

    The frequency follows from the slope of the log amplitude across bins, exactly so for a Gaussian window (Průša,
    Balazs & Søndergaard 2017); 0.25645 is their ratio for the Hann window. Each bin starts from a random phase, always
    the same, so that the energy does not gather in one pulse. Eight iterations from here come about as close as 32 from
    random phases.
    """
    bins = magnitude.shape[1]
    fft_size = 2 * (bins - 1)
    level = magnitude.clamp(min=1e-5).log()
    slope = functional.pad((level[:, 2:] - level[:, :-2]) / 2, (0, 0, 1, 1))
    offset = torch.rand(bins, generator=torch.Generator().manual_seed(0)).to(magnitude)
    centre = torch.arange(bins).to(magnitude) / fft_size
    turns = hop_size * (centre[:, None] + slope / (2 * math.pi * 0.25645 * fft_size))
    return 2 * math.pi * (offset[:, None] + (turns % 1).cumsum(2)) % (2 * math.pi)


@dataclass(frozen=True)
class GriffinLim:
    """Fast Griffin-Lim, a decoder that needs no training: Perraudin, Balazs & Søndergaard 2013.

    Deterministic; keeps no gradient.
    """

    iterations: int = 32
    momentum: float = 0.99
    mel: MelParameters = field(default_factory=MelParameters)

    def __post_init__(self) -> None:
        if self.iterations < 0:
            raise ValueError(f"iterations must be at least 0, got {self.iterations}")
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum must be within 0 and 1, got {self.momentum}")

    @torch.no_grad()
    def __call__(self, mel_magnitude: Tensor) -> Tensor:
        """Waves (B, F * hop_size) of mel amplitudes (B, bands, F)."""
        fft_size, hop_size = self.mel.fft_size, self.mel.hop_size
        if mel_magnitude.ndim != 3 or mel_magnitude.shape[1] != self.mel.bands:
            raise ValueError(
                f"mel_magnitude must have shape (B, {self.mel.bands}, F), got {tuple(mel_magnitude.shape)}"
            )
        # Half a window of repeated frames at either end: the codec's windows see as much beyond the clip.
        edge = fft_size // (2 * hop_size)
        magnitude = invert_mel(functional.pad(mel_magnitude, (edge, edge), mode="replicate"), self.mel)
        samples = (magnitude.shape[2] - 1) * hop_size
        window = torch.hann_window(fft_size).to(magnitude)
        tiny = torch.finfo(magnitude.dtype).tiny

        spectrum = torch.polar(magnitude, initial_phase(magnitude, hop_size))
        previous = None
        for _ in range(self.iterations):
            wave = torch.istft(spectrum, fft_size, hop_size, window=window, length=samples)
            consistent = torch.stft(wave, fft_size, hop_size, window=window, return_complex=True)
            target = consistent if previous is None else torch.lerp(previous, consistent, 1 + self.momentum)
            previous = consistent
            spectrum = target * (magnitude / target.abs().clamp(min=tiny))
        wave = torch.istft(spectrum, fft_size, hop_size, window=window, length=samples)
        beyond = (fft_size - hop_size) // 2
        return wave[:, beyond:-beyond]

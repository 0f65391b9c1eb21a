"""From mel amplitudes to a wave with a small network: amplitudes, the phase's derivatives, and an inverse STFT.

A mel spectrogram does not determine the phases, since they depend on when a note began. It does determine how they
change: from frame to frame (the frequency of a partial) and from bin to bin (where in the frame the energy lies). So
the network predicts these derivatives, and a recursion adds them up, as in Masuyama et al. 2020 ("Phase reconstruction
based on recurrent phase unwrapping with deep neural networks"). A network that predicts the phases themselves gives
constant features constant phases: a wave that repeats with every frame, heard as a buzz at the frame rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.audio.griffin_lim import match_bands, spread_bands
from diffusion.audio.mel import MelParameters, mel_filters

CORRECTION_LIMIT = 5.0  # how far the network may move the log amplitude of a bin, so that no input makes it explode
UPDATES = 3  # multiplicative ones, towards the mel amplitudes
MOMENTUM = 0.99  # of the refinements
REACHABLE = 0.8  # mean error of log mel amplitudes before refinement: 0.2 to 0.3 for music, 1.6 to 4 for noise
HANN_RATIO = 0.25645  # of a Hann window's length squared: the Gaussian window that is most like it
QUIET = 1e-7  # amplitude of an STFT bin, far below the floor of the features
SEED = 0  # of the phases where none can be predicted


@dataclass(frozen=True)
class Spectrum:
    """The network's estimate of the STFT, each of shape (B, F, bins).

    `log_magnitude` is the logarithm of the amplitude. `turn` and `lean` are complex. The angle of `turn` is how far the
    phase moves from the frame before, beyond the bin's centre frequency; that of `lean` is how far it moves from the
    bin below. Phases are those at the middle of a frame. The lengths, from 0 to 1, say how certain the angles are: they
    are the lengths of means of unit vectors.
    """

    log_magnitude: Tensor
    turn: Tensor
    lean: Tensor


class Block(nn.Module):
    """ConvNeXt (Liu et al. 2022) over time: a channel's neighbouring frames first, then all channels of a frame."""

    def __init__(self, width: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.neighbours = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)
        self.scale = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, width) to the same."""
        y = self.neighbours(x.transpose(1, 2)).transpose(1, 2)
        y = self.narrow(functional.gelu(self.widen(self.norm(y)), approximate="tanh"))
        return torch.addcmul(x, self.scale, y)


class Vocoder(nn.Module):
    """A learned decoder: ConvNeXt blocks at frame rate, a phase recursion, an inverse STFT.

    Deterministic. It ends with `refinements` iterations like those of fast Griffin-Lim (Perraudin et al. 2013).
    Matrices of the network are multiplied in `precision`.
    """

    window: Tensor

    def __init__(
        self,
        mel: MelParameters | None = None,
        width: int = 384,
        depth: int = 6,
        hidden: int = 960,
        kernel: int = 7,
        refinements: int = 2,
    ) -> None:
        super().__init__()
        self.mel = MelParameters() if mel is None else mel
        self.bins = self.mel.fft_size // 2 + 1
        self.refinements = refinements
        self.precision = torch.float32
        self.enter = nn.Conv1d(self.mel.bands, width, kernel, padding=kernel // 2)
        self.blocks = nn.ModuleList(Block(width, hidden, kernel) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 5 * self.bins)
        nn.init.normal_(self.head.weight, std=0.02)
        bias = torch.zeros(5, self.bins)
        bias[[1, 3]] = 2.0  # the derivatives start as those that follow from the amplitudes, nearly certain
        self.head.bias = nn.Parameter(bias.flatten())
        self.register_buffer("window", torch.hann_window(self.mel.fft_size), persistent=False)

    def forward(self, mel_magnitude: Tensor) -> Tensor:
        """Waves (B, F * hop_size) of mel amplitudes (B, bands, F)."""
        if mel_magnitude.ndim != 3 or mel_magnitude.shape[1] != self.mel.bands:
            raise ValueError(
                f"mel_magnitude must have shape (B, {self.mel.bands}, F), got {tuple(mel_magnitude.shape)}"
            )
        generator = torch.Generator().manual_seed(SEED)
        turns = torch.rand(1, mel_magnitude.shape[2], self.bins, generator=generator).to(mel_magnitude.device)
        magnitudes = mel_magnitude.to(self.window.dtype)
        return self.synthesise(self.estimate(magnitudes), magnitudes, turns).to(mel_magnitude)

    def estimate(self, mel_magnitude: Tensor) -> Spectrum:
        """The spectrum behind mel amplitudes (B, bands, F).

        The network corrects the log amplitudes, and the derivatives that would follow from them for a Gaussian window.
        """
        mel, device = self.mel, mel_magnitude.device.type
        mel_magnitude = mel_magnitude.clamp(min=mel.floor)
        with torch.autocast(device, self.precision, enabled=self.precision != torch.float32):
            x = self.enter((mel_magnitude.log() - mel.mean) / mel.scale).transpose(1, 2)
            for block in self.blocks:
                x = block(x)
            correction, *residuals = self.head(self.norm(x)).float().unflatten(2, (5, self.bins)).unbind(2)
        with torch.autocast(device, enabled=False):
            correction = CORRECTION_LIMIT * torch.tanh(correction / CORRECTION_LIMIT)
            magnitude = spread_bands(mel_magnitude, mel) * correction.transpose(1, 2).exp()
            magnitude = match_bands(magnitude, mel_magnitude, mel, UPDATES)
            log_magnitude = magnitude.clamp(min=QUIET).log().transpose(1, 2)
            turn, lean = gaussian_derivatives(log_magnitude, mel)
            return Spectrum(log_magnitude, turn * _within_circle(*residuals[:2]), lean * _within_circle(*residuals[2:]))

    def synthesise(self, spectrum: Spectrum, mel_magnitude: Tensor, turns: Tensor) -> Tensor:
        """Waves (B, F * hop_size) of a spectrum; phases that cannot be known follow from `turns` (1 or B, F, bins).

        `turns` are from 0 to 1. Each refinement keeps the phases of the wave, extrapolated by momentum, and changes its
        amplitudes only as far as the mel amplitudes (B, bands, F) require. Many sets of amplitudes have those mel
        amplitudes, and the nearest one that belongs to a wave comes closer than the network's own. Features that are
        noise belong to no wave. Refining them would put a pulse into every frame, so they are refined less.
        """
        magnitude = spectrum.log_magnitude.exp()
        wave = self.inverse(magnitude * add_up(magnitude, spectrum.turn, spectrum.lean, turns, self.mel))
        filters = torch.tensor(mel_filters(self.mel)).to(wave)
        target = mel_magnitude.clamp(min=self.mel.floor)
        trust = previous = None
        for _ in range(self.refinements):
            consistent = self.stft(wave)
            amplitude = consistent.abs().transpose(1, 2)
            reached = (filters @ amplitude).clamp(min=torch.finfo(filters.dtype).tiny)
            error = (target / reached).log()
            if trust is None:
                trust = 1 / (1 + (error.abs().mean((1, 2), keepdim=True) / REACHABLE) ** 4)
            matched = match_bands(amplitude, reached * (trust * error).exp(), self.mel, 1).transpose(1, 2)
            ahead = consistent if previous is None else torch.lerp(previous, consistent, 1 + MOMENTUM)
            previous = consistent
            wave = self.inverse(matched * torch.sgn(ahead))
        return wave

    def stft(self, wave: Tensor) -> Tensor:
        """Spectra (B, F, bins) of waves (B, F * hop_size), framed as by the codec; phases at the middle of a frame."""
        mel = self.mel
        beyond = (mel.fft_size - mel.hop_size) // 2
        padded = functional.pad(wave, (beyond, beyond), mode="reflect" if wave.shape[1] > beyond else "constant")
        frames = padded.unfold(1, mel.fft_size, mel.hop_size) * self.window
        return torch.mul(torch.fft.rfft(frames), self._to_middle)

    def inverse(self, spectrum: Tensor) -> Tensor:
        """Waves (B, F * hop_size) whose STFT is nearest to spectra (B, F, bins): Griffin & Lim 1984, equation 6."""
        beyond = (self.mel.fft_size - self.mel.hop_size) // 2
        frames = torch.fft.irfft(spectrum * self._to_middle) * self.window
        weights = self.window.square().expand(1, frames.shape[1], -1)
        wave = self._overlap(frames) / self._overlap(weights).clamp(min=1e-3)
        return wave[:, beyond : wave.shape[1] - beyond]

    def _overlap(self, frames: Tensor) -> Tensor:
        """Frames (B, F, fft_size) added up, each hop_size after the last: (B, (F - 1) * hop_size + fft_size)."""
        overlaps = self.mel.fft_size // self.mel.hop_size
        parts = frames.unflatten(2, (overlaps, self.mel.hop_size)).unbind(2)
        shifted = [functional.pad(part, (0, 0, i, overlaps - 1 - i)) for i, part in enumerate(parts)]
        return torch.stack(shifted).sum(0).flatten(1)

    @property
    def _to_middle(self) -> Tensor:
        """Factors (bins,) that move phases from the start of a frame to its middle and back: half a turn a bin."""
        return 1 - 2.0 * (torch.arange(self.bins, device=self.window.device) % 2)


def gaussian_derivatives(log_magnitude: Tensor, mel: MelParameters) -> tuple[Tensor, Tensor]:
    """The `turn` and `lean` that log amplitudes (B, F, bins) have under a Gaussian window.

    Průša, Balazs & Søndergaard 2017, equations 6 and 7: the slope across bins is the frequency, that along frames
    the place in the frame.
    """
    ratio = HANN_RATIO * mel.fft_size / mel.hop_size
    across = functional.pad((log_magnitude[:, :, 2:] - log_magnitude[:, :, :-2]) / 2, (1, 1))
    along = functional.pad((log_magnitude[:, 2:] - log_magnitude[:, :-2]) / 2, (0, 0, 1, 1))
    turn = (across + functional.pad(across[:, :-1], (0, 0, 1, 0))) / (2 * ratio)
    lean = (along + functional.pad(along[:, :, :-1], (1, 0))) / 2 * -ratio
    return torch.polar(torch.ones_like(turn), turn), torch.polar(torch.ones_like(lean), lean)


def add_up(magnitude: Tensor, turn: Tensor, lean: Tensor, turns: Tensor, mel: MelParameters) -> Tensor:
    """Phases (B, F, bins) as unit vectors, frame by frame, from the derivatives in a `Spectrum`.

    Each bin predicts its phase from the frame before, mixed with a random one (`turns`, 0 to 1) as far as `turn` is
    uncertain. The final phase is that of the sum of its own prediction and those of its two neighbours, moved by
    `lean`; each has the weight of its amplitude. In training no gradient passes from frame to frame.
    """
    bins = torch.arange(magnitude.shape[2], device=magnitude.device)
    centre = 2 * math.pi * (bins * mel.hop_size % mel.fft_size) / mel.fft_size
    random = torch.polar(torch.ones_like(turns), 2 * math.pi * turns)
    doubt = (1 - turn.real.square() - turn.imag.square()).clamp(min=1e-6).sqrt()
    kept = magnitude * turn * torch.polar(torch.ones_like(centre), centre)
    added = magnitude * doubt * random
    from_below = lean[:, :, 1:]
    from_above = from_below.conj().resolve_conj()
    phase, phases = random[:, 0], []
    for t in range(magnitude.shape[1]):
        own = kept[:, t] * phase.detach() + added[:, t]
        below = functional.pad(own[:, :-1] * from_below[:, t], (1, 0))
        above = functional.pad(own[:, 1:] * from_above[:, t], (0, 1))
        phase = torch.sgn(own + below + above)
        phases.append(phase)
    return torch.stack(phases, 1)


def _within_circle(real: Tensor, imaginary: Tensor) -> Tensor:
    return torch.complex(real, imaginary) / (1 + real.square() + imaginary.square()).sqrt()

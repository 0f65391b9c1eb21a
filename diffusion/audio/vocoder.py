"""From mel amplitudes to a wave with a small network: amplitudes, the phase's derivatives, and an inverse STFT.

What a phase is cannot be read off a mel spectrogram, since it depends on when a note began. How it changes can: from
frame to frame (the frequency of a partial) and from bin to bin (where in the frame the energy lies). So the network
predicts these derivatives, and a recursion adds them up, as in Masuyama et al. 2020 ("Phase reconstruction based on
recurrent phase unwrapping with deep neural networks"). A network that predicts phases themselves gives constant
features constant phases: a wave that repeats with every frame, heard as a buzz at the frame rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.audio.griffin_lim import match_bands, spread_bands
from diffusion.audio.mel import MelParameters, mel_filters

CORRECTION_LIMIT = 5.0  # how far the network may move the log amplitude of a bin: no features make it explode
UPDATES = 3  # multiplicative ones, towards the mel amplitudes
MOMENTUM = 0.99  # of the refinements
REACHABLE = 0.8  # mean error of log mel amplitudes before refinement: 0.2 to 0.3 for music, 1.6 to 4 for noise
HANN_RATIO = 0.25645  # of a Hann window's length squared: the Gaussian window that is most like it
QUIET = 1e-7  # amplitude of an STFT bin, far below the floor of the features
SEED = 0  # of the phases where none can be predicted


@dataclass(frozen=True)
class Spectrum:
    """What the network believes of the STFT, each of shape (B, F, bins).

    `log_magnitude` is the logarithm of the amplitude. `turn` and `lean` are complex. Their angles are how far the
    phase moves from the frame before, beyond what the bin's centre frequency moves it, and from the bin below; phases
    are those at the middle of a frame. Their lengths, from 0 to 1, are how sure that is: the mean of unit vectors is
    as long as they agree.
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
    """A decoder that has learned how music sounds: ConvNeXt blocks at frame rate, a phase recursion, an inverse STFT.

    Deterministic. It ends with `refinements` iterations akin to fast Griffin-Lim (Perraudin et al. 2013). Matrices of
    the network are multiplied in `precision`.
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
        bias[[1, 3]] = 2.0  # the derivatives start as those of the amplitudes, nearly sure
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

        The network corrects the log amplitudes and, where they speak for a Gaussian window, the derivatives.
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

        `turns` are from 0 to 1. Each refinement keeps the phases that the wave has, run ahead by momentum, and moves
        its amplitudes only as far as the mel amplitudes (B, bands, F) ask: of the amplitudes behind them many sets are
        as good, and one that belongs to a wave is near. This comes closer than to insist on the network's. Noise as
        features is like no wave; to run after it would put a pulse into every frame, so it is let be.
        """
        magnitude = spectrum.log_magnitude.exp()
        wave = self.inverse(magnitude * add_up(magnitude, spectrum.turn, spectrum.lean, turns, self.mel))
        filters = torch.tensor(mel_filters(self.mel)).to(wave)
        target = mel_magnitude.clamp(min=self.mel.floor)
        zeal = previous = None
        for _ in range(self.refinements):
            consistent = self.stft(wave)
            amplitude = consistent.abs().transpose(1, 2)
            reached = (filters @ amplitude).clamp(min=torch.finfo(filters.dtype).tiny)
            error = (target / reached).log()
            if zeal is None:
                zeal = 1 / (1 + (error.abs().mean((1, 2), keepdim=True) / REACHABLE) ** 4)
            matched = match_bands(amplitude, reached * (zeal * error).exp(), self.mel, 1).transpose(1, 2)
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
        """What moves phases between the start and the middle of a frame (bins,): half a frame is half a turn a bin."""
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

    A bin guesses its phase from that of the frame before, a random one (`turns`, 0 to 1) coming in as far as that is
    not sure; then its neighbours vote with their own guesses, moved by `lean`, each with the weight of its amplitude.
    In training the gradient stays within a frame: how the phase got where it was does not matter.
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
        guess = kept[:, t] * phase.detach() + added[:, t]
        below = functional.pad(guess[:, :-1] * from_below[:, t], (1, 0))
        above = functional.pad(guess[:, 1:] * from_above[:, t], (0, 1))
        phase = torch.sgn(guess + below + above)
        phases.append(phase)
    return torch.stack(phases, 1)


def _within_circle(real: Tensor, imaginary: Tensor) -> Tensor:
    return torch.complex(real, imaginary) / (1 + real.square() + imaginary.square()).sqrt()

"""The log-mel codec: from waves to the features of a diffusion model, and back."""

import torch
from torch import Tensor, nn

from diffusion.audio.griffin_lim import GriffinLim
from diffusion.audio.mel import Decoder, MelParameters, magnitude_spectrogram, mel_filters

__all__ = ["Decoder", "LogMelCodec", "MelParameters"]


class LogMelCodec(nn.Module):
    """Waves (B, N) to features (B, 1, bands, N / hop_size) of about unit variance, and back through `decoder`."""

    filters: Tensor
    window: Tensor

    def __init__(self, mel: MelParameters | None = None, decoder: Decoder | None = None) -> None:
        super().__init__()
        self.mel = MelParameters() if mel is None else mel
        self.decoder: Decoder = GriffinLim(mel=self.mel) if decoder is None else decoder
        self.register_buffer("filters", torch.tensor(mel_filters(self.mel)), persistent=False)
        self.register_buffer("window", torch.hann_window(self.mel.fft_size), persistent=False)

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest value that `encode` gives (the floor), and one just above that of a full-scale sine."""
        return self.mel.bounds

    def encode(self, wave: Tensor) -> Tensor:
        """Differentiable log-mel features (B, 1, bands, N / hop_size) of waves (B, N).

        N is a multiple of hop_size (so that no sample is dropped or invented) and longer than the reflection at the
        ends, (fft_size - hop_size) / 2. Values are bounded below by the floor only: a wave beyond full scale may pass
        the upper bound.
        """
        p = self.mel
        if wave.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"wave must be float32 or float64, got {wave.dtype}")
        shortest = (p.fft_size - p.hop_size) // 2 // p.hop_size + 1
        if wave.ndim != 2 or wave.shape[1] % p.hop_size or wave.shape[1] < shortest * p.hop_size:
            raise ValueError(
                f"wave must have shape (B, N) with N a multiple of {p.hop_size} and at least "
                f"{shortest * p.hop_size}, got {tuple(wave.shape)}"
            )
        filters, window = self.filters.to(wave), self.window.to(wave)
        magnitude = filters @ magnitude_spectrogram(wave, window, p.hop_size)
        return ((magnitude.clamp(min=p.floor).log() - p.mean) / p.scale).unsqueeze(1)

    def decode(self, features: Tensor) -> Tensor:
        """Waves (B, F * hop_size) of features (B, 1, bands, F), which are clipped to `bounds` first.

        The wave is as loud as the features say; `loudness.finish` makes it a clip.
        """
        p = self.mel
        if features.ndim != 4 or features.shape[1:3] != (1, p.bands) or features.shape[3] < 1:
            raise ValueError(f"features must have shape (B, 1, {p.bands}, F), got {tuple(features.shape)}")
        if not torch.isfinite(features).all():
            raise ValueError("features must be finite, got NaN or infinity")
        return self.decoder((features[:, 0].clamp(*self.bounds) * p.scale + p.mean).exp())

"""The canvas: where a clip is seen."""

from __future__ import annotations

import numpy as np

from diffusion.audio.mel import MelParameters

NOTES_HZ = {f"C{octave}": 440 * 2 ** (octave - 4 - 9 / 12) for octave in range(2, 9)}


def notes(mel: MelParameters) -> str:
    """The frequency axis: where the Cs lie, as HTML."""
    centres = mel.frequencies_hz
    bands = {name: float(np.interp(hz, centres, np.arange(mel.bands))) for name, hz in NOTES_HZ.items()}
    marks = (
        f'<span style="bottom:{100 * (band + 0.5) / mel.bands:.2f}%"><i>{name}</i></span>'
        for name, band in bands.items()
    )
    return f'<div class="notes" aria-hidden="true">{"".join(marks)}</div>'

"""The label vocabularies. In tensors index 0 is "any" (no label): label i of "style" is STYLES[i - 1], and so on."""

STYLES: tuple[str, ...] = ("chorale", "madrigal", "quartet", "reel", "jig", "air")
ENSEMBLES: tuple[str, ...] = (
    "piano",
    "harpsichord",
    "organ",
    "accordion",
    "guitar",
    "marimba",
    "vibraphone",
    "strings",
    "flute",
    "reeds",
    "brass",
    "choir",
)
MODES: tuple[str, ...] = ("major", "minor")
TEMPI: tuple[str, ...] = ("slow", "medium", "fast")
KEYS: tuple[str, ...] = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
BEATS: tuple[str, ...] = tuple(str(round(60 * 2 ** ((i + 0.5) / 12))) for i in range(12))
"""Beats a minute, counted in halves or doubles until they lie between 60 and 120."""

LABELS: dict[str, tuple[str, ...]] = {
    "style": STYLES,
    "ensemble": ENSEMBLES,
    "mode": MODES,
    "tempo": TEMPI,
    "key": KEYS,
    "beat": BEATS,
}

GUIDED: tuple[str, ...] = ("style", "ensemble")
"""Guidance exaggerates the first of these labels that is chosen, given the others.

An ensemble is heard in every frame and needs no help, a style only over seconds; a push for both goes to the ensemble.
"""

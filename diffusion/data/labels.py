"""The label vocabularies. In tensors index 0 is "any" (no label): label i is STYLES[i - 1] or ENSEMBLES[i - 1]."""

STYLES: tuple[str, ...] = ("chorale", "fiddle", "quartet", "madrigal")
ENSEMBLES: tuple[str, ...] = ("piano", "organ", "harpsichord", "guitar", "strings", "choir", "flute", "music_box")

GUIDED: tuple[str, ...] = ("style", "ensemble")
"""Guidance exaggerates the first of these labels that is chosen, given the others.

An ensemble is heard in every frame and needs no help, a style only over seconds; a push for both goes to the ensemble.
"""

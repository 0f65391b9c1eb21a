"""The label vocabularies. In tensors index 0 is "any" (no label): label i is STYLES[i - 1] or ENSEMBLES[i - 1]."""

STYLES: tuple[str, ...] = ("chorale", "fiddle", "quartet", "madrigal")
ENSEMBLES: tuple[str, ...] = ("piano", "organ", "harpsichord", "guitar", "strings", "choir", "flute", "music_box")

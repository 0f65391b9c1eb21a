"""How players of each style play it: where its beats fall and how strongly, how evenly, how detached, how freely."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Practice:
    """Of every range a performance draws one value.

    `beat_q` is a beat in quarters; `accents` are added to the velocity of notes on a bar line, on another beat and
    between beats; `lilt` is how much of a beat the notes inside it come late; `held` how much of its written length a
    note sounds, `swell` the velocity by which phrases rise, `sway` the share by which the tempo wanders.
    """

    beat_q: float
    accents: tuple[float, float, float]
    lilt: Range
    held: Range
    swell: Range
    sway: Range


PRACTICES: dict[str, Practice] = {
    "chorale": Practice(1.0, (6, 1, -3), (0.0, 0.0), (0.92, 1.0), (2, 8), (0.003, 0.015)),
    # the words, not the bars, decide what is stressed, and lines rise and fall
    "madrigal": Practice(2.0, (2, 1, -1), (0.0, 0.0), (0.9, 1.0), (6, 16), (0.006, 0.02)),
    "quartet": Practice(1.0, (8, 2, -4), (0.0, 0.0), (0.6, 0.95), (6, 16), (0.003, 0.015)),
    # the second of two notes comes late and light
    "reel": Practice(1.0, (9, 5, -5), (0.02, 0.07), (0.8, 0.97), (0, 5), (0.002, 0.006)),
    # three to a beat, the first of them long
    "jig": Practice(1.5, (9, 6, -6), (0.03, 0.07), (0.75, 0.93), (0, 5), (0.002, 0.006)),
    "air": Practice(1.0, (5, 1, -2), (0.0, 0.02), (0.93, 1.0), (6, 14), (0.008, 0.03)),
}

"""The room in which a clip is composed: the canvas, the settings beside it, the takes and the race."""

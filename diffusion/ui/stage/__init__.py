"""The stage: the canvas alone, for a room to read from the last row."""

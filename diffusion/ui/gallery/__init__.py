"""The gallery: clips that start at once."""

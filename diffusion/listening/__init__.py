"""Blind listening: what a trial asks, its votes on disk, who leads and how sure that is."""

"""What generated clips are worth: a classifier that hears them, distances, statistics and a report."""

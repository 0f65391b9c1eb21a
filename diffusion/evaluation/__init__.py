"""How good generated clips are: a classifier, embeddings, distances, statistics and a report."""

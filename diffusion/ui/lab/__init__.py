"""The room in which the documents' experiments are played with."""

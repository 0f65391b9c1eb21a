"""Training that travels: packed into one folder, run on a borrowed machine without network, brought home in pieces."""

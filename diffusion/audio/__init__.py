"""Waves to log-mel features and back, loudness, and files. Knows nothing of diffusion."""

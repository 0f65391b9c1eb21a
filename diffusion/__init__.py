"""Out of Noise: a diffusion model that composes music out of noise, to be watched and heard."""

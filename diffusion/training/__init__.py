"""Training: one command for one CPU, one GPU or several, that stops and resumes without a trace."""

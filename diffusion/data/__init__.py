"""Public-domain scores, rendered by a synthesiser and stored as labelled log-mel features."""

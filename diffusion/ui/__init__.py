"""The page: what a visitor sees, hears and sets. No signal processing."""

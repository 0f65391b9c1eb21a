"""Hands on the music: the tools with which a visitor changes the clip on show, beneath its transport."""

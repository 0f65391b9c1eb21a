"""Properties are checked on fewer examples than usual, and never against a clock."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, max_examples=25)
settings.load_profile("steady")

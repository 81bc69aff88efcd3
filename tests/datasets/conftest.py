"""No timing is asserted here, and Hypothesis' deadline is one: a busy machine would fail."""

from hypothesis import settings

settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")

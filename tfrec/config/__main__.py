"""`python -m tfrec.config`: the page of all settings, as Markdown."""

from tfrec.config.reference import reference

print(reference(), end="")

"""Lanewise: train every candidate at once, lane by lane, and keep the one that wins."""

from lanewise._version import __version__

__all__ = ["__version__"]

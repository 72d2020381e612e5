"""Watches tests: ``_loopwatch_pytest`` loads it in the first run, or for the first test, that wants it."""

from .plugin import Plugin

__all__ = ["Plugin"]

"""Settings as a user gives them: each name with its default and two other values, and the ways to give them."""

from __future__ import annotations

from dataclasses import fields

from loopwatch.settings import PREFIX, Settings

DEFAULTS = {
    "threshold": 0.05,
    "executor_wait": 0.05,
    "reporters": None,
    "prometheus": "auto",
    "own_code": (),
    "repeat_interval": 60.0,
    "queue_size": 1000,
    "max_sites": 32,
    "exact_uvloop": "auto",
}
NAMES = list(DEFAULTS)


def report(event: object) -> None:
    """A reporter."""


CHOICES: dict[str, tuple[object, str, object]] = {
    "exact_uvloop": (True, "false", False),
    # an argument, and a text of the environment with another value
    "threshold": (0.2, "0.3", 0.3),
    "executor_wait": (0.2, "3", 3.0),
    "reporters": ((report,), "log, jsonl:/tmp/events.jsonl", ("log", "jsonl:/tmp/events.jsonl")),
    "prometheus": (False, "on", True),
    "own_code": (("shop",), "shop.views, stock", ("shop.views", "stock")),
    "repeat_interval": (1.0, "0", 0.0),
    "queue_size": (5, "6", 6),
    "max_sites": (7, "8", 8),
}


def resolve(**given: object) -> Settings:
    return Settings.resolve(given, {})


def from_environment(**environ: str) -> Settings:
    return Settings.resolve({}, environ)


def variable(name: str) -> str:
    return PREFIX + name.upper()


def all_settings() -> list[str]:
    """What a user may choose; the one field more says which of it came from the environment."""
    return [entry.name for entry in fields(Settings) if entry.name != "in_environment"]

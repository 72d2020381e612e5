"""loopwatch tells why an async service is slow: what held the loop, what waited for a pool, and who is to blame.

PYTEST_DONT_REWRITE: there are no assertions, and pytest would warn where this is imported before it begins.
"""

from ._version import __version__
from .errors import (
    AlreadyInstalled,
    Blocked,
    LoopwatchError,
    MissingExtra,
    NothingMeasured,
    NotInstalled,
    SelfCheckFailed,
    SettingsError,
)
from .model import Backlog, Frame, Offload, Snapshot, Stall
from .report.jsonl import JsonLinesReporter
from .report.log import LogReporter
from .watch import Watch, current, install, uninstall

__all__ = [
    "AlreadyInstalled",
    "Backlog",
    "Blocked",
    "Frame",
    "JsonLinesReporter",
    "LogReporter",
    "LoopwatchError",
    "MissingExtra",
    "NotInstalled",
    "NothingMeasured",
    "Offload",
    "SelfCheckFailed",
    "SettingsError",
    "Snapshot",
    "Stall",
    "Watch",
    "__version__",
    "current",
    "install",
    "uninstall",
]

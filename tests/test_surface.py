"""What ``import loopwatch`` gives, and that it does nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import loopwatch
from loopwatch import errors
from tests.programs import run

ROOT = Path(__file__).resolve().parent.parent

SURFACE = {
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
}

# Run in an interpreter of its own, where nobody has imported loopwatch before. Prints a line for
# each thing that the import changed.
LOOK_AROUND = """
import asyncio, asyncio.base_events, asyncio.events, asyncio.selector_events
import concurrent.futures, concurrent.futures.process, concurrent.futures.thread
import gc, logging, os, signal, sys, threading

OWNERS = [
    asyncio.events.Handle, asyncio.events.TimerHandle, asyncio.base_events.BaseEventLoop,
    asyncio.selector_events.BaseSelectorEventLoop, asyncio.Future, asyncio.Task,
    concurrent.futures.Executor, concurrent.futures.Future,
    concurrent.futures.thread.ThreadPoolExecutor, concurrent.futures.process.ProcessPoolExecutor,
    threading.Thread, asyncio, asyncio.events, asyncio.base_events, threading, sys, os, signal, gc,
]

def look():
    seen = {(repr(owner), name): id(value) for owner in OWNERS for name, value in vars(owner).items()}
    seen["threads"] = [thread.ident for thread in threading.enumerate()]
    seen["gc.callbacks"] = list(gc.callbacks)
    seen["tracing"] = (sys.gettrace(), sys.getprofile(), sys.getswitchinterval())
    seen["signals"] = [signal.getsignal(number) for number in sorted(signal.valid_signals())]
    seen["logging"] = (list(logging.root.handlers), list(logging.getLogger("loopwatch").handlers))
    seen["environment"] = dict(os.environ)
    return seen

before = look()
import loopwatch
after = look()
for key in before.keys() | after.keys():
    if before.get(key) != after.get(key):
        print("changed:", key)
for name in ("anyio", "opentelemetry", "prometheus_client", "pytest"):
    if name in sys.modules:
        print("imported:", name)
if loopwatch.current() is not None:
    print("a watch is installed")
print("looked")
"""


def test_all_is_the_promised_surface() -> None:
    """The public names are those promised: none is missing, and none was added by accident."""
    assert set(loopwatch.__all__) == SURFACE
    assert len(loopwatch.__all__) == len(SURFACE)


def test_every_public_name_is_in_all() -> None:
    """What can be reached without an underscore is exported on purpose; modules and ``annotations`` aside."""
    public = {
        name
        for name, value in vars(loopwatch).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    }
    assert public | {"__version__"} == SURFACE


def test_every_error_can_be_caught_by_its_public_name() -> None:
    """What loopwatch raises on purpose is part of the surface."""
    assert set(errors.__all__) <= set(loopwatch.__all__)
    for name in errors.__all__:
        assert getattr(loopwatch, name) is getattr(errors, name)


def test_the_version_is_one_that_packages_may_have() -> None:
    """The version has three numbers and maybe a suffix."""
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?(\.dev\d+)?", loopwatch.__version__)


def test_importing_does_nothing() -> None:
    """The import patches nothing, starts no thread, warns of nothing and imports no optional library."""
    done = run(LOOK_AROUND)
    assert (done.stdout, done.stderr, done.returncode) == ("looked\n", "", 0)


def test_importing_does_not_judge_the_environment() -> None:
    """A wrong LOOPWATCH_* variable is told by install(), never by the import."""
    done = run("import loopwatch; print('imported')", LOOPWATCH_THRESHOLD="soon", LOOPWATCH_NO_SUCH_SETTING="1")
    assert (done.stdout, done.stderr, done.returncode) == ("imported\n", "", 0)

"""Beside other tools that look for what blocks: both do their work, whoever comes first and whoever goes first.

The tools are those of ``docs/coming-from``; they are installed in the development environment alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.beside_a_tool import TOOLS
from tests.conftest import is_missing
from tests.programs import ROOT

if is_missing("mypy"):
    pytest.skip("the other tools are in the development environment", allow_module_level=True)

pytestmark = pytest.mark.realtime

_SCENES: dict[str, list[dict[str, Any]]] = {}


def scenes(tool: str) -> list[dict[str, Any]]:
    """Played once for all tests, in a process of its own: not all of them can be taken out again."""
    if tool not in _SCENES:
        done = subprocess.run(
            [sys.executable, "-m", "tests.beside_a_tool", tool], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        _SCENES[tool] = json.loads(done.stdout)
    return _SCENES[tool]


every_tool = pytest.mark.parametrize(
    "tool", [pytest.param(name, marks=[] if name == "asyncio" else pytest.mark.needs(name)) for name in TOOLS]
)


@every_tool
def test_both_tell_of_the_same_work(tool: str) -> None:
    """Whichever of them was there first."""
    for scene in scenes(tool):
        assert scene["together"]["ours"], scene
        assert scene["together"]["theirs"], scene


@every_tool
def test_the_one_that_stays_goes_on_to_tell(tool: str) -> None:
    """And the one that went says nothing any more."""
    for scene in scenes(tool):
        stays = "theirs" if scene["gone"] == "ours" else "ours"
        assert scene["alone"][stays], scene
        assert not scene["alone"][scene["gone"]], scene


@every_tool
def test_all_is_as_it_was(tool: str) -> None:
    """Where the other tool can be taken out; the one that cannot has its own in place, and we have nothing."""
    scene = scenes(tool)
    assert all(each["as_it_was"] for each in scene) is (tool != "aiodebug"), scene


@every_tool
def test_what_stands_in_the_place_of_a_call_changes_neither_cause_nor_remedy(tool: str) -> None:
    """Some tools put a function of their own around ``time.sleep``: what is said of the call is said all the same."""
    told = [each for scene in scenes(tool) for part in ("together", "alone") for each in scene[part]["ours"]]
    assert {each["cause"] for each in told} == {"wait"}, told
    slept = [each for each in told if each["function"] == "hold"]
    assert slept
    assert {each["remedy"] for each in slept} == {"Use `await asyncio.sleep(...)` instead of time.sleep()."}, slept


REFUSED = """
import asyncio, json, threading, time
from blockbuster import BlockBuster, BlockingError
import loopwatch
from tests.beside_a_tool import in_place

blockbuster = BlockBuster()
before = in_place()

async def main(call, hold=0.0):
    time.sleep(hold)
    blockbuster.activate()
    try:
        call()
    except BlockingError:
        return True
    else:
        return False
    finally:
        blockbuster.deactivate()

refused = [asyncio.run(main(loopwatch.install))]
gone = [loopwatch.current() is None and in_place() == before]
for serves in (False, True):
    told = []
    watch = loopwatch.install(prometheus=serves, reporters=[told.append])
    if serves:
        watch.serve_metrics(0)
    time.sleep(0.01)
    refused.append(asyncio.run(main(loopwatch.uninstall, 0.12)))
    gone.append(loopwatch.current() is None and in_place() == before)
    deadline = time.monotonic() + 30
    while threading.active_count() > 1 and time.monotonic() < deadline:
        time.sleep(0.01)  # a join that was refused has told threading, up to 3.12, that its thread is over
    gone.append(threading.active_count() == 1 and [each.cause for each in told] == ["wait"])
with loopwatch.install(prometheus=False):
    asyncio.run(asyncio.sleep(0))
print(json.dumps([refused, gone, in_place() == before]))
"""


NOT_AWAITED = """
import asyncio, json, threading, time
from blockbuster import BlockBuster
import loopwatch

blockbuster = BlockBuster()
told = []

async def main(watch):
    time.sleep(0.12)
    blockbuster.activate()
    try:
        return [watch.flush(), watch.flush()]
    finally:
        blockbuster.deactivate()

with loopwatch.install(prometheus=False, reporters=[told.append]) as watch:
    flushed = asyncio.run(main(watch))
    deadline = time.monotonic() + 30
    while not told and time.monotonic() < deadline:
        time.sleep(0.01)
    causes = [each.cause for each in told]
    flushed.append(watch.flush(30))
print(json.dumps([flushed, causes]))
"""


@pytest.mark.needs("blockbuster")
def test_a_flush_that_blockbuster_does_not_let_wait_says_no() -> None:
    """It raises nothing into the application, says so once, and what there is to tell is told all the same."""
    done = subprocess.run(
        [sys.executable, "-c", NOT_AWAITED], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[False, False, True], ["wait"]]
    assert done.stderr.count("loopwatch: flush() could not wait (BlockingError: ") == 1, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.needs("blockbuster")
def test_what_blockbuster_refuses_leaves_nothing_behind() -> None:
    """Where it was not told to let us: the way in raises; on the way out all hooks and threads end, and all is told."""
    done = subprocess.run(
        [sys.executable, "-c", REFUSED], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[True, False, False], [True] * 5, True]
    assert done.stderr.count("uninstall() could not go on (BlockingError: ") == 2
    assert "Traceback" not in done.stderr

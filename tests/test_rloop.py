"""A loop written in Rust has a heartbeat: what holds it is found, whether it was imported before the watch or after."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.holding import HELD, SLACK, line

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [pytest.mark.realtime, pytest.mark.needs("rloop")]

# In a process of its own: rloop closes its sockets by forgetting them, which is a warning, and an error here.
PROGRAM = """
import asyncio, json, socket, sys, time
import loopwatch
from loopwatch.testing import RecordingReporter

def block():
    time.sleep(0.4)  # held: block

async def in_a_task():
    await asyncio.sleep(0.2)
    block()

def in_a_reader(loop):
    ours, theirs = socket.socketpair()
    def readable():
        loop.remove_reader(ours.fileno())
        block()
    loop.add_reader(ours.fileno(), readable)
    theirs.send(b"x")
    return ours, theirs

async def main():
    loop = asyncio.get_running_loop()
    await asyncio.create_task(in_a_task(), name="the task")
    await asyncio.sleep(0.2)
    loop.call_later(0.01, block)
    await asyncio.sleep(0.2)
    pair = in_a_reader(loop)
    await asyncio.sleep(0.2)

def covered():
    entries = [each for each in watch.snapshot().coverage if "rloop" in each.subject]
    return [[each.subject, each.seen, each.detail.partition(":")[0]] for each in entries]

if sys.argv[1] == "before":
    import rloop.loop
    before = rloop.loop._set_running_loop
events = RecordingReporter()
with loopwatch.install(threshold=0.1, reporters=[events], prometheus=False) as watch:
    early = covered()
    import rloop.loop
    loop = rloop.new_event_loop()
    loop.run_until_complete(main())
    watch.flush(10)
    late = covered()
    loop.close()
    faults = list(map(repr, watch._faults))
left = sys.argv[1] == "before" and rloop.loop._set_running_loop is not before
print(json.dumps([early, late, [each.to_dict() for each in events.stalls], faults, left]))
"""


@pytest.mark.parametrize("imported", ["before", "after"])
def test_what_holds_it_is_found(imported: str, tmp_path: Path) -> None:
    """In a task, a timer and a reader, timed from the beat that was kept waiting; the coverage says so throughout."""
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(file), imported], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    early, late, stalls, faults, left = json.loads(done.stdout)
    assert early == ([["loops of rloop", "partial", "none of them has run yet"]] if imported == "before" else [])
    assert late == [["loops of rloop.loop.RLoop", "partial", "a heartbeat tells when they are held"]]
    found = [stall for stall in stalls if stall["culprit"] and stall["culprit"]["line"] == line("block", str(file))]
    assert len(found) == 3 and "the task" in [stall["task"] for stall in found]
    for stall in found:
        assert (stall["loop"], stall["cause"], stall["evidence"]["call"]) == ("main", "wait", "time.sleep")
        assert stall["evidence"]["exact"] is False
        assert HELD - stall["evidence"]["within_seconds"] - 0.01 <= stall["duration"] <= HELD + SLACK
    assert (faults, left) == ([], False)

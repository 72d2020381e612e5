"""Real servers and programs on asyncio and uvloop: the line that blocks is told, and all ends as it would unwatched."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.holding import HELD, SLACK, line

ROOT = Path(__file__).resolve().parent.parent
APPLICATION = str(ROOT / "tests" / "serving.py")
PATIENCE = 60.0

pytestmark = [pytest.mark.realtime, pytest.mark.timeout(PATIENCE + 60)]

UVICORN = ["uvicorn", "tests.serving:app", "--host", "127.0.0.1", "--port", "0", "--lifespan", "on"]
GUNICORN = ["gunicorn", "tests.serving:app", "--bind", "127.0.0.1:0", "--workers", "1", "--worker-class"]
GUNICORN += ["uvicorn_worker.UvicornWorker", "--graceful-timeout", "10"]


STOP = {"uvicorn": "SIGINT", "gunicorn": "SIGTERM"}
"""By what each is ended in good order. At SIGINT gunicorn sends its worker what that does not heed, watched or not."""


def server(name: str, loop: str, command: list[str], *modules: str) -> Any:
    needed = [module for module in ("uvicorn", *modules, loop) if module != "asyncio"]
    return pytest.param(loop, command, id=name, marks=pytest.mark.needs(*needed))


SERVERS = [
    server("uvicorn-asyncio", "asyncio", [*UVICORN, "--loop", "asyncio"]),
    server("uvicorn-uvloop", "uvloop", [*UVICORN, "--loop", "uvloop"]),
    server("gunicorn", "uvloop", GUNICORN, "gunicorn", "uvicorn_worker"),
    server("gunicorn-preload", "uvloop", [*GUNICORN, "--preload"], "gunicorn", "uvicorn_worker"),
]


def surroundings(events: Path) -> dict[str, str]:
    """``HOME`` is where gunicorn puts a socket of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOOPWATCH_")}
    settings = {"THRESHOLD": "0.1", "REPORTERS": f"jsonl:{events}", "PROMETHEUS": "false"}
    return {**inherited, "HOME": str(events.parent), **{f"LOOPWATCH_{name}": value for name, value in settings.items()}}


@contextmanager
def running(command: list[str], events: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m`` something, which is gone afterwards, whatever the test has found."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=surroundings(events),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens, as it says itself: the system has chosen the port."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return found[0]
        time.sleep(0.02)
    raise AssertionError(f"it does not listen: {log.read_text()}")


def get(url: str) -> dict[str, str]:
    with urlopen(url, timeout=PATIENCE) as answer:
        told: dict[str, str] = json.load(answer)
    return told


def stalls_at(place: int, file: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stalls for which a line is charged, as told at their end."""
    ended = [event for event in events if event["event"] == "stall" and not event["in_progress"]]
    charged = [event for event in ended if event["culprit"] is not None]
    return [event for event in charged if (event["culprit"]["file"], event["culprit"]["line"]) == (file, place)]


def assert_held_as_long_as_meant(stall: dict[str, Any]) -> None:
    give = stall["evidence"].get("within_seconds") or 0.0
    assert give <= SLACK and HELD - 0.002 - give <= stall["duration"] <= HELD + SLACK + give
    assert (stall["cause"], stall["kind"], stall["evidence"]["call"]) == ("wait", "step", "time.sleep")


def assert_covered(coverage: dict[str, str], loop: str) -> None:
    """Nothing is blind, asyncio is exact, and uvloop is spoken of where it is used."""
    assert "blind" not in coverage.values()
    assert coverage["asyncio loops"] == "exact"
    told = {subject: seen for subject, seen in coverage.items() if "uvloop" in subject}
    assert set(told) == ({"loops of uvloop.Loop"} if loop == "uvloop" else set())
    assert set(told.values()) <= {"partial", "exact"}


@pytest.mark.skipif(os.name != "posix", reason="gunicorn and signals are POSIX")
@pytest.mark.parametrize(("loop", "command"), SERVERS)
def test_a_server_tells_which_line_of_a_route_blocks(loop: str, command: list[str], tmp_path: Path) -> None:
    """Once, and for as long; the coverage is right, and at its end the server says nothing and exits with 0."""
    events, log = tmp_path / "events.jsonl", tmp_path / "log"
    with running(command, events, log) as process:
        url = address(process, log)
        coverage = get(url + "/")
        get(url + "/block")
        get(url + "/")
        process.send_signal(signal.Signals[STOP[command[0]]])
        assert process.wait(PATIENCE) == 0
    assert_covered(coverage, loop)
    told = [json.loads(text) for text in events.read_text().splitlines()]
    (stall,) = stalls_at(line("route", APPLICATION), APPLICATION, told)
    assert (stall["culprit"]["function"], stall["loop"]) == ("app", "main")
    assert_held_as_long_as_meant(stall)
    assert [text for text in log.read_text().splitlines() if "INFO" not in text] == []


PROGRAM = """
import asyncio, json, sys, threading, time, warnings
import loopwatch
from loopwatch.testing import RecordingReporter

warnings.simplefilter("ignore", DeprecationWarning)  # uvloop.install(), and policies
events = RecordingReporter()

def watch():
    return loopwatch.install(threshold=0.1, reporters=[events], prometheus=False)

async def main():
    await asyncio.sleep(0.2)
    time.sleep(0.4)  # held: program
    await asyncio.sleep(0.05)

BODY

watch.flush(10)
coverage = {each.subject: each.seen for each in watch.snapshot().coverage}
loops = sorted({each.name for each in watch.snapshot().loops})
watch.uninstall()
faults = list(map(repr, watch._faults))
left = sorted({"run_forever", "close"} & set(vars(uvloop.Loop)))
print(json.dumps([[each.to_dict() for each in events.stalls], coverage, loops, faults, left]))
"""

BODIES = {
    "uvloop.run": """
import uvloop
watch = watch()
uvloop.run(main())
""",
    "uvloop.install before ours": """
import uvloop
uvloop.install()
watch = watch()
asyncio.run(main())
""",
    "uvloop.install after ours": """
watch = watch()
import uvloop
uvloop.install()
asyncio.run(main())
""",
    "a loop in each of three threads": """
import uvloop
watch = watch()
threads = [threading.Thread(target=lambda: uvloop.run(main()), name=f"loop {n}") for n in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
""",
    "loops closed and made": """
import uvloop
watch = watch()
for _ in range(20):
    loop = uvloop.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert loop.is_closed()
loop = uvloop.new_event_loop()
loop.run_until_complete(main())
loop.close()
loop.close()
""",
}


@pytest.mark.needs("uvloop")
@pytest.mark.parametrize("way", BODIES)
def test_a_program_on_uvloop_tells_which_line_blocks(way: str, tmp_path: Path) -> None:
    """However it comes to its loops: each stall once, the coverage is right, and nothing is left in uvloop's class."""
    file = tmp_path / "program.py"
    file.write_text(PROGRAM.replace("BODY", BODIES[way]))
    done = subprocess.run(
        [sys.executable, str(file)], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    events, coverage, loops, faults, left = json.loads(done.stdout)
    names = [f"loop {number}" for number in range(3)] if "threads" in way else ["main"]
    stalls = stalls_at(line("program", str(file)), str(file), events)
    assert sorted(stall["loop"] for stall in stalls) == names == loops
    for stall in stalls:
        assert_held_as_long_as_meant(stall)
    assert_covered(coverage, "uvloop")
    assert (faults, left) == ([], [])

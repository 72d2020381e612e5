"""Backlogs and offloads as a person reads them: which pool, because of whom, who waited, and what the workers did."""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loopwatch.model import Frame, Holder, Submitter
from loopwatch.report.text import headline, render, retell
from tests.made_events import backlog, frame, library, offload, source, text


@pytest.fixture
def views(tmp_path: Path) -> Iterator[Path]:
    """A source file with the lines that the frames below stand at."""
    yield source(tmp_path)
    linecache.clearcache()


# --- backlogs ---


BACKLOGS: dict[str, tuple[dict[str, Any], str]] = {
    "ended": (
        {},
        "Thread pool 'database' (3 workers) had no free worker for 2.07 s because of shop.db.Database._request:54; "
        "40 jobs waited, up to 9 at a time, 471 ms at most.",
    ),
    "in progress": (
        {"in_progress": True, "duration": 0.511},
        "Thread pool 'database' (3 workers) has had no free worker for 511 ms so far because of "
        "shop.db.Database._request:54; 40 jobs waited, up to 9 at a time, 471 ms at most.",
    ),
    "with the caller, as it is charged": (
        {"charged_site": "shop.db.Database._request:54 from shop.views.order:20", "jobs": 1, "depth": 1},
        "Thread pool 'database' (3 workers) had no free worker for 2.07 s because of "
        "shop.db.Database._request:54 from shop.views.order:20; 1 job waited 471 ms.",
    ),
    "one worker, one job": (
        {"workers": 1, "jobs": 1, "depth": 1, "waited": 0.2, "duration": 0.2},
        "Thread pool 'database' (1 worker) had no free worker for 200 ms because of shop.db.Database._request:54; "
        "1 job waited 200 ms.",
    ),
    "all at once": (
        {"jobs": 24, "depth": 24},
        "Thread pool 'database' (3 workers) had no free worker for 2.07 s because of shop.db.Database._request:54; "
        "24 jobs waited, 471 ms at most.",
    ),
    "nothing but the pool": (
        {"culprit": None, "jobs": 0, "depth": 0, "workers": 0},
        "Thread pool 'database' had no free worker for 2.07 s.",
    ),
    "no own code, but a target": (
        {"culprit": None, "holders": (Holder("w", "x:1", "time.sleep", 0.1, ()),)},
        "Thread pool 'database' (3 workers) had no free worker for 2.07 s because of time.sleep; "
        "40 jobs waited, up to 9 at a time, 471 ms at most.",
    ),
    "held by no job": (
        {"culprit": None, "executor": "anyio:shop.upload", "evidence": {"held_directly": 2}},
        "AnyIO's limiter 'shop.upload' (3 workers) had no free worker for 2.07 s because the application itself held "
        "2 workers; 40 jobs waited, up to 9 at a time, 471 ms at most.",
    ),
    "a process pool": (
        {"executor": "ProcessPoolExecutor", "workers": 4, "evidence": {"kind": "process"}, "jobs": 0},
        "Process pool 'ProcessPoolExecutor' (4 workers) had no free worker for 2.07 s because of "
        "shop.db.Database._request:54.",
    ),
    "AnyIO's own limit": (
        {"executor": "anyio", "workers": 40, "jobs": 0},
        "AnyIO's thread pool (40 workers) had no free worker for 2.07 s because of shop.db.Database._request:54.",
    ),
    "a limiter of AnyIO": (
        {"executor": "anyio:shop.upload", "workers": 5, "jobs": 0},
        "AnyIO's limiter 'shop.upload' (5 workers) had no free worker for 2.07 s because of "
        "shop.db.Database._request:54.",
    ),
    "a deadlock": (
        {"self_deadlock": True, "in_progress": True},
        "Thread pool 'database' (3 workers) has been in a deadlock with itself for 2.07 s so far because of "
        "shop.db.Database._request:54: its workers wait for jobs that wait for these workers.",
    ),
    "a deadlock that ended": (
        {"self_deadlock": True, "culprit": None},
        "Thread pool 'database' (3 workers) was in a deadlock with itself for 2.07 s: "
        "its workers waited for jobs that waited for these workers.",
    ),
}


@pytest.mark.parametrize(("changes", "line"), BACKLOGS.values(), ids=BACKLOGS)
def test_the_first_line_of_a_backlog_is_a_sentence(changes: dict[str, Any], line: str) -> None:
    """It says which pool was full, for how long, because of whom, and who waited."""
    assert headline(backlog(**changes)) == line


BOOTSTRAP = (
    frame("Thread._bootstrap", 1002, "/lib/threading.py", "threading"),
    frame("_worker", 83, "/lib/concurrent/futures/thread.py", "concurrent.futures.thread"),
)


def holder(number: int, *stack: Frame, target: str = "shop.db.Database._send", ran: float = 0.07) -> Holder:
    return Holder(f"database_{number}", "shop.db.Database._request:54", target, ran, (*BOOTSTRAP, *stack))


def test_a_backlog_is_told_whole(views: Path) -> None:
    """After the sentence: who waited, what the workers did, each picture once and without the pool's own frames."""
    sends = (frame("Database._send", 6, views, "shop.db"), frame("recv", 9, "/lib/socket.py", "socket"))
    locked = (frame("Database._send", 10, views, "shop.db"),)
    event = backlog(
        submitters=(
            Submitter("shop.db.Database._request:54", 38, 2.04, 0.93),
            Submitter("shop.jobs.tick:7", 2, 0.15, 0.07),
        ),
        holders=(holder(0, *sends), holder(1, *locked, ran=1.5), holder(2, *sends, ran=0.2)),
        remedy="Use a native client.",
    )
    assert render(event).splitlines()[1:] == [
        "  Who waited:",
        "     93% shop.db.Database._request:54 (38 jobs, 2.04 s)",
        "      7% shop.jobs.tick:7 (2 jobs, 150 ms)",
        "  2 workers had been running shop.db.Database._send for up to 200 ms:",
        f'    File "{views}", line 6, in Database._send',
        "        price(item)",
        '    File "/lib/socket.py", line 9, in recv',
        "  Worker 'database_1' had been running shop.db.Database._send for 1.5 s:",
        f'    File "{views}", line 10, in Database._send',
        "        time.sleep(0.35)    # a tab",
        "  Remedy: Use a native client.",
    ]


def test_who_is_in_the_first_line_is_not_told_again() -> None:
    """Where all that waited came from the one who is charged, there is no more to say of it."""
    alone = Submitter("shop.db.Database._request:54", 40, 2.04, 1.0)
    assert render(backlog(submitters=(alone,))) == headline(backlog())
    charged = "shop.db.Database._request:54 from shop.views.order:20"
    assert len(render(backlog(submitters=(alone,), charged_site=charged)).splitlines()) == 3


def test_a_crowd_of_submitters_and_holders_is_cut_short() -> None:
    """Three sites and three pictures, those of the most workers first; the number of further sites is told."""
    places = [frame(f"f{number}", number, module="shop.db") for number in range(9)]
    event = backlog(
        submitters=tuple(Submitter(f"site:{number}", 1, 0.1, 0.2) for number in range(5)),
        holders=tuple(holder(number, places[min(number, 6)]) for number in range(9)),
    )
    lines = render(event).splitlines()
    assert [line for line in lines if "site" in line] == [
        "     20% site:0 (1 job, 100 ms)",
        "     20% site:1 (1 job, 100 ms)",
        "     20% site:2 (1 job, 100 ms)",
        "    and 2 sites more",
    ]
    assert [line.partition(" had")[0] for line in lines if " had been running " in line] == [
        "  3 workers",
        "  Worker 'database_0'",
        "  Worker 'database_1'",
    ]


def test_a_job_of_c_shows_no_frames_of_the_pool() -> None:
    """There is nothing to see of ``time.sleep`` but what the pool runs around it."""
    lines = render(backlog(holders=(holder(0, target="time.sleep"),))).splitlines()
    assert lines[1:] == ["  Worker 'database_0' had been running time.sleep for 70 ms"]


def test_a_stack_begins_with_what_was_handed_over() -> None:
    """What a framework runs around the function in the worker is left out as well."""
    carrier, send = frame("SyncToAsync.thread_handler", 500, module="asgiref.sync"), frame("send", 3, module="shop.db")
    lines = render(backlog(holders=(holder(0, carrier, send, target="shop.db.send"),))).splitlines()
    assert [line.rpartition(" in ")[2] for line in lines if "File" in line] == ["send"]


def test_a_holder_shows_the_own_code_and_where_it_waits() -> None:
    """What lies between is told by the names of its packages."""
    sends = [library(f"{name}.api") for name in ("requests", "requests", "urllib3", "urllib3")]
    recv = frame("SocketIO.readinto", 706, "/lib/socket.py", "socket")
    lines = render(backlog(holders=(holder(0, frame("Database._send", 59, module="shop.db"), *sends, recv),)))
    assert [line for line in lines.splitlines()[2:] if "left" not in line] == [
        '    File "/srv/shop/views.py", line 59, in Database._send',
        '    File "/srv/lib/site-packages/requests/api.py", line 1, in call',
        "    ... 2 times in a row",
        "    ... 2 frames of urllib3",
        '    File "/lib/socket.py", line 706, in SocketIO.readinto',
    ]


def test_a_worker_in_another_process_has_no_name() -> None:
    """Process pools are seen from outside."""
    outside = Holder("worker of ProcessPoolExecutor", "x:1", "shop.render", 1.2, ())
    assert render(backlog(holders=(outside,))).splitlines()[1:] == ["  1 worker had been running shop.render for 1.2 s"]
    assert render(backlog(holders=(outside, outside))).splitlines()[1:] == [
        "  2 workers had been running shop.render for up to 1.2 s"
    ]


def test_a_pool_that_is_gone_is_not_given_another_remedy() -> None:
    """Its number of workers went with it; what was advised before still holds."""
    ended = backlog(workers=0, remedy="Give the pool more workers.")
    assert "Remedy" not in retell(ended, "Give the pool more than 2 workers.")
    assert "Remedy" in retell(backlog(remedy="Another."), "Give the pool more than 2 workers.")


# --- offloads ---


def test_an_offload_is_told_whole(views: Path) -> None:
    """The wrapper, what it cost, whom it cost how much, and the two places in the code."""
    event = offload(
        wrapper=frame("Database._request", 10, views, "shop.db"),
        caller=frame("order", 6, views),
        share=0.934,
        remedy="Replace it by a native async client.",
    )
    spent = "15 jobs in thread pool 'database' (3 workers) waited 2.35 s for the network and computed 16.2 ms"
    assert render(event) == text(
        f"""
        shop.db.Database._request:54 from shop.views.order:20 is simulated async, a thread pool in disguise: {spent}.
          Before that they waited 4.24 s for a free worker.
          Together that is 93% of the time of the tasks that called it.
          It ran shop.db.Database._send, handed over here:
            File "{views}", line 6, in order
                price(item)
          > File "{views}", line 10, in Database._request
                time.sleep(0.35)    # a tab
          Remedy: Replace it by a native async client.
        """
    )


def test_a_share_without_a_queue_stands_for_itself() -> None:
    """Jobs that found a free worker have nothing to be added to."""
    lines = render(offload(share=0.5, wait_seconds=0.0)).splitlines()
    assert lines[1] == "  That is 50% of the time of the tasks that called it."


def test_a_task_that_is_nothing_but_the_hand_over_is_said_to_be_one() -> None:
    """Nobody knows who made it, and no line is shown that did not."""
    lines = render(offload(evidence={"way": "asyncio.to_thread"}, wait_seconds=0.0)).splitlines()
    said = "  Who asked for it is not known: the loop ran asyncio.to_thread as a task of its own."
    assert said in lines and not any("It ran" in line for line in lines)


OFFLOADS: dict[str, tuple[dict[str, Any], str]] = {
    "sleep": (
        {"site": "x:1", "evidence": {"waited_for": "sleep"}},
        "x:1 is simulated async, a thread pool in disguise: 15 jobs in thread pool 'database' (3 workers) "
        "slept 2.35 s and computed 16.2 ms.",
    ),
    "one job, without any evidence": (
        {"site": "x:1", "jobs": 1, "evidence": {}, "workers": 0},
        "x:1 is simulated async, a thread pool in disguise: 1 job in thread pool 'database' "
        "waited 2.35 s and computed 16.2 ms.",
    ),
    "no clock of the workers": (
        {"site": "x:1", "cpu_seconds": None, "executor": "anyio", "workers": 40},
        "x:1 is simulated async, a thread pool in disguise: 15 jobs in AnyIO's thread pool (40 workers) took 2.37 s.",
    ),
    "own code, without a wrapper between": (
        {"site": "x:1", "evidence": {"openly": True}, "workers": 0},
        "x:1 is simulated async, blocking calls in threads: 15 jobs in thread pool 'database' "
        "waited 2.35 s and computed 16.2 ms.",
    ),
    "nobody known who asked for it": (
        {"site": "asyncio.to_thread(time.sleep)", "verdict": "offload", "evidence": {"waited_for": "sleep"}},
        "Blocking calls in threads: asyncio.to_thread(time.sleep) ran 15 jobs in thread pool 'database' (3 workers), "
        "which slept 2.35 s and computed 16.2 ms.",
    ),
    "another verdict": (
        {
            "site": "x:1",
            "verdict": "cpu offload",
            "cause": "unknown",
            "cpu_seconds": 2.366,
            "evidence": {},
            "workers": 1 << 30,
        },
        "Cpu offload: x:1 ran 15 jobs in thread pool 'database', which waited 0 ms and computed 2.37 s.",
    ),
}


@pytest.mark.parametrize(("changes", "line"), OFFLOADS.values(), ids=OFFLOADS)
def test_the_first_line_of_an_offload_is_a_sentence(changes: dict[str, Any], line: str) -> None:
    """It says which site, what it is, and what its workers did instead of computing."""
    assert headline(offload(**changes)) == line

"""Whose a race is that ThreadSanitizer tells of."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"

THEIRS = "    #0 set_result Modules/_asynciomodule.c:483 (python3.13t+0x1)"
OURS = """    #0 Py_INCREF /usr/include/object.h:9 (_steps_c.so+0x1)
    #1 held_in loopwatch/observe/stopwatch/shared.h:8 (_steps_c.so+0x1)
    #2 get_object loopwatch/observe/stopwatch/fields.c:7 (_steps_c.so+0x1)"""
CALLS_OURS = THEIRS + "\n    #1 begin loopwatch/observe/jobs/begin.c:8 (_jobs_c.so+0x1)"


@pytest.fixture
def thread_sanitizer(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("thread_sanitizer")


def race(first: str, second: str) -> str:
    line = "=" * 18
    return f"""{line}
WARNING: ThreadSanitizer: data race (pid=1)
  Write of size 8 at 0x1 by thread T1:
{first}

  Previous atomic read of size 8 at 0x1 by thread T2:
{second}

  Thread T1 (tid=3, running) created by main thread at:
{OURS}

SUMMARY: ThreadSanitizer: data race
{line}
"""


@pytest.mark.parametrize(
    ("first", "second", "ours"),
    [
        (OURS, THEIRS, True),  # what is inlined from a header counts as where it stands
        (THEIRS, OURS, True),
        (THEIRS, THEIRS, False),  # who has started the thread has no part in it
        (CALLS_OURS, THEIRS, False),
    ],
)
def test_a_race_is_ours_where_an_access_stands_in_our_c(
    thread_sanitizer: Any, first: str, second: str, ours: bool
) -> None:
    """And never where our C only stands below it."""
    (report,) = thread_sanitizer.reports(race(first, second))
    assert report.ours is ours


def test_each_race_of_a_log_is_told(thread_sanitizer: Any) -> None:
    """One log has what one process met, in the order in which it did."""
    found = [report.ours for report in thread_sanitizer.reports(race(OURS, THEIRS) + race(THEIRS, THEIRS))]
    assert found == [True, False]

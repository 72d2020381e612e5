"""Numbers of several processes: in files that prometheus_client adds up as if they were its own."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

prometheus_client = pytest.importorskip("prometheus_client")

from prometheus_client.multiprocess import MultiProcessCollector  # noqa: E402

from loopwatch.metrics import METRICS  # noqa: E402
from loopwatch.report import prometheus_files  # noqa: E402
from loopwatch.report.prometheus_files import SharedFiles  # noqa: E402
from loopwatch.report.readings import read  # noqa: E402
from tests.made_scrapes import SNAPSHOT, TEXT, Source, scrape  # noqa: E402

pytestmark = pytest.mark.skipif(os.name != "posix", reason="several processes are a matter of POSIX")


class Process:
    """One process that writes, as far as its id tells: all of them are this one."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, pid: int = 1) -> None:
        self.source, self._patch, self._pid = Source(), patch, pid
        self.files = SharedFiles(folder, lambda: read(self.source(), 32, "python"))

    def write(self, over: bool = False) -> None:
        with self._patch.context() as patch:
            patch.setattr(os, "getpid", lambda: self._pid)
            patch.setattr(prometheus_files, "_sweep", lambda folder: None)  # in truth they all hold the same locks
            if over:
                self.files.finish()
            else:
                self.files._write()


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    made: list[Process] = []

    def make(pid: int = 1) -> Process:
        made.append(Process(tmp_path, monkeypatch, pid))
        return made[-1]

    yield make
    for each in made:
        each.files._close()
    prometheus_files._alive.after_fork()


def merged(folder: Path) -> str:
    registry = prometheus_client.CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    return scrape(registry)


def value(folder: Path, name: str, **labels: str) -> float:
    registry = prometheus_client.CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    found: float = registry.get_sample_value(name, labels)
    assert found is not None, f"{name} {labels}\n{scrape(registry)}"
    return found


def test_one_process_is_scraped_as_without_files(process: Any, tmp_path: Path) -> None:
    """Names, help, types, labels, buckets and values are the same, in whatever order they are told."""
    process().write()
    assert sorted(merged(tmp_path).splitlines()) == sorted(TEXT.splitlines())


def test_what_was_counted_is_added_up(process: Any, tmp_path: Path) -> None:
    """Counters and histograms of all processes are one, those of processes that are gone among them."""
    for pid in (1, 2, 3):
        process(pid).write()
    assert (
        value(tmp_path, "loopwatch_blocking_seconds_total", kind="loop", site='shop."x":1', cause="wait") == 3 * 0.352
    )
    stalls = {"loop": "main", "cause": "wait"}
    assert value(tmp_path, "loopwatch_stall_duration_seconds_bucket", le="1.0", **stalls) == 15
    assert value(tmp_path, "loopwatch_stall_duration_seconds_count", **stalls) == 18
    assert value(tmp_path, "loopwatch_stall_duration_seconds_sum", **stalls) == 13.5


def test_of_what_is_now_the_sum_or_the_worst_is_told(process: Any, tmp_path: Path) -> None:
    """Queues, workers and tasks are added up; of ages and shares the greatest counts, which a sum would hide."""
    one, two = process(1), process(2)
    (loop,) = SNAPSHOT.loops
    two.source.now = replace(SNAPSHOT, loops=(replace(loop, stalled=4.0, utilization=0.05, tasks=7),))
    one.write()
    two.write()
    assert value(tmp_path, "loopwatch_executor_queue_depth", executor="default") == 14
    assert value(tmp_path, "loopwatch_executor_workers", executor="default", state="busy") == 4
    assert value(tmp_path, "loopwatch_tasks", loop="main") == 10
    assert value(tmp_path, "loopwatch_stalled_seconds", loop="main") == 4.0
    assert value(tmp_path, "loopwatch_loop_utilization_ratio", loop="main") == 0.15
    assert value(tmp_path, "loopwatch_executor_oldest_wait_seconds", executor="default") == 0.4


def test_every_metric_says_how_processes_go_together() -> None:
    """What is an age, a share or a mark cannot be added up; all else can."""
    assert {name for name, metric in METRICS.items() if metric.together == "max"} == {
        "loopwatch_loop_utilization_ratio",
        "loopwatch_stalled_seconds",
        "loopwatch_executor_oldest_wait_seconds",
        "loopwatch_coverage",
        "loopwatch_info",
    }


def test_a_number_is_written_as_it_is_now(process: Any, tmp_path: Path) -> None:
    """To write again adds nothing, and what is no longer told is nothing."""
    one = process()
    one.write()
    one.write()
    assert value(tmp_path, "loopwatch_events_dropped_total") == 1
    one.source.now = replace(SNAPSHOT, events_dropped=5, loops=(), coverage=())
    one.write()
    assert value(tmp_path, "loopwatch_events_dropped_total") == 5
    assert value(tmp_path, "loopwatch_stalled_seconds", loop="main") == 0
    infos = [line for line in merged(tmp_path).splitlines() if line.startswith("loopwatch_info{")]
    assert sorted(line.rpartition(" ")[2] for line in infos) == ["0.0", "1.0"]
    assert [line for line in infos if line.endswith(" 1.0") and 'coverage="exact"' in line]


def test_a_process_id_that_comes_again_takes_nothing_away(process: Any, tmp_path: Path) -> None:
    """Nor does a second watch in the same process: counters go on from where the first one ended."""
    first = process()
    first.write()
    first.write(over=True)
    second = process()
    second.source.now = replace(SNAPSHOT, events_dropped=2)
    second.write()
    assert value(tmp_path, "loopwatch_events_dropped_total") == 3
    assert value(tmp_path, "loopwatch_stall_duration_seconds_count", loop="main", cause="wait") == 12
    assert value(tmp_path, "loopwatch_executor_queue_depth", executor="default") == 7


def test_a_watch_that_ended_has_counted_and_holds_nothing(process: Any, tmp_path: Path) -> None:
    """Its counts stay, and no loop is held, no queue deep, that nobody looks at."""
    one = process()
    one.write()
    one.write(over=True)
    assert value(tmp_path, "loopwatch_events_dropped_total") == 1
    for name in ("loopwatch_stalled_seconds", "loopwatch_tasks"):
        assert value(tmp_path, name, loop="main") == 0
    assert value(tmp_path, "loopwatch_executor_queue_depth", executor="default") == 0


def test_the_application_s_own_files_are_left_alone(process: Any, tmp_path: Path) -> None:
    """No file of ours has a name that prometheus_client itself writes to, or removes."""
    process(7).write()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "counter_loopwatch-7.db",
        "gauge_livemax_loopwatch-7.db",
        "gauge_livesum_loopwatch-7.db",
        "histogram_loopwatch-7.db",
        "loopwatch-7.lock",
    ]


def test_what_cannot_be_written_is_said_once(process: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The application goes on, and the log says what is missing from the scrape."""
    one = process()
    one.source.error = RuntimeError("broken")
    for _ in range(3):
        one.write()
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("loopwatch", logging.ERROR)
    assert str(tmp_path) in record.getMessage()
    one.source.error = None
    one.write()
    assert value(tmp_path, "loopwatch_events_dropped_total") == 1

"""Who is charged with the seconds that jobs waited in queues."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from loopwatch.record.queued import QueuedTime
from loopwatch.record.recorder import Recorder


class Setting:
    """A recorder, and what it is told to charge; an origin is its own site."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.queued = QueuedTime(self.recorder, str)
        self.pool = SimpleNamespace(name="pool", kind="thread")

    def wait(self, seconds: float, held_by: Any) -> None:
        self.queued.add(SimpleNamespace(pool=self.pool, held_by=held_by), seconds)

    def lost(self) -> dict[str, tuple[float, int]]:
        self.queued.charge()
        stats = self.recorder.site_stats()
        assert {(each.kind, each.cause) for each in stats} <= {("queue", "backlog")}
        return {each.site: (each.seconds, each.count) for each in stats}


@pytest.fixture
def setting() -> Setting:
    return Setting()


def lane(site: str) -> Any:
    return SimpleNamespace(origin=site, site="")


def test_who_held_the_workers_is_charged_by_share(setting):
    """The jobs are counted once, at whoever held them longest."""
    shares = ((lane("a:1"), 0.25), (lane("b:2"), 0.75))
    for _ in range(4):
        setting.wait(1.0, shares)
    assert setting.lost() == {"b:2": (pytest.approx(3.0), 4), "a:1": (pytest.approx(1.0), 0)}


def test_lanes_of_one_site_are_charged_together(setting):
    """It may hold the workers longest only in sum."""
    shares = ((lane("a:1"), 0.3), (lane("b:2"), 0.4), (lane("a:1"), 0.3))
    setting.wait(1.0, shares)
    assert setting.lost() == {"a:1": (pytest.approx(0.6), 1), "b:2": (pytest.approx(0.4), 0)}


def test_where_no_job_held_a_worker_the_executor_is_named(setting):
    """Nobody was seen, or the application took the workers without a job: who waited is not charged."""
    setting.wait(1.0, ())
    setting.wait(2.0, ((lane("a:1"), 0.5), (None, 0.5)))
    lost = setting.lost()
    assert lost["pool"][0] == pytest.approx(2.0) and lost["a:1"][0] == pytest.approx(1.0)


def test_executors_that_are_counted_together_are_named_together(setting):
    """There may be any number of them: they take no more names than in the metrics of executors."""
    for number in range(100):
        setting.pool = SimpleNamespace(name=f"request {number}", kind="thread")
        setting.wait(1.0, ())
    lost = setting.lost()
    assert len(lost) == 65 and lost["other"] == (pytest.approx(36.0), 36)


def test_not_a_second_is_lost_or_charged_twice(setting):
    """Whatever the shares, and also where they are charged in several rounds."""
    shares = tuple((lane(f"site:{number}"), 1 / 7) for number in range(7))
    for _ in range(3):
        setting.wait(0.1, shares)
        setting.wait(0.7, ((lane("site:8"), 1.0),))
        setting.wait(0.05, ())
        setting.lost()
    lost = setting.lost()
    assert sum(seconds for seconds, _ in lost.values()) == pytest.approx(3 * (0.1 + 0.7 + 0.05))
    assert sum(count for _, count in lost.values()) == 9

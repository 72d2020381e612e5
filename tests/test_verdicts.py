"""A verdict is found once for the same facts, and again where there are new ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import loopwatch
from loopwatch._compat import clocks
from loopwatch.explain import verdicts
from loopwatch.explain.culprit import OwnCode
from loopwatch.explain.offload import judge, name_site
from loopwatch.explain.verdicts import Verdicts
from loopwatch.facts import OffloadTally, Origin
from loopwatch.watch import Watch
from tests.made_offloads import CALLER, CARRIERS, glance, origin, tally


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[OffloadTally]]:
    """The tallies on which a verdict was found."""
    asked: list[OffloadTally] = []

    def note(*given: object) -> object:
        asked.append(given[0])  # type: ignore[arg-type]
        return judge(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(verdicts, "judge", note)
    yield asked


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Origin]]:
    """The origins for which a site was looked for."""
    asked: list[Origin] = []

    def note(origin: Origin, own: OwnCode) -> object:
        asked.append(origin)
        return name_site(origin, own)

    monkeypatch.setattr(verdicts, "name_site", note)
    yield asked


def test_a_verdict_holds_until_there_are_new_facts(judged: list[OffloadTally], named: list[Origin]) -> None:
    """New jobs of an origin change its verdict, nobody else's, and not its site."""
    own, place = OwnCode(), origin(*CARRIERS, CALLER)
    kept = Verdicts(own)
    first, other = tally(glance("network"), of=place), tally(glance("running"), of=origin(*CARRIERS))
    told = [kept.of(first), kept.of(other), kept.of(first), kept.of(other)]
    assert told[:2] == told[2:] == [judge(first, own), judge(other, own)]
    second = tally(glance("network"), of=place, cpu=1.9)
    assert kept.of(second) == judge(second, own) != told[0]
    assert kept.of(other) is told[1]
    assert judged == [first, other, second]
    assert named == [first.origin, other.origin]


@pytest.fixture
def watch() -> Iterator[Watch]:
    with loopwatch.install(reporters=[], prometheus=False) as watch:
        yield watch


async def one() -> None:
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.001)


async def two() -> None:
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.001)


def test_only_what_has_new_jobs_is_judged(judged: list[OffloadTally], watch: Watch) -> None:
    """Neither the sampler nor a snapshot asks again of a site that has rested."""

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        await one()
        await two()
        watch.flush(10)
        assert len(judged) == 2 == len(watch.snapshot().offloads)
        judged.clear()
        for _ in range(3):
            await two()
            watch.flush(10)
        assert [each.jobs for each in judged] == [2, 3, 4]
        assert len({each.origin for each in judged}) == 1

    asyncio.run(main())


@pytest.mark.needs("prometheus_client")
def test_a_scrape_finds_no_verdict(judged: list[OffloadTally]) -> None:
    """No metric reads them, and a scrape has five milliseconds."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    with loopwatch.install(reporters=[], prometheus=registry) as watch:
        asyncio.run(one())
        watch.flush(10)
        with watch._drain_lock:
            watch._judged_at = clocks.monotonic() + 3600  # the sampler has judged just now
        asyncio.run(one())
        judged.clear()
        assert b'executor_jobs_total{executor="default",outcome="completed"} 2' in generate_latest(registry)
        assert judged == []
        assert watch.snapshot().offloads[0].jobs == 2
        assert len(judged) == 1

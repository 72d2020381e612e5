"""From an episode as counted to a backlog in words: who filled the queue, who held the workers, what to do."""

from __future__ import annotations

import sys
from types import CodeType, ModuleType
from typing import Any

import pytest

from loopwatch.explain.backlog import explain_backlog
from loopwatch.explain.culprit import OwnCode, Places
from loopwatch.facts import Congestion, Origin, RawFrame, WaitTally, WorkerLook

LIBRARY = "/venv/lib/site-packages/"
STDLIB = "/usr/lib/python/"


@pytest.fixture
def own() -> OwnCode:
    return OwnCode(places=Places((STDLIB[:-1],), (LIBRARY[:-1],), ("/opt/loopwatch",)))


def frame(name: str, root: str = "/srv/") -> RawFrame:
    """The frame of ``package.module.function``."""
    module, _, function = name.rpartition(".")
    file = f"{root}{module.replace('.', '/')}.py"
    (code,) = (
        each
        for each in compile(f"def {function}():\n    work(1)\n", file, "exec").co_consts
        if isinstance(each, CodeType)
    )
    return RawFrame(code, len(code.co_code) - 2, module)


TO_THREAD = frame("asyncio.threads.to_thread", STDLIB)
REPORT = Origin((TO_THREAD, frame("shop.views.report")), "shop.pdf.render", "default")
SEARCH = Origin((TO_THREAD, frame("shop.views.search")), "shop.db.find", "default")
VENDOR = Origin(
    (TO_THREAD, frame("vendor.client.get", LIBRARY), frame("shop.views.order")), "requests.api.get", "default"
)
ROUTE = Origin((frame("fastapi.routing.run", LIBRARY),), "shop.routes.export", "anyio")
WORKER = (
    frame("threading._bootstrap", STDLIB),
    frame("concurrent.futures.thread._worker", STDLIB),
)


def look(origin: Origin, *frames: RawFrame, activity: Any = "running") -> WorkerLook:
    return WorkerLook("pool_0", origin, 0.5, (*WORKER, *frames), activity)


def congestion(*tallies: WaitTally, **options: Any) -> Congestion:
    given: dict[str, Any] = {
        "id": "1",
        "executor": "default",
        "workers": 6,
        "depth": 9,
        "waited": 1.5,
        "started": 100.0,
        "ended": 102.0,
        "seen": 102.0,
        "started_at": 1e9,
        "jobs": sum(tally.jobs for tally in tallies),
        "tallies": tallies,
        "holders": (),
    }
    return Congestion(**{**given, **options})


def test_numbers_pass_through(own):
    """What was counted is told as it was counted."""
    backlog = explain_backlog(congestion(WaitTally(REPORT, 4, 2.0, 3.0)), own)
    assert (backlog.id, backlog.executor, backlog.workers, backlog.depth) == ("1", "default", 6, 9)
    assert (backlog.waited, backlog.duration, backlog.started_at, backlog.jobs) == (1.5, 2.0, 1e9, 4)
    assert (backlog.in_progress, backlog.self_deadlock) == (False, False)
    assert backlog.evidence["held_seconds"] == 3.0


def test_an_episode_that_lasts_has_its_age_as_duration(own):
    """As of when it was seen."""
    backlog = explain_backlog(congestion(ended=None, seen=100.7), own)
    assert backlog.in_progress and backlog.duration == pytest.approx(0.7)


def test_who_held_the_workers_is_the_culprit_not_who_waited(own):
    """Many searches waited, since a few reports held every worker."""
    backlog = explain_backlog(congestion(WaitTally(SEARCH, 500, 90.0, 0.4), WaitTally(REPORT, 1, 0.1, 12.0)), own)
    assert backlog.culprit is not None and backlog.culprit.site == "shop.views.report:2"
    assert [each.site for each in backlog.submitters] == ["shop.views.search:2", "shop.views.report:2"]


def test_the_kind_of_the_pool_is_told(own):
    """A pool of processes is not called one of threads."""
    assert explain_backlog(congestion(kind="process"), own).evidence["kind"] == "process"
    assert explain_backlog(congestion(), own).evidence["kind"] == "thread"


def test_who_only_waited_is_not_blamed_for_tokens_that_the_application_held(own):
    """Where no job was seen on a worker, and tokens were taken without one, nobody is known; else the job is."""
    waited = explain_backlog(congestion(WaitTally(SEARCH, 3, 1.5, 0.0), taken=6), own)
    assert (waited.culprit, waited.evidence["held_directly"]) == (None, 6)
    assert [each.site for each in waited.submitters] == ["shop.views.search:2"]
    held = explain_backlog(congestion(WaitTally(SEARCH, 3, 1.5, 0.2), taken=5), own)
    assert held.culprit is not None and held.evidence["held_directly"] == 5
    assert "held_directly" not in explain_backlog(congestion(WaitTally(SEARCH, 3, 1.5, 0.0)), own).evidence


def test_workers_that_the_application_took_itself_are_to_be_given_back_sooner(own):
    """No job holds them, so shorter jobs would not help."""
    remedy = explain_backlog(congestion(WaitTally(SEARCH, 3, 1.5, 0.0), taken=6), own).remedy
    assert "async with limiter" in remedy
    jobs = explain_backlog(congestion(WaitTally(SEARCH, 3, 1.5, 0.2), taken=5), own).remedy
    assert "async with limiter" not in jobs


@pytest.mark.skipif(not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="threads compute side by side")
def test_jobs_that_compute_are_not_told_to_take_more_threads(own):
    """Where most of the workers were seen computing; a pool of processes has no lock to share."""
    holders = (look(REPORT), look(REPORT), look(SEARCH, activity="file"))
    tally = WaitTally(REPORT, 4, 2.0, 3.0)
    assert "would not help" in explain_backlog(congestion(tally, holders=holders), own).remedy
    assert "would not help" not in explain_backlog(congestion(tally, holders=holders[1:]), own).remedy
    assert "would not help" not in explain_backlog(congestion(tally, holders=holders, kind="process"), own).remedy


def test_lanes_of_one_site_are_added_up(own):
    """A site that is reached on several ways is one submitter, and may be the culprit only in sum."""
    ways = [SEARCH._replace(frames=(*SEARCH.frames, frame(f"shop.views.{name}"))) for name in ("index", "home")]
    tallies = [*(WaitTally(way, 2, 1.0, 3.0) for way in ways), WaitTally(REPORT, 1, 1.0, 5.0)]
    backlog = explain_backlog(congestion(*tallies), own)
    assert backlog.culprit is not None and backlog.culprit.site == "shop.views.search:2"
    assert backlog.evidence["held_seconds"] == 6.0
    assert [(each.jobs, each.waited) for each in backlog.submitters] == [(4, 2.0), (1, 1.0)]
    assert [each.share for each in backlog.submitters] == pytest.approx([2 / 3, 1 / 3])


def test_a_wrapper_of_a_library_is_the_culprit(own):
    """The library hands the work over; the submitter names the caller in the application as well."""
    backlog = explain_backlog(congestion(WaitTally(VENDOR, 3, 1.0, 3.0)), own)
    assert backlog.culprit is not None and backlog.culprit.site == "vendor.client.get:2"
    assert backlog.submitters[0].site == "vendor.client.get:2 from shop.views.order:2"


def test_own_code_seen_on_a_worker_is_the_culprit_where_a_framework_submitted(own):
    """No code of the application handed the route over, but it is what holds the worker."""
    seen = look(ROUTE, frame("shop.routes.export"), frame("shop.pdf.render"), frame("pdflib.draw", LIBRARY))
    backlog = explain_backlog(congestion(WaitTally(ROUTE, 3, 1.0, 3.0), holders=(look(REPORT), seen)), own)
    assert backlog.culprit is not None and backlog.culprit.site == "shop.pdf.render:2"


def test_the_target_is_the_culprit_where_nothing_of_it_was_seen(own, monkeypatch):
    """A route of which no stack was taken is known by its name."""
    module = ModuleType("shop.routes")
    module.__file__ = "/srv/shop/routes.py"
    exec(compile("\ndef export():\n    pass\n", module.__file__, "exec"), vars(module))
    monkeypatch.setitem(sys.modules, "shop.routes", module)
    backlog = explain_backlog(congestion(WaitTally(ROUTE, 3, 1.0, 3.0)), own)
    assert backlog.culprit is not None and backlog.culprit.site == "shop.routes.export:2"
    assert backlog.submitters[0].site == "shop.routes.export:2"


def test_nobody_is_blamed_where_nobody_is_known(own):
    """An episode without tallies, and one whose jobs have no frames, name the executor."""
    nameless = WaitTally(Origin((), "other", "default"), 2, 1.0, 1.0)
    for backlog in (explain_backlog(congestion(), own), explain_backlog(congestion(nameless), own)):
        assert backlog.culprit is None and backlog.site == "default"


@pytest.mark.parametrize("sites", [1, 3, 10, 11, 40])
def test_shares_add_up_to_one(own, sites):
    """However many sites waited: the longest are named, the rest is told as one."""
    tallies = []
    for number in range(sites):
        origin = Origin((frame(f"shop.views.view{number}"),), "f", "default")
        tallies.append(WaitTally(origin, 1 + number, 0.1 * (number + 1), 0.0))
    submitters = explain_backlog(congestion(*tallies), own).submitters
    assert len(submitters) == min(sites, 10)
    assert sum(each.share for each in submitters) == pytest.approx(1.0)
    assert sum(each.jobs for each in submitters) == sum(tally.jobs for tally in tallies)
    assert sum(each.waited for each in submitters) == pytest.approx(sum(tally.waited for tally in tallies))
    assert submitters[0].site == f"shop.views.view{sites - 1}:2"
    assert (submitters[-1].site == "other") is (sites > 10)


def test_who_did_not_wait_is_no_submitter(own):
    """Jobs that held the workers and never waited have not filled the queue."""
    backlog = explain_backlog(congestion(WaitTally(SEARCH, 5, 1.0, 0.0), WaitTally(REPORT, 0, 0.0, 9.0)), own)
    assert [each.site for each in backlog.submitters] == ["shop.views.search:2"]


def test_holders_show_the_stack_of_the_job(own):
    """What every worker begins with is left out; a job in C has nothing else, and keeps it."""
    backlog = explain_backlog(
        congestion(WaitTally(REPORT, 1, 1.0, 1.0), holders=(look(REPORT, frame("shop.pdf.render")), look(REPORT))), own
    )
    assert [[each.function for each in holder.stack] for holder in backlog.holders] == [
        ["render"],
        ["_bootstrap", "_worker"],
    ]
    holder = backlog.holders[0]
    assert (holder.thread, holder.site, holder.target, holder.seconds) == (
        "pool_0",
        "shop.views.report:2",
        "shop.pdf.render",
        0.5,
    )


@pytest.mark.parametrize(
    ("nested", "progressing", "deadlock"), [(1, False, True), (1, True, False), (0, False, False), (0, True, False)]
)
def test_a_pool_that_waits_for_itself_is_a_self_deadlock(own, nested, progressing, deadlock):
    """A worker waits for a job in its own queue, and nothing moves."""
    backlog = explain_backlog(
        congestion(WaitTally(REPORT, 1, 1.0, 1.0), nested=nested, progressing=progressing, ended=None), own
    )
    assert backlog.self_deadlock is deadlock
    assert ("a pool of their own" in backlog.remedy) is deadlock


@pytest.mark.parametrize(
    ("activities", "native"),
    [(["network", "network", "running"], True), (["network", "file", "file"], False), (["sleep"], False)],
)
def test_workers_that_wait_for_the_network_call_for_a_native_client(own, activities, native):
    """If most of them do; more workers would help the others, and a sleep is not the network."""
    holders = tuple(look(VENDOR, frame("requests.api.get", LIBRARY), activity=each) for each in activities)
    backlog = explain_backlog(congestion(WaitTally(VENDOR, 3, 1.0, 3.0), holders=holders), own)
    assert ("httpx.AsyncClient" in backlog.remedy) is native
    assert ("6 workers" in backlog.remedy) is not native
    assert backlog.evidence["seen"] == {each: activities.count(each) for each in activities}


def test_a_backlog_can_be_told_as_json(own):
    """Everything in it is plain."""
    told = explain_backlog(
        congestion(WaitTally(REPORT, 4, 2.0, 3.0), holders=(look(REPORT, frame("shop.pdf.render")),)), own
    ).to_dict()
    assert told["culprit"]["site"] == "shop.views.report:2" and told["holders"][0]["stack"][0]["function"] == "render"

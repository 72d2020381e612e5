"""What is held against a test, decided from events that are made up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loopwatch.errors import SettingsError
from loopwatch.explain.culprit import OwnCode
from loopwatch.facts import Glance, OffloadTally, Origin
from loopwatch.model import Backlog, Frame, Offload, Stall
from loopwatch.testing.jobs import by_origin, less, offloads
from loopwatch.testing.terms import Rule, Seen, Terms, judge

FRAME = Frame("shop.views", "checkout", "/srv/shop/views.py", 12)
STALL = Stall("1", "step", 0.2, 0.0, "main", "MainThread", culprit=FRAME, cause="wait")
BACKLOG = Backlog("2", "pool", 2, 3, 0.2, 0.3, 0.0, 3, culprit=FRAME)
OFFLOAD = Offload(
    "vendor.get:5 from shop.views.checkout:12",
    "vendor._get",
    "pool",
    jobs=3,
    wait_seconds=0.0,
    run_seconds=0.3,
    cpu_seconds=0.0,
    verdict="simulated async",
    cause="wait",
    wrapper=Frame("vendor", "get", "/v.py", 5),
    caller=FRAME,
)


@pytest.mark.parametrize("event", [STALL, BACKLOG, OFFLOAD], ids=lambda event: event.event)
def test_each_kind_of_event_blocks(event) -> None:
    """With the terms that hold by default."""
    assert judge(Seen((event,), 5), Terms()).blocked == (event,)
    assert judge(Seen((event,), 5), Terms()).verdict == "blocked"


@pytest.mark.parametrize(
    ("event", "terms"),
    [
        (replace(STALL, duration=0.049), Terms()),
        (STALL, Terms(threshold=0.3)),
        (BACKLOG, Terms(executor_wait=0.3)),
        (OFFLOAD, Terms(simulated_async=False)),
        (replace(OFFLOAD, verdict="cpu offload"), Terms()),
        (replace(OFFLOAD, run_seconds=0.01), Terms()),
    ],
)
def test_what_is_within_the_terms_is_clean(event, terms) -> None:
    """And no word is said of it."""
    judgement = judge(Seen((event,), 5), terms)
    assert (judgement.verdict, judgement.excused) == ("clean", ())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"cause": "import"}, "import"),
        ({"cause": "gc"}, "garbage collection"),
        ({"cause": "suspended"}, "suspended"),
        ({"cause": "unknown", "evidence": {"waited_for": "cpu"}}, "not the code's own doing"),
        ({"cause": "unknown", "evidence": {"cpu_seconds": 0.01}}, "not the code's own doing"),
        ({"evidence": {"queued_seconds": 0.16}}, "mostly not the code's own doing"),
    ],
)
def test_what_the_code_could_not_help_is_excused(change, why) -> None:
    """It is noted, and the verdict is clean."""
    event = replace(STALL, **change)
    judgement = judge(Seen((event,), 5), Terms())
    assert (judgement.verdict, judgement.excused) == ("clean", ((event, why),))


@pytest.mark.parametrize("change", [{"cause": "gc", "evidence": {"call": "gc.collect"}}, {"cause": "unknown"}])
def test_what_cannot_be_excused_counts(change) -> None:
    """A collection that code asked for; a cause that the platform cannot tell."""
    assert judge(Seen((replace(STALL, **change),), 5), Terms()).verdict == "blocked"


def test_clean_is_never_said_by_default() -> None:
    """Neither where no step ran, nor where not all was seen."""
    assert judge(Seen(), Terms())[:2] == ("unmeasured", "no event loop ran a step")
    assert judge(Seen(steps=5, unseen=("a", "b")), Terms())[:2] == ("unmeasured", "a; b")
    assert judge(Seen((STALL,), 5, ("a",)), Terms()).verdict == "blocked"


@pytest.mark.parametrize("site", ["", "shop.views.checkout", "shop.views.checkout:12", "shop.*", "vendor.get"])
def test_a_rule_knows_an_event_by_each_of_its_names(site) -> None:
    """With and without the line, with wild cards, by wrapper and by caller."""
    rule = Rule(site, "known")
    assert judge(Seen((OFFLOAD,), 5), Terms(), [rule]).allowed == ((OFFLOAD, rule),)


def test_a_rule_for_another_site_allows_nothing() -> None:
    """Nor does a part of a name."""
    for site in ("shop.views", "checkout", "shop.views.checkout:1"):
        assert judge(Seen((STALL,), 5), Terms(), [Rule(site, "known")]).verdict == "blocked"


def test_wrong_terms_are_refused() -> None:
    """As the settings of a watch are."""
    with pytest.raises(SettingsError, match="executor_wait"):
        Terms(executor_wait=-1)
    with pytest.raises(SettingsError, match="simulated_async"):
        Terms(simulated_async="no")  # type: ignore[arg-type]


def test_the_jobs_of_a_stretch_are_those_of_its_end_without_those_of_its_beginning() -> None:
    """By the sums at both ends; who did nothing meanwhile is not told of."""
    look = Glance("network", None, ())
    before = OffloadTally(Origin((), "vendor._get", "pool"), 10, 1.0, 2.0, 0.5, 2.0, 4, {look: 3}, loop_jobs=10)
    after = replace(before, jobs=14, wait=1.5, run=2.4, cpu_known=2.4, glances={look: 9}, loop_jobs=14)
    more = less(after, before)
    assert (more.jobs, more.wait, more.glances) == (4, 0.5, {look: 6})
    assert more.run == pytest.approx(0.4)
    own = OwnCode()
    assert offloads(by_origin([before]), by_origin([before]), own) == []
    assert [found.jobs for found in offloads({}, by_origin([before]), own)] == [10]

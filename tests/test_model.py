"""What leaves loopwatch is frozen, complete and ready for JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwatch import model
from loopwatch.model import (
    SCHEMA_VERSION,
    Backlog,
    Contributor,
    Coverage,
    ExecutorStats,
    Exemplar,
    Frame,
    Histogram,
    Holder,
    LoopStats,
    Offload,
    SiteStats,
    Snapshot,
    StackShare,
    Stall,
    Submitter,
)

PATH = PurePosixPath("/srv/shop")
FRAME = Frame(module="shop.views", function="Cart.checkout", file="/srv/shop/views.py", line=42)
HISTOGRAM = Histogram(bounds=(0.1, 1.0), counts=(3, 2, 1), sum=4.5)

STALL = Stall(
    id="stall-1",
    kind="step",
    duration=0.352,
    started_at=1_700_000_000.25,
    loop="main",
    thread="MainThread",
    task="req-8",
    coroutine="shop.views.checkout",
    callback="Task.__step",
    culprit=FRAME,
    stack=(FRAME, FRAME),
    profile=(StackShare(stack=(FRAME,), share=0.75),),
    cause="wait",
    evidence={"cpu_seconds": 0.01, "samples": 8, "seen": ["sleep"], "per": {"stack": 1}},
    remedy="Use a native async client.",
    delayed=17,
    contributors=(Contributor(name="shop.views.checkout", steps=1, seconds=0.352),),
)
BACKLOG = Backlog(
    id="backlog-1",
    executor="default",
    workers=3,
    depth=7,
    waited=0.4,
    duration=1.5,
    started_at=1_700_000_000.25,
    jobs=9,
    culprit=FRAME,
    submitters=(Submitter(site=FRAME.site, jobs=9, waited=2.5, share=1.0),),
    holders=(Holder(thread="pool_0", site=FRAME.site, target="requests.get", seconds=0.15, stack=(FRAME,)),),
    evidence={"progressing": True},
)
OFFLOAD = Offload(
    site="vendor.client.Client.get:57 from shop.views.order:12",
    target="requests.get",
    executor="default",
    jobs=30,
    wait_seconds=9.0,
    run_seconds=4.5,
    cpu_seconds=None,
    verdict="simulated async",
    wrapper=FRAME,
    caller=FRAME,
    share=0.97,
)
LOOP = LoopStats(
    name="main",
    alive=1,
    active=1.5,
    idle=8.5,
    utilization=0.15,
    turns=100,
    steps=250,
    ready=2,
    tasks=3,
    stalled=0.0,
    step_duration=HISTOGRAM,
    turn_duration=HISTOGRAM,
    stalls={"wait": HISTOGRAM},
)
EXECUTOR = ExecutorStats(
    name="default",
    kind="thread",
    workers=3,
    busy=2,
    workers_max=3,
    depth=7,
    oldest_wait=0.4,
    saturated=1.5,
    outcomes={"completed": 20, "failed": 1},
    wait=HISTOGRAM,
    run=HISTOGRAM,
)
SNAPSHOT = Snapshot(
    loops=(LOOP,),
    executors=(EXECUTOR,),
    offloads=(OFFLOAD,),
    sites=(SiteStats(kind="loop", site=FRAME.site, cause="wait", seconds=0.352, count=1),),
    coverage=(Coverage(subject="asyncio loops", seen="exact", detail="every step and turn"),),
    gc_pauses={"2": HISTOGRAM},
    events_dropped=0,
    sampler_seconds=0.02,
    version="1.2.3",
)

EVENTS = [STALL, BACKLOG, OFFLOAD]
FACTS: list[Any] = [
    *EVENTS, SNAPSHOT, FRAME, HISTOGRAM, LOOP, EXECUTOR,
    STALL.profile[0], STALL.contributors[0], BACKLOG.submitters[0], BACKLOG.holders[0],
    SNAPSHOT.sites[0], SNAPSHOT.coverage[0],
    Exemplar(value=0.2, at=1750000000.0, trace_id="0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331"),
]  # fmt: skip

EACH_FACT = pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
EACH_EVENT = pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)

PROMISED: dict[type, str] = {
    # The fields that the documentation of each event names: JSON consumers count on them.
    Stall: "kind duration started_at loop thread task coroutine callback culprit stack profile cause evidence remedy "
    "delayed in_progress suppressed",
    Backlog: "executor workers depth waited duration jobs culprit charged_site submitters holders remedy in_progress",
    Offload: "site target executor jobs wait_seconds run_seconds cpu_seconds verdict remedy",
    Frame: "module function file line site",
    Snapshot: "schema_version loops executors offloads sites coverage",
}


def bare(kind: type) -> Any:
    """An instance with nothing but what it cannot be without: texts and zeros."""
    required = [
        entry
        for entry in dataclasses.fields(kind)
        if entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
    ]
    return kind(**{entry.name: "" if entry.type in ("str", "Kind") else 0 for entry in required})


def test_there_is_an_example_of_everything() -> None:
    """The tests of this file look at each class that the model defines."""
    defined = {kind for kind in vars(model).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)}
    assert {type(fact) for fact in FACTS} == defined


@EACH_FACT
def test_a_fact_cannot_be_changed(fact: Any) -> None:
    """No reporter can change what the next one gets: fields can be neither set, added nor deleted."""
    for name in [*(entry.name for entry in dataclasses.fields(fact)), "note"]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(fact, name, None)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(fact, name)


@EACH_FACT
def test_a_dictionary_has_every_field_in_types_of_json(fact: Any) -> None:
    """What JSON gives back is equal to what was written: no tuple, no foreign type, no field left out."""
    plain = fact.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert {entry.name for entry in dataclasses.fields(fact)} <= set(plain)


@pytest.mark.parametrize("kind", PROMISED, ids=lambda kind: kind.__name__)
def test_the_documented_fields_are_there(kind: type) -> None:
    """Attributes and keys of the dictionary have the names that the documentation promises."""
    fact: Any = next(fact for fact in FACTS if type(fact) is kind)
    plain = fact.to_dict()
    for name in PROMISED[kind].split():
        assert hasattr(fact, name)
        assert name in plain


@pytest.mark.parametrize("kind", [Stall, Backlog, Offload], ids=lambda kind: kind.__name__)
def test_an_event_with_nothing_but_the_necessary_can_be_told(kind: type) -> None:
    """Every optional field may be empty: such an event is JSON-ready and has a site."""
    event = bare(kind)
    assert json.loads(json.dumps(event.to_dict(), allow_nan=False)) == event.to_dict()
    assert isinstance(event.site, str)


@EACH_EVENT
def test_an_event_says_what_it_is_and_by_which_schema(event: Any) -> None:
    """A line in a file is understood by itself: kind and schema come first; no field has these names."""
    plain = event.to_dict()
    assert list(plain)[:2] == ["event", "schema_version"]
    assert plain["event"] == type(event).event == type(event).__name__.lower()
    assert plain["schema_version"] == event.schema_version == SCHEMA_VERSION
    assert {"event", "schema_version"}.isdisjoint(entry.name for entry in dataclasses.fields(event))


def test_a_snapshot_says_by_which_schema_it_is() -> None:
    """The same for the numbers."""
    assert next(iter(SNAPSHOT.to_dict())) == "schema_version"
    assert SNAPSHOT.to_dict()["schema_version"] == SNAPSHOT.schema_version == SCHEMA_VERSION


def test_a_dictionary_holds_the_inner_facts_as_dictionaries() -> None:
    """Frames, histograms and offloads inside are told in the same way, frames with their site."""
    plain = SNAPSHOT.to_dict()
    assert plain["loops"][0]["stalls"]["wait"] == {
        "bounds": [0.1, 1.0],
        "counts": [3, 2, 1],
        "sum": 4.5,
        "exemplars": [],
    }
    assert plain["offloads"][0] == OFFLOAD.to_dict()
    assert STALL.to_dict()["profile"][0]["stack"][0] == {
        "module": "shop.views",
        "function": "Cart.checkout",
        "file": "/srv/shop/views.py",
        "line": 42,
        "site": "shop.views.Cart.checkout:42",
    }


@EACH_FACT
def test_a_dictionary_is_a_copy(fact: Any) -> None:
    """Whoever changes the dictionary changes neither the fact nor the next dictionary."""

    def ruin(plain: Any) -> None:
        for inner in list(plain.values()) if isinstance(plain, dict) else list(plain):
            if isinstance(inner, (dict, list)):
                ruin(inner)
        plain.clear()

    before = json.dumps(fact.to_dict())
    ruin(fact.to_dict())
    assert json.dumps(fact.to_dict()) == before


@EACH_FACT
def test_a_fact_can_be_sent_to_another_process(fact: Any) -> None:
    """Pickled and unpickled it is equal."""
    assert pickle.loads(pickle.dumps(fact)) == fact


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.integers() | st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), values))
def test_any_evidence_is_ready_for_json(evidence: dict[str, Any]) -> None:
    """Whatever numbers and names stand behind a cause, strict JSON can hold them."""
    plain = dataclasses.replace(STALL, evidence=evidence).to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


@pytest.mark.parametrize(
    ("value", "told"),
    [(math.nan, None), (math.inf, None), (-math.inf, None), (True, True), ({1: (2,)}, {"1": [2]}), (PATH, str(PATH))],
)
def test_what_json_does_not_know_is_told_in_what_it_knows(value: object, told: object) -> None:
    """NaN and infinities are null, other objects their text, and keys are texts."""
    assert dataclasses.replace(STALL, evidence={"value": value}).to_dict()["evidence"]["value"] == told


# --- sites ---


def test_the_site_of_a_frame_is_its_stable_name() -> None:
    """Module, qualified function and line, as in logs and labels."""
    assert FRAME.site == "shop.views.Cart.checkout:42"


@pytest.mark.parametrize(
    ("changes", "site"),
    [
        ({}, "shop.views.Cart.checkout:42"),
        ({"cause": "gc"}, "shop.views.Cart.checkout:42"),
        ({"culprit": None}, "Task.__step"),
        ({"culprit": None, "cause": "gc"}, "(gc)"),
        ({"culprit": None, "cause": "suspended"}, "(suspended)"),
        ({"culprit": None, "callback": None}, "shop.views.checkout"),
        ({"culprit": None, "callback": None, "coroutine": None}, "(unknown)"),
    ],
)
def test_a_stall_always_has_a_site(changes: dict[str, Any], site: str) -> None:
    """The culprit's; else the cause in brackets where no code is to blame; else what the loop called."""
    assert dataclasses.replace(STALL, **changes).site == site


@pytest.mark.parametrize("cause", ["cpu", "wait", "import"])
@pytest.mark.parametrize(
    ("evidence", "seconds"),
    [
        ({}, 0.352),
        ({"cpu_seconds": 0.1, "samples": 3}, 0.352),
        ({"queued_seconds": 0.1}, 0.252),
        ({"interpreter_seconds": 0.1}, 0.252),
        ({"queued_seconds": 0.1, "interpreter_seconds": 0.05, "gc_seconds": 0.02, "suspended_seconds": 0.03}, 0.152),
        ({"queued_seconds": None}, 0.352),
        ({"queued_seconds": 0.4}, 0.0),
        ({"cpu_seconds": 0.1, "unaccounted_seconds": 0.05}, 0.302),
    ],
)
def test_code_is_charged_with_its_own_time_alone(cause: Any, evidence: dict[str, Any], seconds: float) -> None:
    """What the evidence puts down to the host, the interpreter, the collector or a stop is not the code's doing."""
    stall = dataclasses.replace(STALL, duration=0.352, cause=cause, evidence=evidence)
    assert stall.charged_seconds == pytest.approx(seconds)


@pytest.mark.parametrize("cause", ["gc", "suspended", "unknown"])
def test_where_no_code_is_charged_all_of_the_time_counts(cause: Any) -> None:
    """It is counted under the cause itself."""
    evidence = {"queued_seconds": 0.1, "gc_seconds": 0.1, "suspended_seconds": 0.1}
    assert dataclasses.replace(STALL, duration=0.352, cause=cause, evidence=evidence).charged_seconds == 0.352


def test_a_backlog_always_has_a_site() -> None:
    """The one that is charged, the culprit's own, or the executor where no code was seen."""
    assert dataclasses.replace(BACKLOG, charged_site="").site == FRAME.site
    assert (
        dataclasses.replace(BACKLOG, charged_site="shop.db:1 from shop.views:2").site == "shop.db:1 from shop.views:2"
    )
    assert dataclasses.replace(BACKLOG, culprit=None).site == BACKLOG.executor


def test_a_histogram_knows_how_many_values_it_has() -> None:
    """All buckets together, the one above the last bound included."""
    assert HISTOGRAM.count == 6
    assert Histogram(bounds=(1.0,), counts=(0, 0), sum=0.0).count == 0


def test_coverage_reads_as_a_sentence() -> None:
    """One entry of the install line in the log."""
    assert str(SNAPSHOT.coverage[0]) == "asyncio loops: exact (every step and turn)"

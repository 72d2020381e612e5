"""A library that works for long on what own code gave it: both are named, and the remedy fits."""

from __future__ import annotations

from loopwatch.explain.culprit import OwnCode, Places
from loopwatch.explain.stall import explain_stall
from loopwatch.facts import RawFrame, Sample
from loopwatch.model import Stall
from loopwatch.report.text import headline
from tests.made_overruns import calls, overrun

OWN = OwnCode(places=Places(("/usr/lib/python3",), ("/site",), ("/loopwatch",)))
SERVER = calls("app()", "server.cycle", "/site/server/cycle.py", "run")
ENCODER = calls("encode()", "framework.encoders", "/site/framework/encoders.py", "encode")
ROUTE = calls("work()")


def stall(*stacks: tuple[RawFrame, ...], late: float = 0.0) -> Stall:
    distance = 1 / len(stacks)
    samples = [
        Sample(100 + distance * (index + 0.5), 100.0, late, frames, activity="running")
        for index, frames in enumerate(stacks)
    ]
    return explain_stall(overrun(samples=samples, cpu_seconds=1.0), OWN)


ENCODES, COLLECTS = (SERVER, ENCODER), (SERVER, ROUTE)


def test_own_code_that_was_seen_in_the_same_step_is_named_beside_the_library() -> None:
    """The server's line alone says nothing: what it did it did with what the route had made."""
    found = stall(COLLECTS, ENCODES, ENCODES, ENCODES)
    assert found.culprit is not None and found.culprit.module == "server.cycle"
    assert found.evidence["own_code"] == "shop.views.view:2"
    assert "by server.cycle.run:2, in a step that also ran shop.views.view:2 (cause: cpu" in headline(found)


def test_where_no_own_code_was_surely_seen_none_is_named() -> None:
    """Neither where a late look shows it, nor where it is the culprit itself."""
    assert "own_code" not in stall(ENCODES, ENCODES).evidence
    assert "own_code" not in stall(COLLECTS, ENCODES, ENCODES, late=0.5).evidence
    assert "own_code" not in stall(COLLECTS, COLLECTS, ENCODES).evidence


def test_a_computation_of_a_library_is_not_to_be_moved_by_who_did_not_write_it() -> None:
    """The one can be given less to do, the other be broken up."""
    assert stall(ENCODES).remedy.startswith("A library computes with what it was given")
    assert stall(COLLECTS).remedy.startswith("Move the computation into a process pool")

"""Overruns made by hand: what was seen of a view that held its loop, and for how long."""

from __future__ import annotations

import dis
from collections.abc import Sequence
from types import CodeType
from typing import Any

from loopwatch.explain.cause import decide
from loopwatch.explain.looks import weigh
from loopwatch.facts import HandleFacts, Overrun, RawFrame, Sample


def code(body: str, file: str = "/app/shop/views.py", name: str = "view") -> CodeType:
    namespace: dict[str, Any] = {}
    exec(compile(f"def {name}():\n    {body}\n", file, "exec"), namespace)
    made: CodeType = namespace[name].__code__
    return made


def calls(body: str, module: str = "shop.views", file: str = "/app/shop/views.py", name: str = "view") -> RawFrame:
    """A frame that is at the last call of its body."""
    made = code(body, file, name)
    at = [each.offset for each in dis.get_instructions(made) if each.opname.startswith("CALL")]
    return RawFrame(made, at[-1], module)


AT_WORK = calls("work()")


def overrun(duration: float = 1.0, samples: Sequence[Sample] = (), **facts: Any) -> Overrun:
    facts.setdefault("handle", HandleFacts("view", "Task-1", "view", AT_WORK.code, "shop.views"))
    return Overrun(
        id="1-1", kind="step", loop="main", thread="MainThread", started=100.0, ended=100.0 + duration,
        seen=100.0 + duration, started_at=1.7e9, samples=tuple(samples), **facts,
    )  # fmt: skip


def seen(*activities: Any, frame: RawFrame | None = AT_WORK, late: float = 0.0, **facts: Any) -> list[Sample]:
    """Samples at equal distances over one second."""
    distance = 1.0 / len(activities)
    frames = (frame,) if frame is not None else ()
    return [
        Sample(100.0 + distance * (index + 0.5), 100.0, late, frames, activity=activity, **facts)
        for index, activity in enumerate(activities)
    ]


def cause(facts: Overrun) -> tuple[str, bool]:
    verdict = decide(facts, weigh(facts))
    return verdict.cause, verdict.charge


def evidence(facts: Overrun) -> dict[str, Any]:
    return dict(decide(facts, weigh(facts)).evidence)

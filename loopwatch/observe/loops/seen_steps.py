"""What held a loop that does not tell of its steps, as far as the looks at its stack show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..._names import qualified_name
from ...facts import UNKNOWN_CALLBACK, HandleFacts, Sample

UNSEEN = HandleFacts(UNKNOWN_CALLBACK)
MANY = HandleFacts("many callbacks")


class SeenSteps(NamedTuple):
    """What was called, in how many steps at least."""

    handle: HandleFacts
    steps: int


def seen_steps(samples: Sequence[Sample]) -> SeenSteps:
    """One step, where each look has found the same function called for the same task; many where they differ."""
    shown = [sample for sample in samples if sample.frames]
    kinds = {(sample.task, id(sample.frames[0].code), sample.step) for sample in shown}
    if len(kinds) > 1:
        return SeenSteps(MANY, len(kinds))
    if not shown:
        known = next((sample for sample in samples if sample.task is not None), None)
        return SeenSteps(UNSEEN if known is None else UNSEEN._replace(task=known.task, coroutine=known.coroutine), 1)
    sample = shown[0]
    outermost = sample.frames[0]
    name = sample.coroutine or f"{outermost.module}.{qualified_name(outermost.code, outermost.module)}"
    return SeenSteps(HandleFacts(name, sample.task, sample.coroutine, outermost.code, outermost.module), 1)

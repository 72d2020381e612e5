"""How many tasks the loops have, and which, told from any thread without keeping a task alive.

``asyncio.all_tasks()`` hands out the tasks themselves. Whoever asks from another thread than theirs may
be left with the last reference to one, and what then ends with it (a ``finally`` of the application's,
say) runs in the wrong thread. So tasks are only looked at within single calls of C, in which no other
thread can run where the interpreter has its lock: what lives before the call lives after it.

- Python 3.10 to 3.13 keep the tasks in a set of weak references, which is copied as it is.
- Python 3.14 does so with tasks that are made in Python. Those of C are in one list for each thread, of
  which ``all_tasks()`` alone tells: it is called, and what it answers is measured and dropped, in one call.

Without the interpreter lock a look at a task is a reference to it, and may be the last one.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Any

_PENDING = "PENDING"
_TRIES = 8
_referent = weakref.ref.__call__
_loop_and_state = attrgetter("_loop", "_state")


def task_ids(loops: Iterable[Any]) -> frozenset[int]:
    """The ids of all tasks that are there, done or not; those of C on Python 3.14 and later only of these loops.

    An id names a task as long as there is that task: another may have it later. It never raises.
    """
    ids = set(map(id, map(_referent, _known())))
    ask = getattr(sys.modules.get("_asyncio"), "all_tasks", None)
    for loop in loops:
        ids |= _ids_asked(ask, loop)
    return frozenset(ids - {id(None)})  # None stands for those that are gone


def _ids_asked(ask: Callable[[Any], set[Any]] | None, loop: Any) -> set[int]:
    for _ in range(0 if ask is None else _TRIES):
        try:
            return set(chain.from_iterable(map(partial(map, id), map(ask, (loop,)))))  # type: ignore[arg-type]
        except Exception:  # tasks of another make came or went meanwhile
            continue
    return set()


def task_counts() -> Callable[[Any], int]:
    """A function that tells of a loop how many of its tasks are not done, about as of now. It never raises."""
    ask = getattr(sys.modules.get("_asyncio"), "all_tasks", None)
    known: list[Counter[int]] = []

    def tasks_of(loop: Any) -> int:
        if not known:
            known.append(_count_known())
        return known[0][id(loop)] + _count_asked(ask, loop)

    return tasks_of


def _count_asked(ask: Callable[[Any], set[Any]] | None, loop: Any) -> int:
    for _ in range(0 if ask is None else _TRIES):
        try:
            return sum(map(len, map(ask, (loop,))))  # type: ignore[arg-type]
        except Exception:  # tasks of another make came or went meanwhile
            continue
    return 0


def _count_known() -> Counter[int]:
    """Those that asyncio knows by weak references, by the id of their loop."""
    counts: Counter[int] = Counter()
    _add(counts, _known())
    return counts


def _known() -> list[Any]:
    known = vars(asyncio.tasks)
    # First those that run their first step as they are made: from here they go to the others.
    eager = _copied(map(weakref.ref, known.get("_eager_tasks", ())))
    weak = known.get("_scheduled_tasks", known.get("_all_tasks"))
    return eager + _copied(getattr(weak, "data", ()))


def _copied(references: Iterable[Any]) -> list[Any]:
    for _ in range(_TRIES):
        try:
            return list(references)
        except RuntimeError:  # it changed meanwhile, without the interpreter lock
            continue
    return []


def _add(counts: Counter[int], references: list[Any]) -> None:
    found = map(_loop_and_state, map(_referent, references))
    while True:
        try:
            for loop, state in found:
                if state == _PENDING:
                    counts[id(loop)] += 1
            return
        except Exception:  # a task that is gone, or one of another make; the next call goes on after it
            continue

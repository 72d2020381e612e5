"""What the platform tells of a thread, found out by asking."""

from __future__ import annotations

import threading

from ... import _compat

_ASKED = 8


def untold() -> tuple[str, ...]:
    """In words, which evidence for the cause of a stall cannot be had here (a container may hide parts of /proc).

    Of what it does in the kernel only another thread can be asked: call it when there is one.
    """
    here = _compat.native_thread_id()
    others = [thread.native_id for thread in threading.enumerate() if thread.native_id not in (None, here)]
    clock = _compat.ThreadClock(here, keep=False)
    answers = {
        "the CPU time of a thread": clock.cpu(),
        "how long a thread waits for a CPU": clock.queued(),
        "how often a thread goes to sleep": clock.switches(),
        "what a thread does in the kernel": next(filter(None, map(_compat.kernel_activity, others[:_ASKED])), None),
    }
    return tuple(words for words, answer in answers.items() if answer is None)

"""How a watch ends, and is awaited, where a loop's thread may not wait since another tool refuses it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable


def end(
    finish: Callable[[], object], finish_after: Callable[[Exception], object], refused: Exception | None = None
) -> Exception | None:
    """Call ``finish()``; where it raises, or something had before (``refused``), ``finish_after(that)`` in a thread.

    The thread is no daemon: an exit of the process awaits it. Returns what kept from waiting until it ran, if anything.

    :raises Exception: what was raised, where no loop runs in this thread: then it is an error of its own, and nobody's
        service fails by it. Also where no thread can be had.
    """
    if refused is None:
        try:
            finish()
        except Exception as error:
            refused = error
        else:
            return None
    fault = _begin(threading.Thread(target=finish_after, args=(refused,), name="loopwatch-ending"), refused)
    if asyncio._get_running_loop() is None:
        raise refused
    return fault


def waited(wait: Callable[[], bool], refused: Callable[[Exception], object]) -> bool:
    """What ``wait()`` answers; where it raises, ``refused`` is told of that, and the answer is no.

    :raises Exception: what was raised, where no loop runs in this thread: then it is an error of its own.
    """
    try:
        return wait()
    except Exception as error:
        if asyncio._get_running_loop() is None:
            raise
        refused(error)
        return False


def _begin(thread: threading.Thread, refused: Exception) -> Exception | None:
    try:
        thread.start()
    except RuntimeError:  # no thread can be had
        raise refused from None
    except Exception as error:  # to wait until it runs was refused as well: it runs
        return error
    return None

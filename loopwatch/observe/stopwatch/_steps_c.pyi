"""The stopwatch in C, see ``module.h``; put to use by ``accelerated.py``."""

from collections.abc import Callable
from types import MemberDescriptorType
from typing import Any, final

class Fields:
    """The fields of a stopwatch, see ``Stopwatch`` in ``_steps_py.py``."""

    brief: int
    brief_turns: int
    handle: Any
    idle: float
    mark: float
    quick: int
    quick_before: int
    quick_turns: int
    slow_from: float
    step_counts: list[int]
    turn: float
    turn_counts: list[int]

@final
class _Run:
    @property
    def direct(self) -> int: ...
    @property
    def reference(self) -> Any: ...
    def __call__(self, handle: Any, /) -> None: ...
    def let_go(self) -> None: ...
    def take_up(self) -> None: ...

@final
class _Select:
    def __call__(self, timeout: Any = None) -> Any: ...
    def let_go(self) -> None: ...

def make_run(
    previous: Callable[[Any], None],
    reference: Callable[[Any], None],
    settle: Callable[[Any, Any, float], None],
    clock: Callable[[], float] | None,
    quick: float,
    slots: tuple[MemberDescriptorType, ...] | None,
    types: tuple[type, ...],
    direct: bool,
) -> _Run:
    """Times ``previous``. ``reference`` does the same for stopwatches that are not plain, ``settle`` ends what is slow.

    ``clock`` None: ``monotonic`` is read without a call. ``slots``: the descriptors of a handle's ``_loop``,
    ``_context``, ``_callback`` and ``_args``, None where they are not known; ``types``: those of handles that have
    them. ``direct``: call the callback instead of ``previous``, which is asyncio's own function.
    """

def make_select(
    state: Any,
    inner: Callable[[Any], Any],
    reference: Any,
    alarm: Any,
    clock: Callable[[], float] | None,
    quick: float,
    types: tuple[type, type] | None,
) -> _Select:
    """Bounds the turns of ``state``; ``reference`` does the same where that is not a plain stopwatch (any more).

    ``types``: those of the selector and of its epoll object, where ``inner`` is the selector's genuine ``select``.
    """

def monotonic() -> float:
    """The seconds of ``time.perf_counter``."""

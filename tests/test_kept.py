"""What is kept for a loop is its own, whatever its class says of equality."""

from __future__ import annotations

from typing import Any

import pytest

from loopwatch.observe.uvloops.uvloop_methods import Kept


class _Equal:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Equal)

    def __hash__(self) -> int:
        return 1


class _Unhashable(_Equal):
    __hash__: Any = None


@pytest.mark.parametrize("kind", [_Equal, _Unhashable])
def test_loops_that_compare_equal_keep_their_own(kind: Any) -> None:
    kept = Kept("_loopwatch_test")
    kept.put(kind)
    try:
        first, second = kind(), kind()
        first._loopwatch_test, second._loopwatch_test = 1, 2
        assert (first._loopwatch_test, second._loopwatch_test) == (1, 2)
        del first, second
        assert not kept._kept
        assert not hasattr(kind(), "_loopwatch_test")
    finally:
        kept.take_out(kind)

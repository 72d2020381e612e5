"""Of ``unittest.IsolatedAsyncioTestCase`` pytest runs ``asyncSetUp`` and ``asyncTearDown`` in the test's call."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from ..testing.period import Period


@contextmanager
def only_the_test_method(item: pytest.Item, period: Period) -> Generator[Callable[[], None]]:
    """Gives what begins the period: at once, or when the test case comes to the test's own method.

    By ``_callTestMethod`` of ``unittest.TestCase``, which is there on all versions; without it all of the call counts.
    """
    case: Any = getattr(item, "instance", None) or getattr(item, "_testcase", None)
    call = getattr(case, "_callTestMethod", None)
    if call is None:
        yield period.begin
        return

    def timed(method: Any) -> Any:
        period.begin()
        try:
            return call(method)
        finally:
            period.pause()

    case._callTestMethod = timed
    try:
        yield lambda: None
    finally:
        del case._callTestMethod

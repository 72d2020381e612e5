"""Parts for tests of and with loopwatch, for any test framework. (For pytest there is a plugin, which needs none.)"""

from .assertion import assert_no_blocking
from .doubles import FakeClock, RecordingReporter
from .terms import BlockingWarning

__all__ = ["BlockingWarning", "FakeClock", "RecordingReporter", "assert_no_blocking"]

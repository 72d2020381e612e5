"""Without an exporter's library loopwatch works, and whoever asks for that exporter is told what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

BLOCK = """
import sys

for name in ("prometheus_client", "opentelemetry"):
    sys.modules[name] = None  # every import of it raises ImportError, installed or not

import loopwatch
"""

MESSAGE = "needs prometheus_client, which is not installed. Install it with: pip install 'loopwatch[prometheus]'"


def run(program: str) -> str:
    """What a program prints in a fresh interpreter that has no exporter's library."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCK + program],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.rstrip("\n")


def raised_by(call: str) -> str:
    return f"""
try:
    {call}
except loopwatch.MissingExtra as error:
    print(error)
"""


def test_the_library_is_blocked_in_these_tests() -> None:
    """The programs below really cannot import it, so what they show is true of a machine without it."""
    program = "try:\n    import prometheus_client\nexcept ImportError:\n    print('blocked')"
    assert run(program) == "blocked"


def test_the_collector_names_the_extra() -> None:
    """Whoever imports it by hand learns what to install, as an ImportError."""
    said = run(raised_by("import loopwatch.report.prometheus"))
    assert said == f"For Prometheus metrics loopwatch {MESSAGE}"
    assert run("print(issubclass(loopwatch.MissingExtra, ImportError))") == "True"


A_REGISTRY = "type('R', (), dict.fromkeys(('register', 'unregister', 'collect'), print))()"


@pytest.mark.parametrize("wanted", ["True", A_REGISTRY])
def test_metrics_that_were_asked_for_are_not_left_out_silently(wanted: str) -> None:
    """``prometheus=True`` or a registry without the library is refused, and nothing is half-installed."""
    said = run(raised_by(f"loopwatch.install(prometheus={wanted})") + "print(loopwatch.current())")
    assert MESSAGE in said
    assert said.endswith("\nNone")


def test_metrics_by_default_do_without_the_library() -> None:
    """``"auto"`` means: where the library is there. Everything else works."""
    program = "with loopwatch.install(reporters=[]) as watch: print(watch.snapshot().events_dropped)"
    assert run(program) == "0"


@pytest.mark.parametrize("wanted", ["True", "type('P', (), {'get_meter': print})()"])
def test_opentelemetry_that_was_asked_for_is_not_left_out_silently(wanted: str) -> None:
    """Likewise ``opentelemetry=True``, or a provider of whatever make."""
    said = run(raised_by(f"loopwatch.install(opentelemetry={wanted})") + "print(loopwatch.current())")
    assert "loopwatch needs opentelemetry-sdk, which is not installed" in said
    assert "pip install 'loopwatch[otel]'" in said
    assert said.endswith("\nNone")


def test_serving_metrics_names_the_extra() -> None:
    """``serve_metrics()`` asks for the library by name."""
    said = run("watch = loopwatch.install(reporters=[])" + raised_by("watch.serve_metrics(0)") + "watch.uninstall()")
    assert MESSAGE in said

"""How far a stall's reported duration is from what a clock inside the callback says."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable

from .apart import begin, result_of
from .figure import Figure, Look
from .watching import watching

_SECONDS = (0.055, 0.08, 0.12, 0.25, 0.6)
_EXACT = 0.002
_SHARE = 0.02
_TIMES = 4


def measure(look: Look) -> list[Figure]:
    """The worst error of all stalls, against what is allowed for each: 2 ms or 2 %, whichever is more."""
    stalls = result_of("benchmarks.truth", "--times", "1" if look.fast else str(_TIMES))["stalls"]
    errors = [abs(reported - true) for true, reported in stalls]
    allowed = [max(_EXACT, _SHARE * true) for true, _ in stalls]
    worst = max(error / most for error, most in zip(errors, allowed))
    median = sorted(errors)[len(errors) // 2]
    over = sum(error > most for error, most in zip(errors, allowed))
    note = f"of the 2 ms or 2 % allowed; {over} of {len(stalls)} stalls over, median error {median * 1e6:.0f} us, "
    note += f"worst {max(errors) * 1e6:.0f} us"
    return [Figure("stall", "worst error of a stall's duration", worst, 1.0, "x", note=note, details={"all": stalls})]


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def _spin(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def _hold(times: int) -> list[float]:
    """Hold the loop again and again, in callbacks that time themselves; returns the true durations."""
    loop = asyncio.get_running_loop()
    true: list[float] = []

    def step(hold: Callable[[float], None], seconds: float) -> None:
        started = time.perf_counter()
        hold(seconds)
        true.append(time.perf_counter() - started)

    for _ in range(times):
        for hold in (_sleep, _spin):
            for seconds in _SECONDS:
                loop.call_soon(step, hold, seconds)
                await asyncio.sleep(0.02)
    return true


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truth", description=__doc__)
    parser.add_argument("--times", type=int, default=_TIMES)
    options = begin(parser)
    from loopwatch.testing import RecordingReporter  # no sooner than the stopwatch is chosen

    events = RecordingReporter()
    with watching(True, reporters=[events]) as watch:
        true = asyncio.run(_hold(options.times))
        assert watch is not None
        watch.flush(5.0)
    # A busy machine makes stalls as well; they are not of these steps.
    reported = [
        stall.duration for stall in events.stalls if stall.kind == "step" and str(stall.callback).endswith(".step")
    ]
    if len(reported) != len(true):
        raise SystemExit(f"{len(true)} stalls were made and {len(reported)} reported")
    print(json.dumps({"stalls": list(zip(true, reported))}), flush=True)


if __name__ == "__main__":
    main()

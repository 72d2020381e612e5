"""What a watched step costs, counted in instructions: no busy machine can disturb that."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from tests.implementations import NAMES, implementation
from tests.valgrind import run_under

STEPS = {
    "call_soon": 3000,
    "sleep": 3000,
    "brief call_soon": 1000,
    "brief sleep": 1000,
    "submit": 500,
    "to_thread": 300,
    "uvloop_call_soon": 3000,
    "uvloop_sleep": 3000,
    "brief uvloop_call_soon": 3000,
}
"""How many are counted of each workload. For those of jobs a step is a job, of 60,000 instructions and more.

Of those that are brief each step and turn is too long to be quick.
"""
PROGRAM = """
    import gc
    import os
    from loopwatch.observe.stopwatch import _steps_py, steps
    from loopwatch.observe.uvloops import calls, uvloop_steps
    from loopwatch.observe.loops import loop_state
    times_steps = [_steps_py, calls]
    if steps.IMPLEMENTATION == "c":
        from loopwatch.observe.stopwatch import accelerated
        times_steps.append(accelerated)
    import loopwatch.watch
    # Under valgrind everything takes so long that no step would be quick or brief, nor any job brief.
    loop_state.NOTABLE = uvloop_steps.NOTABLE = loopwatch.watch.BRIEF = 3600.0
    from benchmarks.workloads import WORKLOADS

    def count(name):
        run = WORKLOADS[name.rpartition(" ")[2]].time
        run(300)  # until the interpreter has specialised what runs
        gc.collect()
        gc.freeze()  # whether a collection of all that was imported falls into the count is chance
        os.getppid()
        run({steps}[name])
        os.getppid()

    for name in {names}:
        for module in times_steps:
            module.QUICK = 0.0 if name.startswith("brief") else 3600.0
        count(name)
        with loopwatch.install(reporters=[], prometheus=False, threshold=3600, executor_wait=60) as watch:
            watch._sampler.stop()  # it looks as often as time passes, and time passes slowly here
            count(name)
"""

BOUNDS = {
    "c": {
        "call_soon": 0.91,
        "sleep": 0.92,
        "brief call_soon": 0.91,
        "brief sleep": 0.92,
        "submit": 1.19,
        "to_thread": 1.07,
        "uvloop_call_soon": 1.16,
        "uvloop_sleep": 1.09,
        "brief uvloop_call_soon": 1.16,
    },
    "python": {"call_soon": 1.13, "sleep": 1.12, "brief call_soon": 1.19, "brief sleep": 1.16},
}
"""Ratios to the unwatched loop. They are near what was measured: what makes a step dearer is to be noticed.

Between versions they differ: in C from 0.82 and 0.84 on 3.12 to 0.90 and 0.90 on 3.13 to 3.15; in Python 3.10 is the
dearest, with 1.22 to 1.24 and 1.20 to 1.21. What is brief costs in C what is quick does, and in Python 0.04 more, on
3.10 0.11. A job in C: from 1.06 and 0.96 on 3.10 to 1.16 and 1.03 on 3.15. On uvloop 1.15 and 1.07 on 3.11, what
is brief as what is quick: a step that is a turn of its own pays for the poll that does not wait, too, which libuv makes
where it counts idle time. Without that, and without what runs once, it is 1.10 and 1.05.
"""


@pytest.mark.needs("pyperf", "uvloop", programs=("valgrind",))
@pytest.mark.parametrize("name", NAMES)
def test_a_watched_step_is_as_cheap_as_promised(tmp_path: Path, name: str) -> None:
    """In C it takes fewer instructions than an unwatched one, and in Python few more."""
    implementation(name)
    bounds = BOUNDS[name]
    program = textwrap.dedent(PROGRAM).format(steps=STEPS, names=list(bounds))
    output = tmp_path / "counts"
    # Each call of getppid(2) ends a count and begins another.
    run_under(
        tmp_path,
        "callgrind",
        program,
        f"--callgrind-out-file={output}",
        "--dump-before=getppid",
        LOOPWATCH_NO_EXTENSIONS="" if name == "c" else "1",
        LOOPWATCH_REQUIRE_C="1" if name == "c" else "",
    )
    counts = [instructions(Path(f"{output}.{number}")) for number in range(1, 4 * len(bounds) + 1)]
    ratios = {}
    for workload in bounds:
        _, unwatched, _, watched = counts[:4]
        del counts[:4]
        assert unwatched > 1000 * STEPS[workload]  # it did what it was to do
        ratios[workload] = round(watched / unwatched, 4)
    print(ratios)
    assert {workload: ratio <= bounds[workload] for workload, ratio in ratios.items()} == dict.fromkeys(bounds, True), (
        ratios
    )


def instructions(dump: Path) -> int:
    """The total of a dump of callgrind's."""
    (total,) = re.findall(r"(?m)^(?:totals|summary): (\d+)", dump.read_text(errors="replace"))[-1:]
    return int(total)

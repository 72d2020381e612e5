"""What offloads are charged with, and what is told of them between two scrapes."""

from __future__ import annotations

from loopwatch.model import Offload
from loopwatch.record.charges import Charges
from loopwatch.record.recorder import Recorder


def offload(jobs: int, cpu: float | None) -> Offload:
    return Offload(
        site="bank.Bank.get:7", target="send", executor="bank", jobs=jobs, wait_seconds=float(jobs),
        run_seconds=float(jobs), cpu_seconds=cpu, cause="wait",
    )  # fmt: skip


def test_a_charged_offload_is_told_as_it_was_last_judged() -> None:
    """Each origin once, in the order in which it was first charged."""
    charges = Charges(Recorder())
    charges.charge("b", offload(1, 0.1), 1.0)
    charges.charge("a", offload(2, 0.1), 2.0)
    charges.charge("b", offload(5, 0.2), 4.0)
    assert [each.jobs for each in charges.offloads()] == [5, 2]


def test_what_is_told_of_cpu_time_never_comes_down() -> None:
    """It is an estimate, and Prometheus takes a counter that falls for one that began anew."""
    charges = Charges(Recorder())
    for jobs, cpu in enumerate((0.2, 0.15, None, 0.3), start=1):
        charges.charge("a", offload(jobs, cpu), float(jobs))
        (told,) = charges.offloads()
        assert (told.jobs, told.cpu_seconds) == (jobs, 0.3 if cpu == 0.3 else 0.2)

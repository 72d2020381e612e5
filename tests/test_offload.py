"""The verdict on an offload, from made-up facts."""

from __future__ import annotations

import dis
import threading
from types import CodeType
from typing import Any

import pytest

from loopwatch.explain.culprit import OwnCode
from loopwatch.explain.offload import judge, worth_telling
from loopwatch.facts import Glance, OffloadTally, Origin, RawFrame
from tests.made_offloads import (
    CALLER,
    CARRIERS,
    STDLIB,
    WRAPPER,
    at_call,
    frame,
    glance,
    origin,
    tally,
)


def verdict(*glances: Glance, **numbers: Any) -> tuple[str, Any]:
    offload = judge(tally(*glances, **numbers), OwnCode())
    return offload.verdict, offload.evidence.get("waited_for")


def test_workers_that_wait_for_the_network_are_simulated_async():
    """The evidence has the numbers, the remedy a client that waits without threads, and the share is told."""
    offload = judge(tally(glance("network", None, "requests", "vendor"), awaited=8.0, covered=6.0), OwnCode())
    assert (offload.verdict, offload.cause, offload.share) == ("simulated async", "wait", 0.75)
    assert "httpx.AsyncClient" in offload.remedy and "at most 3 " in offload.remedy
    assert offload.evidence == {
        "seen": {"network": 10},
        "loop_jobs": 20,
        "cpu_share": 0.005,
        "waited_for": "network",
        "call": "sock.recv",
    }
    assert (offload.wait_seconds, offload.run_seconds, offload.cpu_seconds) == (1.0, 2.0, 0.01)


def test_workers_that_sleep_are_simulated_async():
    """A sleep needs no thread."""
    offload = judge(tally(glance("sleep"), of=origin(*CARRIERS, CALLER, target="time.sleep")), OwnCode())
    assert offload.verdict == "simulated async" and "asyncio.sleep" in offload.remedy


@pytest.mark.parametrize(("network", "expected"), [(10, "simulated async"), (9, "cpu offload")])
def test_half_of_what_was_seen_decides(network, expected):
    """Waiting for the network has to be at least half of what the workers were seen doing."""
    seen = {glance("network"): network, glance("running"): 10}
    assert verdict(glances=seen, cpu=0.4)[0] == expected


@pytest.mark.parametrize(("cpu", "expected"), [(1.0, "cpu offload"), (0.99, "simulated async")])
def test_workers_that_compute_half_of_their_time_are_not_accused(cpu, expected):
    """Whatever they were seen doing in the other half."""
    assert verdict(glance("network"), cpu=cpu)[0] == expected


def test_computations_that_fight_for_the_interpreter_are_computations():
    """Of eight threads that compute in Python each has an eighth of the time, and is seen to wait for the lock."""
    computing = glance("futex", frame("shop.prices.total", call="work"), "shop", "threading")
    offload = judge(tally(computing, cpu=0.25), OwnCode())
    assert offload.verdict == "cpu offload" and "process pool" in offload.remedy
    assert "waited_for" not in offload.evidence


@pytest.mark.parametrize(("run", "expected"), [(0.02, "cpu offload"), (0.019, "offload")])
def test_computations_that_are_over_in_no_time_are_left_alone(run, expected):
    """Twenty jobs of less than a millisecond: a process pool would be no better."""
    offload = judge(tally(run=run, cpu=run, cpu_known=run), OwnCode())
    assert offload.verdict == expected and bool(offload.remedy) is (expected == "cpu offload")


def test_computations_that_fight_for_a_cpu_are_computations():
    """C code that lets the interpreter go is on or ready for a CPU, which it shares."""
    assert verdict(glance("running"), cpu=0.3)[0] == "cpu offload"


def test_threads_that_take_no_cpu_at_all_do_not_compute():
    """They wait in C for something that has no name."""
    assert verdict(glance("futex", frame("shop.prices.total")), cpu=0.019)[0] == "offload"
    assert verdict(glance("futex", frame("shop.prices.total")), cpu=0.02)[0] == "cpu offload"


def test_short_jobs_stand_for_those_that_were_not_measured():
    """Where the CPU time of a part is known, the whole is estimated from it; where of none, nothing is said."""
    assert judge(tally(run=2.0, cpu=0.2, cpu_known=0.5), OwnCode()).cpu_seconds == pytest.approx(0.8)
    unknown = judge(tally(glance("network"), cpu=0.0, cpu_known=0.0), OwnCode())
    assert unknown.cpu_seconds is None and "cpu_share" not in unknown.evidence
    assert unknown.verdict == "simulated async"


@pytest.mark.parametrize(
    "target", ["pathlib.Path.read_bytes", "shutil.copyfile", "io.open", "os.fsync", "_io.BufferedReader.read"]
)
@pytest.mark.parametrize("cpu", [0.0, 1.9])
def test_a_file_function_is_a_file_offload(target, cpu):
    """By its name alone, whether the pages came from a disk or from memory."""
    assert verdict(of=origin(*CARRIERS, CALLER, target=target), cpu=cpu) == ("file I/O offload", "file")


@pytest.mark.parametrize(
    ("activity", "call", "module"),
    [
        ("file", "work", "shop.export"),
        ("running", "open().read", "shop.export"),
        ("futex", "self.write_text", "pathlib"),
    ],
)
def test_workers_that_are_seen_at_files_are_a_file_offload(activity, call, module):
    """A function of one's own that reads or writes, in the kernel or between two calls."""
    if call == "open().read":
        at = at_call("def save():\n    open(1).read()\n", "/srv/shop/export.py", module)
    else:
        at = frame(f"{module}.save", call=call)
    assert verdict(glance(activity, at, "shop"), cpu=0.9) == ("file I/O offload", "file")


def test_a_call_that_waits_for_a_file_is_at_the_file_while_it_computes():
    """Writing into memory takes the CPU; what the kernel once showed at a file is no computation elsewhere."""
    at = frame("shop.export.save", call="sock.write")
    seen = {glance("file", at): 1, glance("running", at): 10, glance("running", frame("shop.export.sum")): 5}
    assert verdict(glances=seen, cpu=0.5) == ("file I/O offload", "file")
    assert verdict(glance("running", at), cpu=0.5)[0] == "cpu offload"


def test_what_a_function_that_opens_reads_is_a_file():
    """``file.read`` says nothing of what ``file`` is; that the function opens something does."""
    source = "def load(path):\n    with open(path) as file:\n        return file.read()\n"
    at = at_call_of(source, "read")
    assert verdict(glance("running", at), cpu=0.5) == ("file I/O offload", "file")
    assert verdict(glance("running", frame("shop.export.load", call="sock.read")), cpu=0.5)[0] == "cpu offload"


def at_call_of(source: str, method: str) -> RawFrame:
    """The frame of a source's only function, at its call of a method."""
    (code,) = (each for each in compile(source, "/srv/shop/export.py", "exec").co_consts if isinstance(each, CodeType))
    steps = list(dis.get_instructions(code))
    loaded = next(index for index, step in enumerate(steps) if step.argval == method)
    call = next(step for step in steps[loaded + 1 :] if step.opname.startswith("CALL"))
    return RawFrame(code, call.offset, "shop.export")


def test_a_socket_is_no_file():
    """read() of a connection is not a file's."""
    at = frame("http.client.read_body", STDLIB, "self.read")
    assert verdict(glance("network", at, "http"))[0] == "simulated async"


@pytest.mark.parametrize("call", ["lock.acquire", "self.ready.wait", "self.thread.join"])
def test_workers_that_wait_for_each_other_are_a_lock_offload(call):
    """No client is to blame; the remedy says what is."""
    waiting = glance("futex", frame("shop.state.update", call=call), "shop")
    offload = judge(tally(waiting, cpu=0.0), OwnCode())
    assert (offload.verdict, offload.evidence["waited_for"]) == ("lock offload", "lock")
    assert "lock" in offload.remedy


def test_a_lock_that_is_the_target_itself_is_a_lock_offload():
    """to_thread(lock.acquire) has no frame of its own in the worker."""
    waiting = glance("futex", frame("concurrent.futures.thread.run", STDLIB), "threading", "concurrent")
    assert verdict(waiting, of=origin(*CARRIERS, CALLER, target="_thread.lock.acquire"), cpu=0.0)[0] == "lock offload"


def test_a_client_that_waits_for_a_thread_of_its_own_waits_for_the_network():
    """Some clients poll in C, or in another thread; their callers are seen at a lock."""
    at = frame("threading.wait", STDLIB, "lock.acquire")
    offload = judge(tally(glance("futex", at, "grpc", "threading"), cpu=0.02), OwnCode())
    assert offload.verdict == "simulated async" and "grpc.aio" in offload.remedy


@pytest.mark.parametrize("activity", ["network", "process", "file", "futex"])
def test_a_wait_for_another_process_is_no_simulated_async(activity):
    """subprocess polls its pipes as others poll sockets."""
    at = frame("selectors.select", STDLIB, "self._selector.poll")
    assert verdict(glance(activity, at, "subprocess", "selectors")) == ("offload", "process")


@pytest.mark.parametrize("target", ["socket.getaddrinfo", "asyncio.base_events.BaseEventLoop._getaddrinfo_debug"])
def test_the_loops_own_name_lookup_is_never_accused(target):
    """Native clients do it as well."""
    assert verdict(glance("network"), of=origin(*CARRIERS, WRAPPER, CALLER, target=target))[0] == "offload"


@pytest.mark.parametrize(("loop_jobs", "expected"), [(10, "simulated async"), (9, "offload"), (0, "offload")])
def test_work_that_no_loop_waits_for_is_not_accused(loop_jobs, expected):
    """At least half of the jobs have to be a loop's."""
    assert verdict(glance("network"), loop_jobs=loop_jobs)[0] == expected


@pytest.mark.parametrize(
    ("jobs", "looks", "expected"),
    [(3, 3, "simulated async"), (2, 3, "undecided"), (3, 2, "undecided"), (100, 0, "undecided")],
)
def test_little_evidence_decides_nothing(jobs, looks, expected):
    """Three jobs and three looks are the least."""
    seen = {glance("network"): looks} if looks else {}
    assert verdict(glances=seen, jobs=jobs, loop_jobs=jobs)[0] == expected


def test_what_fits_nothing_is_an_offload():
    """A doing that the kernel has no word for is no accusation."""
    assert verdict(glance("other")) == ("offload", "other")


def test_the_remedy_names_the_library_that_was_waiting():
    """What a job computes with meanwhile is not what has to be replaced."""
    seen = {glance("network", None, "psycopg2"): 10, glance("running", None, "requests"): 3}
    assert "asyncpg" in judge(tally(glances=seen), OwnCode()).remedy
    by_target = tally(glance("network"), of=origin(*CARRIERS, CALLER, target="pymongo.collection.find"))
    assert "AsyncMongoClient" in judge(by_target, OwnCode()).remedy


def test_the_share_is_known_only_where_a_caller_was_followed(own):
    """None is not 0; and overlapping looks do not make it more than the whole."""
    assert judge(tally(), own).share is None
    assert judge(tally(awaited=2.0, covered=2.5), own).share == 1.0
    assert judge(tally(awaited=2.0, covered=0.0), own).share == 0.0


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [({}, True), ({"jobs": 9, "loop_jobs": 9}, False), ({"run": 0.9, "cpu_known": 0.9}, False), ({"cpu": 1.5}, False)],
)
def test_only_what_costs_is_worth_telling(numbers, expected):
    """Ten jobs and a second of waiting; a few calls at start-up are no disease."""
    assert worth_telling(judge(tally(glance("network"), **numbers), OwnCode())) is expected


def test_any_facts_can_be_judged(own):
    """An offload of which nothing is known but that it was."""
    offload = judge(OffloadTally(Origin((), "other", "other"), 0, 0.0, 0.0, 0.0, 0.0, 0), own)
    assert (offload.site, offload.verdict, offload.share) == ("other", "undecided", None)
    assert offload.to_dict()["site"] == "other"


def test_judging_is_safe_from_any_thread(own):
    """The verdict is a function of its facts: several threads get the same."""
    facts, found = tally(glance("network")), []
    threads = [threading.Thread(target=lambda: found.append(judge(facts, own))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all(each == found[0] for each in found)

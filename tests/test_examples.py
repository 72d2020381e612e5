"""The examples, run as a person runs them: as processes of their own, judged by what they print."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 100.0

pytestmark = [
    pytest.mark.needs("anyio", "fastapi", "httpx", "prometheus_client", "requests", "rich", "starlette", "uvicorn"),
    pytest.mark.realtime,
    pytest.mark.timeout(LIMIT + 60),
]


@contextmanager
def running(module: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """``python -m module`` as a process, which is gone afterwards whatever the test has found."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOOPWATCH_")}
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**inherited, "PYTHONUNBUFFERED": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[str], limit: float = LIMIT) -> tuple[str, str]:
    """The rest of its output. Every process below it holds its standard error: the end of that is the end of all."""
    try:
        return process.communicate(timeout=limit)
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"still running after {limit} s, or left a process behind: {late.stderr!r}") from late


def line_with(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"ended without a line with {text!r}: {finish(process)}")


class Run:
    """One finished run: its exit code, what it printed, and what it wrote as JSON."""

    def __init__(self, module: str, file: Path) -> None:
        with running(module, "--json", str(file)) as process:
            self.output, self.errors = finish(process)
        self.code = process.returncode
        assert file.exists(), f"exit code {self.code}\n{self.output}\n{self.errors}"
        self.json: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))


# The demo: before, after, and what loopwatch said of each.


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run("examples.simulated_async", tmp_path_factory.mktemp("demo") / "demo.json")


def wrapper_offload(demo: Run) -> dict[str, Any]:
    offloads = [each for each in demo.json["before"]["offloads"] if each["verdict"] == "simulated async"]
    assert offloads, demo.json["before"]["offloads"]
    return max(offloads, key=lambda each: int(each["jobs"]))


def test_the_demo_succeeds(demo):
    """The exit code says that the wrapper was named and the native client was not spoken of."""
    assert demo.code == 0, demo.output + demo.errors
    assert "The wrapper was named; about the native client loopwatch was silent." in demo.output


def test_the_wrapper_is_named_with_the_caller(demo):
    """The offload's site is the wrapper's own line and the line of the application that called it."""
    site = wrapper_offload(demo)["site"]
    assert site.startswith("examples.simulated_async.before.")
    assert "_request:" in site.partition(" from ")[0]
    assert "examples.simulated_async." in site.partition(" from ")[2]
    assert site in demo.output


def test_the_wrapper_gets_the_remedy_of_a_native_client(demo):
    """The remedy for simulated async is a client that waits without threads."""
    remedy = wrapper_offload(demo)["remedy"]
    assert "httpx" in remedy or "native" in remedy
    assert remedy in demo.output
    assert "verdict: simulated async" in demo.output


def test_the_log_says_it_as_well(demo):
    """What the log reporter wrote names the wrapper, without a look at any JSON."""
    log = demo.json["before"]["log"]
    assert "examples.simulated_async.before." in log
    assert "simulated async" in log


def test_the_full_pool_is_a_backlog(demo):
    """Ten callers of three workers are one pool whose queue is seen, with the right number of workers."""
    backlogs = [event for event in demo.json["before"]["events"] if event["event"] == "backlog"]
    assert {event["workers"] for event in backlogs} == {3}
    assert max(event["depth"] for event in backlogs) >= 5


def test_the_native_client_is_not_spoken_of(demo):
    """No event, no line in the log, no accusation for a client that does nothing wrong."""
    after = demo.json["after"]
    assert [event for event in after["events"] if event.get("culprit") or event["event"] != "stall"] == []
    assert after["log"] == "" or after["events"]  # nothing but a stall that the host is to blame for
    assert [each["verdict"] for each in after["offloads"] if each["verdict"] == "simulated async"] == []


def test_the_wrapper_is_slower_by_its_queue(demo):
    """Ten requests over three workers take much longer than ten at once; three times, where nothing else runs."""
    before, after = demo.json["before"], demo.json["after"]
    assert before["mean"] > 1.5 * after["mean"]
    assert after["per_second"] > 1.5 * before["per_second"]


def test_blocking_is_accounted_by_kind(demo):
    """The wrapper's seconds are queue and worker seconds that fit its response times; the native client has none."""
    blocking, requests, mean = (demo.json["before"][key] for key in ("blocking", "requests", "mean"))
    assert blocking["offload"] >= 0.8 * requests * 0.15
    assert 0.7 * requests * mean <= blocking["queue"] + blocking["offload"] <= 1.1 * requests * mean
    after = demo.json["after"]
    assert after["blocking"]["queue"] == after["blocking"]["offload"] == 0.0
    # A busy host may hold a loop; that is told, and charged to nobody.
    host = sum(event["duration"] for event in after["events"] if event["event"] == "stall" and not event["in_progress"])
    assert after["blocking"]["loop"] == pytest.approx(host)


def test_the_wrapper_has_its_three_threads_more(demo):
    """Threads are counted while the work runs: the pool's three are the difference."""
    assert demo.json["before"]["threads"] == demo.json["after"]["threads"] + 3


def test_the_published_figures_stand_beside_the_measured(demo):
    """A reader can compare, and is told why the figures differ."""
    for text in ("450 -> 150 ms", "6.7 -> 20", "-28 %", "three requests in flight"):
        assert text in demo.output
    assert f"{demo.json['before']['mean'] * 1000:.0f} ms" in demo.output
    assert f"{demo.json['after']['per_second']:.1f}" in demo.output


def test_the_demo_fails_when_loopwatch_does():
    """An unnamed wrapper, a wrong place, no remedy, and an event about the native client are each noticed."""
    from examples.simulated_async.verdict import spoke_of_native, wrapper_findings

    named = {"site": "examples.simulated_async.before.X:1", "verdict": "simulated async", "remedy": "Use a native one."}
    assert wrapper_findings({"offloads": [named]}) == [named]
    for change in ({"site": "elsewhere.X:1"}, {"verdict": "offload"}, {"remedy": ""}):
        assert wrapper_findings({"offloads": [{**named, **change}]}) == []
    assert not spoke_of_native({"events": [], "offloads": [{**named, "verdict": "undecided"}]})
    assert spoke_of_native({"events": [{"event": "stall", "culprit": {"site": "x:1"}}], "offloads": []})
    assert spoke_of_native({"events": [{"event": "backlog", "culprit": None}], "offloads": []})
    assert not spoke_of_native({"events": [{"event": "stall", "culprit": None}], "offloads": []})  # the host's
    assert spoke_of_native({"events": [], "offloads": [named]})


# Serving, and leaving nothing behind.


def test_serving_leaves_metrics_up_until_interrupted():
    """With SERVE=1 both URLs answer with the seconds of blocking; Ctrl-C ends every process, without an error."""
    with running("examples.simulated_async", "--requests", "30", SERVE="1") as process:
        before, after = (line_with(process, f"Metrics of {name}: ").split()[-1] for name in ("before", "after"))
        line_with(process, "until Ctrl-C")
        assert 'kind="offload"' in scraped(before)
        assert "loopwatch_step_duration_seconds_bucket" in scraped(after)
        process.send_signal(signal.SIGINT)
        errors = finish(process, 30.0)[1]
    assert process.returncode == 0
    assert "Traceback" not in errors


def scraped(url: str) -> str:
    assert url.startswith("http://127.0.0.1:")
    with urlopen(url, timeout=10.0) as response:
        text: str = response.read().decode()
    return text


@pytest.mark.skipif(os.name != "posix", reason="the signals are POSIX signals")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("module", ["examples.simulated_async", "examples.fastapi_service"])
def test_no_process_outlives_an_example(module, number):
    """However an example is ended in the middle of its work, the processes it started end as well."""
    arguments = ("--requests", "100000") if module == "examples.simulated_async" else ("--port", "0")
    with running(module, *arguments) as process:
        line_with(process, "http://127.0.0.1:")
        process.send_signal(getattr(signal, number))
        finish(process, 30.0)


# The two clients are one API.


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    from examples.children import child

    with child("examples.simulated_async.upstream", "--with-parent", "--delay", "0.01", seconds=60.0) as (url, _):
        yield url


CLIENTS = ["before", "after"]


def ask(client: str, url: str, call: str, *arguments: Any, **options: Any) -> Any:
    """Call one method of a client and return what it returned, or the error that it raised."""
    from examples.simulated_async import after, api, before

    opened: Any = {"before": before.ThreadedDatabase, "after": after.NativeDatabase}[client]
    where = options.pop("where", {})
    database: api.Database = opened(url, **options)

    async def main() -> Any:
        async with database:
            return await getattr(database, call)(*arguments, **where)

    try:
        return asyncio.run(main())
    except api.DatabaseError as error:
        return error


@pytest.mark.parametrize("client", CLIENTS)
def test_both_clients_read_and_write(client, upstream):
    """Each call of the API returns the same rows through either client."""
    assert ask(client, upstream, "get", "orders", 7) == {"id": 7, "table": "orders", "name": "row 7"}
    assert ask(client, upstream, "query", "orders", where={"state": "open"})[0] == {
        "id": 1,
        "table": "orders",
        "state": "open",
    }
    assert ask(client, upstream, "create", "orders", {"state": "new"})["state"] == "new"
    assert ask(client, upstream, "update", "orders", 7, {"state": "sent"}) == {
        "id": 7,
        "table": "orders",
        "state": "sent",
    }


@pytest.mark.parametrize("client", CLIENTS)
def test_both_clients_map_errors_alike(client, upstream):
    """A missing row, an empty change, a late reply and a dead server are the API's errors in either client."""
    errors = [
        ask(client, upstream, "get", "orders", 5000),
        ask(client, upstream, "update", "orders", 1, {}),
        ask(client, upstream, "get", "orders", 1, timeout=0.001),
        ask(client, "http://127.0.0.1:9", "get", "orders", 1),
    ]
    assert [type(error).__name__ for error in errors] == [
        "RowNotFound",
        "RequestRejected",
        "DatabaseTimeout",
        "DatabaseUnavailable",
    ]


# The FastAPI service: each disease is named, the healthy route is not.


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run("examples.load", tmp_path_factory.mktemp("service") / "service.json")


def round_of(service: Run, route: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in service.json["rounds"] if each["route"] == route)
    return found


def events_of(service: Run, route: str, kind: str) -> list[dict[str, Any]]:
    return [event for event in round_of(service, route)["events"] if event["event"] == kind]


def all_backlogs(service: Run) -> list[dict[str, Any]]:
    """Of any round: an episode may end, and be told, when the next round has begun."""
    return [event for each in service.json["rounds"] for event in each["events"] if event["event"] == "backlog"]


def blamed(event: dict[str, Any]) -> str:
    """All names that an event accuses, in one text."""
    culprit = (event.get("culprit") or {}).get("site", "")
    submitters = [each["site"] for each in event.get("submitters", ())]
    holders = [each["target"] for each in event.get("holders", ())]
    return " ".join([culprit, event.get("site", ""), *submitters, *holders])


def test_the_load_succeeds(service):
    """Every request of every round was answered with 200."""
    assert service.code == 0, service.errors
    statuses = {status for each in service.json["rounds"] for status in each["statuses"]}
    assert statuses == {"200"}


@pytest.mark.parametrize(
    ("route", "function", "cause"), [("/sync-client", "sync_client", "wait"), ("/cpu", "cpu", "cpu")]
)
def test_a_route_that_holds_the_loop_is_named_with_its_cause(service, route, function, cause):
    """Most of the steps that are charged to anyone are charged to the bad route, with the right cause and a remedy."""
    # Those that a busy host has made longer may be excused, and name nobody.
    stalls = [event for event in events_of(service, route, "stall") if event["kind"] == "step" and event["culprit"]]
    right = [
        stall
        for stall in stalls
        if (stall["culprit"]["module"], stall["culprit"]["function"]) == ("examples.fastapi_service", function)
        and stall["cause"] == cause
    ]
    assert len(right) >= 2, stalls
    assert len(right) > len(stalls) / 2, stalls
    assert all(stall["duration"] >= 0.1 and stall["remedy"] for stall in right)
    assert f"examples.fastapi_service.{function}:" in service.output


def test_a_burst_is_a_turn_with_its_biggest_contributor(service):
    """Hundreds of short steps in one turn are one stall of the turn, and what they ran is named."""
    turns = [event for event in events_of(service, "/burst", "stall") if event["kind"] == "turn"]
    # Of the 300 some may have been held for so long by a busy host that they are stalls of their own.
    big = [turn for turn in turns if turn["steps"] >= 250 and "burst_price" in turn["contributors"][0]["name"]]
    assert len(big) >= 2, turns
    assert all(turn["duration"] >= 0.2 for turn in big)


def test_def_routes_over_the_limit_are_a_backlog_of_anyio(service):
    """The 41st blocking route waits for one of AnyIO's workers, and the route that holds them is named."""
    backlogs = all_backlogs(service)
    held = [event for event in backlogs if "examples.fastapi_service.report" in blamed(event)]
    assert held, backlogs
    assert {event["workers"] for event in held} == {40}


def test_an_async_client_over_a_pool_is_named_behind_its_route(service):
    """The wrapper is named as simulated async, together with the route that calls it, and its queue is a backlog."""
    offloads = [each for each in service.json["offloads"] if each["verdict"] == "simulated async"]
    sites = [each["site"] for each in offloads if each["site"].startswith("examples.simulated_async.before.")]
    assert any("examples.fastapi_service.simulated:" in site for site in sites), service.json["offloads"]
    backlogs = all_backlogs(service)
    assert any("examples.simulated_async.before." in blamed(event) and event["workers"] == 3 for event in backlogs)


def test_the_healthy_route_is_never_blamed(service):
    """Whatever the others do, no event of any round accuses the route that only waited for them."""
    events = [event for each in service.json["rounds"] for event in each["events"]]
    assert events
    assert [event for event in events if "fastapi_service.healthy" in blamed(event)] == []


def test_full_pools_do_not_show_in_a_health_check(service):
    """The healthy route is slow while the loop is held, and quick while only a pool's queue is full."""
    held = [round_of(service, route)["healthy_median"] for route in ("/sync-client", "/cpu", "/burst")]
    queued = [round_of(service, route)["healthy_median"] for route in ("/report", "/simulated")]
    assert min(held) > 1.5 * max(queued)

"""The dashboards and the rules over a real Prometheus, which scrapes the example service with all its diseases."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from docs.queries import QUERIES
from grafana.expressions import expressions
from grafana.prometheus_server import HERE, RULES, Prometheus, prometheus

NEEDS = ("anyio", "fastapi", "httpx", "prometheus_client", "requests", "uvicorn")
DELAY = 0.3
LIMIT = 60.0

pytestmark = [
    pytest.mark.needs(*NEEDS, programs=("prometheus",)),
    pytest.mark.realtime,
    pytest.mark.timeout(LIMIT * 3),
]


class Scene(NamedTuple):
    prometheus: Prometheus
    url: str
    outcomes: dict[str, Any]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The example under load on every disease, beside a service whose watch is blind; all of it scraped twice since."""
    from examples.children import child

    service = ("examples.fastapi_service", "--port", "0", "--with-parent", "--upstream-delay", str(DELAY))
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        child(*service, seconds=60.0) as (url, _),
        child("tests.blind_service", seconds=60.0) as (blind, _),
        prometheus(folder, {"example": f"{url}/metrics/", "blind": blind}) as server,
    ):
        wait_for(server, "count(loopwatch_info) == 2")
        yield Scene(server, url, under_load(server, url))


def under_load(server: Prometheus, url: str) -> dict[str, Any]:
    """What became of the load, by route, once all of it was scraped."""
    from examples.load import put_load

    outcomes, _ = asyncio.run(put_load(url, LIMIT))
    wait_for(server, f"min(timestamp(loopwatch_info)) > {time.time() + 1}")
    return {each.route: each for each in outcomes}


def wait_for(server: Prometheus, expr: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not server.query(expr):
        assert time.monotonic() < deadline, f"{expr}: {server.ask('targets')}"
        time.sleep(0.2)


def tells(server: Prometheus, expr: str) -> bool:
    """Whether there is a number among what the expression has."""
    return any(not math.isnan(float(each["value"][1])) for each in server.query(expr))


def test_every_expression_of_every_panel_returns_data(scene: Scene) -> None:
    """None has a name, a label or a function that gives nothing when there is something to see."""
    asked = list(expressions())
    assert len(asked) > 50
    assert [each for each in asked if not tells(scene.prometheus, each.text)] == []


def test_every_query_of_the_reference_returns_data(scene: Scene) -> None:
    """Each metric's question has an answer."""
    assert [name for name, query in QUERIES.items() if not tells(scene.prometheus, query.promql)] == []


def test_every_expression_of_every_rule_returns_data(scene: Scene) -> None:
    """An alert is asked what it compares: 0 where it would not fire, and 1 where it would, but never nothing."""
    rules = [rule for group in scene.prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == sum((HERE / name).read_text().count("expr:") for name in RULES)
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    asked = [re.sub(r"(?<= )(>|==) ", r"\1 bool ", rule["query"]) for rule in rules]
    assert [each for each in asked if not tells(scene.prometheus, each)] == []


@pytest.mark.parametrize(
    ("expr", "route", "seconds"),
    [
        ('loopwatch_blocking_seconds_total{kind="loop", site=~".*sync_client.*"}', "/sync-client", DELAY),
        ('loopwatch_blocking_seconds_total{kind="loop", site=~".*[.]cpu:.*"}', "/cpu", 0.12),
        ('loopwatch_offload_seconds_total{part="run", site=~".*before.*"}', "/simulated", DELAY),
        ('loopwatch_executor_run_seconds_sum{executor=~"anyio.*"}', "/report", 0.2),
    ],
)
def test_the_seconds_agree_with_the_load(
    request: pytest.FixtureRequest, scene: Scene, expr: str, route: str, seconds: float
) -> None:
    """What was put on is what Prometheus has, within a tenth: on the loop, in disguise, and on workers.

    A host that takes the CPU away makes each request longer. So whoever runs this again puts the load on again: the
    numbers of the one before are the same for ever.
    """
    before, outcomes = 0.0, scene.outcomes
    if getattr(request.node, "execution_count", 1) > 1:
        before, outcomes = scene.prometheus.value(expr), under_load(scene.prometheus, scene.url)
    requests = sum(outcomes[route].statuses.values())
    assert requests == outcomes[route].statuses["200"]
    assert scene.prometheus.value(expr) - before == pytest.approx(requests * seconds, rel=0.1)


def test_the_worst_sites_are_the_diseased_routes(scene: Scene) -> None:
    """What the ranking of the overview shows first is what was done to the service, by kind."""
    (ranking,) = [each.text for each in expressions() if each.panel == "Worst sites"]
    found = {(each["metric"]["kind"], each["metric"]["site"]) for each in scene.prometheus.query(ranking)}
    for kind, part in (("loop", "sync_client"), ("loop", ".cpu:"), ("offload", "before.")):
        assert [site for found_kind, site in found if found_kind == kind and part in site], (kind, part, found)
    assert "queue" in {kind for kind, _ in found}


def test_the_blind_watch_is_pending_and_the_other_is_not(scene: Scene) -> None:
    """The alert knows which process does not see its loops."""
    alerts = [each["labels"] for each in scene.prometheus.ask("alerts")["alerts"]]
    assert {each["job"] for each in alerts if each["alertname"] == "LoopwatchBlind"} == {"blind"}


def test_the_table_of_workers_recommends_more_for_a_full_pool(scene: Scene) -> None:
    """Twenty callers of three workers: while they called the pool should have had more, and at most as many as they.

    In the window of a minute that the table has, they called for a few seconds only.
    """
    (would_do, may_be) = [each.text for each in expressions() if each.panel == "Workers that would do"][:2]
    found = by_executor(scene.prometheus.query(f"max_over_time(({would_do})[5m:1s])"))
    limits = by_executor(scene.prometheus.query(may_be))
    assert [name for name, workers in found.items() if limits[name] == 3 < workers <= 30], (found, limits)


def by_executor(samples: list[dict[str, Any]]) -> dict[str, float]:
    return {each["metric"]["executor"]: float(each["value"][1]) for each in samples}

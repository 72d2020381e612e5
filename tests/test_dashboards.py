"""The dashboards as they stand in the repository: made from the code, of Grafana's own shape, and told in full."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from grafana.expressions import FOLDER, expressions, panels
from loopwatch.metrics import METRICS

GRAFANA = FOLDER.parent
ROOT = GRAFANA.parent
FILES = sorted(FOLDER.glob("*.json"))
RULES = [GRAFANA / "recording_rules.yml", GRAFANA / "alerts.yml"]
EACH = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.stem))

needs_sdk = pytest.mark.skipif(sys.version_info < (3, 11), reason="Grafana's library is for Python 3.11 and newer")


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


@needs_sdk
@pytest.mark.needs("grafana_foundation_sdk")
def test_the_json_is_what_the_code_makes() -> None:
    """After a change, ``python -m grafana`` has been run; nobody has changed the JSON by hand."""
    from grafana.__main__ import dashboards

    assert {file.name: file.read_text(encoding="utf-8") for file in FILES} == dashboards()


@needs_sdk
@pytest.mark.needs("grafana_foundation_sdk")
def test_a_metric_that_is_renamed_breaks_the_making(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name or a label that the table does not have is an error, not an empty panel."""
    from grafana import queries
    from grafana.overview import overview

    for mistake in (("loopwatch_stalls",), ("loopwatch_stalled_seconds", "_bucket")):
        with pytest.raises(LookupError):
            queries.series(*mistake)
    with pytest.raises(LookupError):
        queries.series("loopwatch_stalled_seconds", executor="default")
    others = {name: row for name, row in METRICS.items() if name != "loopwatch_gc_pause_seconds"}
    monkeypatch.setattr(queries, "METRICS", others)  # in the table itself the row would come back as the last
    with pytest.raises(LookupError):
        overview()


@pytest.mark.needs("fastjsonschema", programs=("npm",))
@pytest.mark.timeout(300)
def test_the_json_has_the_shape_of_grafana_s_own_types() -> None:
    """Validated against a schema that is made from the types that Grafana itself is compiled with."""
    import fastjsonschema

    made = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "grafana_schema.py")], stdout=subprocess.PIPE, text=True
    )
    assert made.returncode == 0
    validate = fastjsonschema.compile(read(Path(made.stdout.strip())))
    for file in FILES:
        validate(read(file))
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        validate({**read(FILES[0]), "panels": [{"type": "stat", "gridPos": "top"}]})


def test_there_are_three_dashboards() -> None:
    """With identities of their own, by which they are linked."""
    boards = {file.stem: read(file) for file in FILES}
    assert set(boards) == {"executors", "overview", "simulated_async"}
    assert len({board["uid"] for board in boards.values()}) == 3


@EACH
def test_a_dashboard_links_to_the_others_and_can_be_narrowed(file: Path) -> None:
    """The links keep what is chosen; job, instance, and loop or executor can be."""
    board = read(file)
    (link,) = board["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == (
        "dashboards",
        ["loopwatch"],
        True,
        True,
    )
    assert board["tags"] == ["loopwatch"]
    names = [variable["name"] for variable in board["templating"]["list"]]
    extra = {"overview": ["loop"], "executors": ["executor"], "simulated_async": []}[file.stem]
    assert names == ["datasource", "job", "instance", *extra]


@EACH
def test_every_panel_says_what_is_good_what_is_bad_and_what_to_do(file: Path) -> None:
    """Who is woken at night reads it where they look."""
    found = list(panels(read(file)))
    assert len(found) >= 10
    for panel in found:
        for part in ("**Good:**", "**Bad:**", "**What to do:**"):
            assert part in panel["description"], panel["title"]
    assert len({panel["title"] for panel in found}) == len(found)
    numbers = [panel["id"] for panel in read(file)["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_no_panel_has_a_line_for_each_instance() -> None:
    """A fleet of hundreds stays readable: instances are summed up, or only the worst are shown."""
    for each in expressions():
        assert "topk(" in each.text or "instance" not in each.legend, each
        if re.search(r"by \([^)]*(instance|site)[^)]*\)", each.text) and not re.match(r"(sum|max|count)\(", each.text):
            assert "topk(" in each.text or each.panel == "Offloads", each


@pytest.mark.parametrize("file", RULES, ids=lambda file: str(file.stem))
def test_rules_speak_of_metrics_that_exist(file: Path) -> None:
    """A renamed metric is noticed here, too: an alert on nothing never fires."""
    text = file.read_text(encoding="utf-8")
    recorded = set(re.findall(r"record: (\S+)", RULES[0].read_text(encoding="utf-8")))
    for name in re.findall(r"[a-z:]*loopwatch_[a-z0-9_:]+", text):
        known = name in recorded or name in METRICS or re.sub("_(sum|count|bucket)$", "", name) in METRICS
        assert known, name


def test_every_alert_has_a_runbook_and_a_test() -> None:
    """Whoever is woken is told what to do, and each alert has been seen firing and silent."""
    alerts = re.split(r"- alert: ", (GRAFANA / "alerts.yml").read_text(encoding="utf-8"))[1:]
    tests = (GRAFANA / "rules_test.yml").read_text(encoding="utf-8")
    assert len(alerts) == 7
    for alert in alerts:
        for part in ("severity:", "summary:", "description:", "runbook: |"):
            assert part in alert
        name = alert.split()[0]
        assert tests.count(f'ALERTS{{alertname="{name}", alertstate="firing"}}\n') >= 2
        assert tests.count(f'\'ALERTS{{alertname="{name}"') == 1


@pytest.mark.needs(programs=("promtool",))
@pytest.mark.parametrize(
    "command", [("check", "rules", *RULES), ("test", "rules", GRAFANA / "rules_test.yml")], ids=("check", "test")
)
def test_promtool_takes_the_rules(command: tuple[str | Path, ...]) -> None:
    """Prometheus's own checker: the rules are well-formed, and fire when they should and not when they should not."""
    run = subprocess.run(["promtool", *map(str, command)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr

"""What all dashboards have alike: their variables, the links between them, and how they are written."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from loopwatch.metrics import METRICS

from .panels import SOURCE

TAG = "loopwatch"


def board(uid: str, title: str, description: str, *choices: str) -> Any:
    """An empty dashboard; ``choices`` are the variables besides job and instance: ``loop``, ``executor``."""
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("browser")
        .refresh("30s")
        .time("now-1h", "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("loopwatch")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(False)
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_choice("job", "loopwatch_info", ""))
        .with_variable(_choice("instance", "loopwatch_info", 'job=~"$job"'))
    )
    for label in choices:
        made.with_variable(_choice(label, _TOLD_BY[label], 'job=~"$job", instance=~"$instance"'))
    return made


_TOLD_BY = {"loop": "loopwatch_tasks", "executor": "loopwatch_executor_queue_depth"}


def _choice(label: str, name: str, among: str) -> Any:
    if label not in ("job", "instance") and label not in METRICS[name].labels:
        raise LookupError(f"{name} has no label {label!r}")
    query = f"label_values({METRICS[name].prometheus}{{{among}}}, {label})"
    return (
        dashboard.QueryVariable(label)
        .label(label.capitalize())
        .datasource(SOURCE)
        .query({"query": query, "refId": label})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(text="All", value="$__all", selected=True))
    )


def written(made: Any) -> str:
    """The JSON that Grafana takes, with its panels numbered from 1."""
    built: Any = made.build()
    for number, panel in enumerate(built.panels, start=1):
        panel.id_val = number
    for variable in built.templating.list_val:
        # What only variables of other types have, Grafana's own types say.
        variable.auto = variable.auto_min = variable.auto_count = variable.definition = None
    text: str = JSONEncoder(sort_keys=True, indent=2).encode(built)
    return text + "\n"

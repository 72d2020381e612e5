"""Panels as loopwatch uses them. None can be made without saying what is good, what is bad, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

GREEN, YELLOW, RED = "green", "yellow", "red"
_BESIDE_A_SITE = 125
"""Pixels of each other column."""


class Told(NamedTuple):
    """The description of a panel."""

    what: str
    good: str
    bad: str
    do: str

    def __str__(self) -> str:
        return f"{self.what}\n\n**Good:** {self.good}\n\n**Bad:** {self.bad}\n\n**What to do:** {self.do}"


class Column(NamedTuple):
    """One value of a table: its heading, its query and its unit."""

    title: str
    expr: str
    unit: str
    decimals: int | None = None


def _query(expr: str, ref: str, legend: str = "__auto") -> Any:
    return prometheus.Dataquery().datasource(SOURCE).expr(expr).ref_id(ref).legend_format(legend)


def _limits(yellow: float | None, red: float | None) -> Any:
    steps = [models.Threshold(value=None, color=GREEN)]
    steps += [models.Threshold(value=at, color=color) for at, color in ((yellow, YELLOW), (red, RED)) if at is not None]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def number(
    title: str,
    told: Told,
    expr: str,
    *,
    unit: str = "short",
    yellow: float | None = None,
    red: float | None = None,
    decimals: int | None = None,
    width: int = 4,
) -> Any:
    """One number, and how it went, in the colour of how bad it is."""
    panel = (
        stat.Panel()
        .title(title)
        .description(str(told))
        .datasource(SOURCE)
        .with_target(_query(expr, "A", title))
        .unit(unit)
        .thresholds(_limits(yellow, red))
        .color_mode(common_models.BigValueColorMode.BACKGROUND)
        .graph_mode(common_models.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("none")
        .span(width)
        .height(4)
    )
    return panel if decimals is None else panel.decimals(decimals)


def lines(
    title: str,
    told: Told,
    queries: Mapping[str, str],
    *,
    unit: str = "s",
    red: float | None = None,
    most: float | None = None,
    stacked: bool = False,
    exemplars: bool = False,
    width: int = 12,
    height: int = 8,
) -> Any:
    """Lines over time by their legend. ``red`` is drawn as a line not to be above; ``most`` is the end of the axis."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(str(told))
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .fill_opacity(40 if stacked else 10)
        .line_width(1 if stacked else 2)
        .show_points(common_models.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.TABLE)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
        .span(width)
        .height(height)
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if most is not None:
        panel.max(most)
    if red is not None:
        panel.thresholds(_limits(None, red))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED))
    for ref, (legend, expr) in zip("ABCDEFGH", queries.items()):
        query = _query(expr, ref, legend).range()
        panel.with_target(query.exemplar(True) if exemplars else query)
    return panel


def ranking(
    title: str, told: Told, expr: str, legend: str, *, unit: str = "s", width: int = 12, height: int = 8
) -> Any:
    """The worst ones as bars, longest first."""
    return (
        bargauge.Panel()
        .title(title)
        .description(str(told))
        .datasource(SOURCE)
        .with_target(_query(f"sort_desc({expr})", "A", legend).instant())
        .unit(unit)
        .min(0)
        .thresholds(_limits(None, None))
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.CONTINUOUS_GR_YL_RD))
        .display_mode(common_models.BarGaugeDisplayMode.GRADIENT)
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .no_value("none")
        .span(width)
        .height(height)
    )


def rows(
    title: str, told: Told, keys: Sequence[str], columns: Sequence[Column], *, width: int = 24, height: int = 9
) -> Any:
    """A table: a line for each combination of the labels ``keys``, sorted by the first of the columns."""
    panel = (
        table.Panel()
        .title(title)
        .description(str(told))
        .datasource(SOURCE)
        .show_header(True)
        .cell_height(common_models.TableCellHeight.SM)
        .filterable(True)
        .no_value("none")
        .span(width)
        .height(height)
    )
    values = {f"Value #{ref}" if len(columns) > 1 else "Value": column for ref, column in zip("ABCDEFGH", columns)}
    for ref, column in zip("ABCDEFGH", columns):
        panel.with_target(_query(column.expr, ref).instant().format(PromQueryFormat.TABLE))
    order = [*keys, *values]
    panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(
        models.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: place for place, name in enumerate(order)},
                "renameByName": {name: column.title for name, column in values.items()},
            },
        )
    )
    # A site is long: what stands beside it takes no more than it needs.
    beside = [models.DynamicConfigValue(id_val="custom.width", value=_BESIDE_A_SITE)] if "site" in keys else []
    for key in keys:
        if beside and key != "site":
            panel.override_by_name(key, beside)
    for column in columns:
        properties = [models.DynamicConfigValue(id_val="unit", value=column.unit), *beside]
        if column.decimals is not None:
            properties.append(models.DynamicConfigValue(id_val="decimals", value=column.decimals))
        panel.override_by_name(column.title, properties)
    return panel.sort_by([common.TableSortByFieldState().display_name(columns[0].title).desc(True)])

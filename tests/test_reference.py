"""The pages that are made from tables in the code are what these make of them, and so is the README's table."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from docs import reference
from docs.queries import QUERIES
from loopwatch.metrics import METRICS
from loopwatch.report.log import _SHORT
from loopwatch.settings import PREFIX, Settings

README = Path(__file__).resolve().parent.parent / "README.md"
PAGES = ("metrics.md", "settings.md")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_what_the_code_makes(page: str) -> None:
    """After a change, ``make reference`` has been run; nobody has changed the page by hand."""
    assert (reference.FOLDER / page).read_text(encoding="utf-8") == reference.pages()[page]


def test_every_page_is_tested() -> None:
    """None is made that is not compared."""
    assert set(reference.pages()) == set(PAGES)


def test_the_values_of_every_label_are_explained() -> None:
    """None is missing, and none is left over of a label that is gone."""
    assert set(reference.LABELS) == {label for row in METRICS.values() for label in row.labels}


def test_every_metric_has_a_query_that_speaks_of_it() -> None:
    """By its whole name, and by no label that neither it nor Prometheus has."""
    assert set(QUERIES) == set(METRICS)
    for name, (question, promql) in QUERIES.items():
        assert "?" in question
        assert re.search(rf"\b{name}(?:_bucket|_sum|_count)?\b", promql), name
        by = {label for labels in re.findall(r"by \(([^)]*)\)", promql) for label in labels.split(", ")}
        assert by <= {"job", "instance", "le", *METRICS[name].labels}, name


def test_every_setting_says_what_it_is_for() -> None:
    """What stands below its definition is in the page."""
    assert all(reference.described()[name].endswith(".") for name in settings())


def settings() -> dict[str, object]:
    """Each setting and its default."""
    return {each.name: each.default for each in fields(Settings) if "rule" in each.metadata}


def test_the_readme_has_every_setting_with_its_default_and_variable() -> None:
    """What is no number or text is told in words."""
    readme = README.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ?([^|]*?) ?\| `(LOOPWATCH_\w+)` \|", readme, re.MULTILINE)
    assert {name: variable for name, _, variable in rows} == {name: PREFIX + name.upper() for name in settings()}
    in_words = {"reporters": "the log", "own_code": ""}
    meant = {name: in_words.get(name, str(default).removesuffix(".0")) for name, default in settings().items()}
    assert {name: default.strip('`"') for name, default, _ in rows} == meant


def test_every_field_of_a_log_record_is_told() -> None:
    """Where logging is set up, each attribute has its row."""
    told = re.findall(r"`(loopwatch_\w+)`", (reference.FOLDER / "service.md").read_text(encoding="utf-8"))
    assert {f"loopwatch_{name}" for name in _SHORT} <= set(told)

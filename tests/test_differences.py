"""What differs between loops is said in the README: the scenarios expect nothing else, and nothing more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.differences import README, Difference

TESTS = Path(__file__).resolve().parent


def rows() -> list[str]:
    """The first cell of each row of the README's table."""
    section = README.read_text(encoding="utf-8").partition("### What differs on uvloop\n")[2].partition("\n#")[0]
    return re.findall(r"^\| ([^|]+?) \|", section, re.MULTILINE)


@pytest.mark.parametrize("difference", Difference, ids=lambda difference: difference.name)
def test_each_difference_has_a_row_in_the_readme(difference: Difference) -> None:
    """One row, which begins as it says."""
    assert len([row for row in rows() if row.startswith(difference.value)]) == 1


@pytest.mark.parametrize("difference", Difference, ids=lambda difference: difference.name)
def test_each_difference_is_one_that_a_scenario_meets(difference: Difference) -> None:
    """What no test needs is no difference."""
    users = [file for file in TESTS.glob("*.py") if file.name != Path(__file__).name]
    assert any(f"Difference.{difference.name}" in file.read_text(encoding="utf-8") for file in users)

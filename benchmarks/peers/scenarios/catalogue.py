"""All scenarios, in the order of the tables."""

from __future__ import annotations

from . import innocent, on_loop, pools
from .scenario import Scenario

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario for scenario in (*on_loop.SCENARIOS, *pools.SCENARIOS, *innocent.SCENARIOS)
}

"""Every code block of the documentation does what the page says. ``tests/code_blocks.py`` has how a block says what."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from _pytest.mark import ParameterSet

from tests.block_runs import LIMIT, BlockFailed, Page
from tests.code_blocks import Block, Unclear, blocks_of, pages
from tests.conftest import is_missing
from tests.holding import BUSY
from tests.programs import ROOT

if is_missing("mypy"):
    pytest.skip("the documentation is run once, in the development environment", allow_module_level=True)
pytest.importorskip("markdown_it")

BLOCKS = {
    name: blocks_of(name, path.read_text(encoding="utf-8"))
    for path in pages()
    for name in [path.relative_to(ROOT).as_posix()]
}

pytestmark = [pytest.mark.realtime, pytest.mark.timeout(3 * LIMIT + 60)]


PROGRAMS = {"prometheus", "promtool"}
"""What comes with no Python package."""


def marked(block: Block) -> ParameterSet:
    """The block as a parameter, with what it cannot do without."""
    words = {
        word for text in (*block.comments, block.text if block.language == "console" else "") for word in text.split()
    }
    needed = sorted(PROGRAMS & words)
    return pytest.param(block, id=block.place, marks=[pytest.mark.needs(programs=tuple(needed))] if needed else [])


def host_is_busy() -> bool:
    """Whether others want the CPUs so much that loopwatch rightly says so, in place of what a page shows."""
    return os.getloadavg()[0] > 2 * (os.cpu_count() or 1)


@pytest.fixture(scope="module")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Block], Page]:
    """The page of a block, which stays the same for all of them."""
    made: dict[str, Page] = {}

    def page(block: Block) -> Page:
        if block.page not in made:
            made[block.page] = Page(BLOCKS[block.page], tmp_path_factory.mktemp("page"), attempts=3)
        return made[block.page]

    return page


@pytest.mark.parametrize("block", [marked(block) for blocks in BLOCKS.values() for block in blocks])
def test_a_block_does_what_the_page_says(block: Block, page_of: Callable[[Block], Page]) -> None:
    """It runs, ends as it is said to, and prints what is shown."""
    failure = skipped = way = None
    try:
        way = block.way()
        skipped = {"shown": "a picture", "not": f"not run: {way.why}"}.get(way.kind)
        if not skipped:
            page_of(block).run(block)
    except (BlockFailed, Unclear) as error:
        failure = str(error)
    if failure and way is not None and way.kind == "prints" and host_is_busy():
        pytest.skip(BUSY)
    if failure:
        pytest.fail(failure, pytrace=False)
    if skipped:
        pytest.skip(skipped)


def test_no_page_is_overlooked() -> None:
    """Each fence that a page has is one of the blocks, and the pages that have most are there."""
    for name, blocks in BLOCKS.items():
        fences = [
            line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line.lstrip().startswith("```")
        ]
        assert 2 * len(blocks) == len(fences), name
    assert len(BLOCKS["README.md"]) >= 12
    assert {"CONTRIBUTING.md", "docs/opentelemetry.md", "docs/prometheus.md", "docs/pytest.md"} <= BLOCKS.keys()

"""Every code block of the documentation does what the page says. ``tests/code_blocks.py`` has how a block says what."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from _pytest.mark import ParameterSet

from tests.block_runs import LIMIT, BlockFailed, Page
from tests.code_blocks import Block, Unclear, blocks_of, pages
from tests.conftest import is_missing
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


@pytest.fixture(scope="module")
def pages_of_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Page]]:
    """The pages by their names. While the tests go through them one by one, a thread does from the other end.

    Most of the time of most blocks is a wait, for which two can share a machine.
    """
    items = (item for item in request.session.items if isinstance(item, pytest.Function) and hasattr(item, "callspec"))
    chosen = [block for item in items if isinstance(block := item.callspec.params.get("block"), Block)]
    made = {
        name: Page(BLOCKS[name], tmp_path_factory.mktemp("page"), attempts=3)
        for name in dict.fromkeys(block.page for block in chosen)
    }
    over = threading.Event()

    def run_ahead() -> None:
        for name in reversed(made):
            for block in chosen:
                if block.page == name and not over.is_set():
                    with suppress(BlockFailed):  # told by its own test, which runs it again
                        made[name].run(block)

    ahead = threading.Thread(target=run_ahead)
    ahead.start()
    yield made
    over.set()
    ahead.join()


@pytest.mark.parametrize("block", [marked(block) for blocks in BLOCKS.values() for block in blocks])
def test_a_block_does_what_the_page_says(block: Block, pages_of_run: dict[str, Page]) -> None:
    """It runs, ends as it is said to, and prints what is shown."""
    failure = skipped = None
    try:
        way = block.way()
        skipped = {"shown": "a picture", "not": f"not run: {way.why}"}.get(way.kind)
        if not skipped:
            pages_of_run[block.page].run(block)
    except (BlockFailed, Unclear) as error:
        failure = str(error)
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

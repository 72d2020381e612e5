"""Every code block of the documentation does what the page says. ``tests/code_blocks.py`` has how a block says what."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.block_runs import BlockFailed, Page
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

pytestmark = pytest.mark.realtime


def marked(block: Block) -> object:
    """The block as a parameter, with what it cannot do without."""
    needed = [comment.split()[0] for comment in block.comments]
    marks = [pytest.mark.needs(programs=("promtool",))] if "promtool" in [*needed, *block.text.split()] else []
    return pytest.param(block, id=block.place, marks=marks)


@pytest.fixture(scope="module")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Block], Page]:
    """The page of a block, which stays the same for all of them."""
    made: dict[str, Page] = {}

    def page(block: Block) -> Page:
        if block.page not in made:
            made[block.page] = Page(BLOCKS[block.page], tmp_path_factory.mktemp("page"))
        return made[block.page]

    return page


@pytest.mark.parametrize("block", [marked(block) for blocks in BLOCKS.values() for block in blocks])
def test_a_block_does_what_the_page_says(block: Block, page_of: Callable[[Block], Page]) -> None:
    """It runs, ends as it is said to, and prints what is shown."""
    try:
        way = block.way()
    except Unclear as error:
        pytest.fail(str(error), pytrace=False)
    if way.kind == "shown":
        pytest.skip("a picture")
    if way.kind == "not":
        pytest.skip(f"not run: {way.why}")
    try:
        page_of(block).run(block)
    except BlockFailed as error:
        pytest.fail(str(error), pytrace=False)


def test_no_page_is_overlooked() -> None:
    """Each fence that a page has is one of the blocks, and the pages that have most are there."""
    for name, blocks in BLOCKS.items():
        fences = [
            line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line.lstrip().startswith("```")
        ]
        assert 2 * len(blocks) == len(fences), name
    assert len(BLOCKS["README.md"]) >= 12
    assert {"CONTRIBUTING.md", "docs/opentelemetry.md", "docs/prometheus.md", "docs/pytest.md"} <= BLOCKS.keys()

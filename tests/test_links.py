"""What is written leads somewhere: each link in a page of the repository, as GitHub follows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md"), *ROOT.glob("grafana/*.md")]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^(```+).*?^\1", re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """The text of a page without its blocks of code."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The headings of a page as the links to them are written."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ +(.*)", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
        if found[slug]:
            found[f"{slug}-{found[slug]}"] = 0
    return set(found)


def leads_nowhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists() or (target != ROOT and ROOT not in target.parents):
        return True
    return bool(anchor) and target.suffix == ".md" and anchor not in anchors(target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_what_is_there(page: Path) -> None:
    """A file, a folder, or a heading of the page that is named."""
    links = [link for link in LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link)]
    assert [link for link in links if leads_nowhere(page, link)] == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    """Neither a file that is not there nor a heading that is none passes."""
    page = ROOT / "README.md"
    assert leads_nowhere(page, "docs/nothing.md")
    assert leads_nowhere(page, "docs/pytest.md#nothing")
    assert not leads_nowhere(page, "docs/pytest.md#options")
    assert not leads_nowhere(page, "#quick-start")


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    """Who begins there can find it."""
    index = prose(ROOT / "docs" / "index.md")
    pages = {
        str(page.relative_to(ROOT / "docs")) for page in [*ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/*.rst")]
    } - {"index.md"}
    below = {page for page in pages if "/" in page and not page.endswith("/index.md")}
    assert pages - below <= set(LINK.findall(index))

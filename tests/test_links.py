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


PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)*(?:/|\.(?:pyi?|[ch]|sh)))`")
"""What is called a path where it stands in backticks: it ends with a slash, or as code does."""
OTHERS = {"Lib/asyncio/events.py": "CPython's", "asgi.py": "Django's"}


def parts_of_paths() -> set[str]:
    """Every file and folder of the checkout, by its path from the root or from any folder on the way."""
    tops = [path for path in ROOT.iterdir() if path.name not in ("build", "dist") and not path.name.startswith(".")]
    inside = [path for top in tops if top.is_dir() for path in top.rglob("*") if "node_modules" not in path.parts]
    known = [path.relative_to(ROOT).parts for path in [*tops, *inside]]
    return {"/".join(parts[begin:]) for parts in known for begin in range(len(parts))}


def test_every_file_and_folder_that_a_page_names_is_there() -> None:
    """Of the checkout, or one that a page has its reader write; a file that was moved is named anew."""
    written = {name for page in PAGES for name in re.findall(r"<!-- run: file (\S+) -->", page.read_text("utf-8"))}
    known = parts_of_paths() | written | set(OTHERS)
    named = [(str(page.relative_to(ROOT)), path) for page in PAGES for path in PATH.findall(prose(page))]
    assert len(named) > 30
    assert [(page, path) for page, path in named if path.rstrip("/") not in known] == []

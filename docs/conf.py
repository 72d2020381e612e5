"""How Sphinx builds the documentation from plain Markdown, which reads as well where it lies: ``make docs``.

The pages know nothing of Sphinx. Its table of contents is the list of links in ``index.md``; ``readme.md`` stands for
the README; a link to another file of the repository is one to a copy of it, and an error where it leads nowhere.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import download_reference, pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from loopwatch import __version__

DOCS = Path(__file__).resolve().parent
README = DOCS.parent / "README.md"

project = "loopwatch"
release = version = __version__
copyright = "the authors of loopwatch"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
include_patterns = ["**.md", "**.rst"]
nitpicky = True
# Other projects' inventories would have to be downloaded, and a build needs no network.
nitpick_ignore_regex = [
    ("py:.*", r"(collections|logging|os|types|typing)\..*"),
]

myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
maximum_signature_line_length = 80

smartquotes = False  # what is quoted is often code

html_theme = "furo"
html_title = f"loopwatch {__version__}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False


def list_pages(index: str) -> str:
    """What GitHub shows as lists of links, Sphinx has as tables of contents, too, under their headings."""
    tables = []
    for section in re.split(r"^#+ ", index, flags=re.MULTILINE):
        pages = re.findall(r"^- \[([^]]*)\]\(([\w/-]+)\.(?:md|rst)\)", section, re.MULTILINE)
        if pages:
            entries = [f"{title} <{page}>" for title, page in pages]
            options = [":hidden:", f":caption: {section.partition(chr(10))[0]}", ""]
            tables.append("\n".join(["```{toctree}", *options, *entries, "```"]))
    return "\n\n".join([index, *tables, ""])


def from_docs(readme: str) -> str:
    """The README with its links as they are from here."""
    return re.sub(r"\]\((?!https?:|#)(docs/)?", lambda link: "](" if link[1] else "](../", readme)


def read(app: Sphinx, page: str, source: list[str]) -> None:
    """Called with the text of each page before it is understood."""
    if page.rpartition("/")[2] == "index":
        source[0] = list_pages(source[0])
    elif page == "readme":
        app.env.note_dependency(str(README))
        source[0] = from_docs(README.read_text(encoding="utf-8"))
    source[0] = re.sub(r"\]\(((?:\.\./)*)\.\./README\.md", r"](\1readme.md", source[0])


class RepositoryLinks(SphinxTransform):
    """Links to what lies beside ``docs``: a file can be had as it is, a folder has nothing to show."""

    default_priority = 1

    def apply(self, **kwargs: Any) -> None:
        for link in list(self.document.findall(pending_xref)):
            found = self._found(link) if link["reftype"] == "myst" else None
            if found is not None and found.is_dir():
                link.replace_self(link[0])
            elif found is not None:
                target = f"/{os.path.relpath(found, DOCS)}"  # from the root of the documentation
                link.replace_self(download_reference("", "", *link.children, reftarget=target))

    def _found(self, link: nodes.Element) -> Path | None:
        """What it leads to, where that exists and is no page."""
        target = link["reftarget"].partition("#")[0]
        if link.get("refdomain") == "doc":
            path = DOCS / f"{target}.md"
        else:
            path = DOCS / Path(self.env.docname).parent / target
        path = path.resolve()
        return path if target and path.exists() and DOCS not in path.parents else None


def setup(app: Sphinx) -> None:
    app.connect("source-read", read)
    app.add_transform(RepositoryLinks)

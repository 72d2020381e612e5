"""The harness of the documentation's code notices what is wrong: a wrong program, output, comment or language."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import wait_until
from tests.block_runs import BlockFailed, Page
from tests.code_blocks import Block, Unclear, blocks_of, pages
from tests.conftest import is_missing
from tests.printed import difference, is_printed

if is_missing("mypy"):
    pytest.skip("the documentation is run once, in the development environment", allow_module_level=True)
pytest.importorskip("markdown_it")


def fenced(language: str, text: str, comment: str = "") -> str:
    return (f"<!-- run: {comment} -->\n" if comment else "") + f"```{language}\n{text}\n```\n\n"


def last_of(page: str, folder: Path) -> str:
    """Run the last block of a page, and those above it: what it prints. Raises BlockFailed."""
    blocks = blocks_of("page.md", page)
    return Page(blocks, folder).run(blocks[-1])


def failure_of(page: str, folder: Path) -> str:
    with pytest.raises(BlockFailed) as caught:
        last_of(page, folder)
    return str(caught.value)


# --- what a page says --------------------------------------------------------------------------


def test_blocks_are_found_with_their_lines_and_comments() -> None:
    """In lists and below several comments, too; one without a fence has no language."""
    page = (
        "# A page\n\n"
        + fenced("python", "1", "file a.py")
        + "- item\n\n  ```text\n  x\n  ```\n\ntext\n\n    indented\n"
    )
    assert blocks_of("a.md", page) == [
        Block("a.md", 4, "python", "1\n", ("file a.py",)),
        Block("a.md", 10, "text", "x\n"),
        Block("a.md", 16, "", "indented\n"),
    ]
    assert [block.place for block in blocks_of("a.md", page)] == ["a.md:4", "a.md:10", "a.md:16"]


@pytest.mark.parametrize(
    ("page", "advice"),
    [
        (fenced("", "x"), r"page\.md:1 has no language: write one of console, ini"),
        ("text\n\n    indented\n", r"page\.md:3 has no language"),
        (fenced("py", "x"), r"the language 'py': write one of"),
        (fenced("console", "x"), r"console, does not say how it is run: write <!-- run: file NAME --> or .*shell"),
        (fenced("yaml", "x"), r"yaml, does not say how it is run: write .*promtool check config"),
        (fenced("python", "x", "pytests"), r"page\.md:2, python, is not run as 'pytests': write .*<!-- run: pytest"),
        (fenced("python", "x", "prints"), r"is not run as 'prints'"),
        (fenced("text", "x", "prints all"), r"'prints all' is not understood: write .*prints \[only\]"),
        (fenced("text", "x", "prints by tests/nobody.py"), r"which the checkout has not"),
        (fenced("python", "x", "file"), r"'file' is not understood: write <!-- run: file NAME -->"),
        (fenced("python", "x", "not,"), r"without a reason: write <!-- run: not, BECAUSE -->"),
        (fenced("python", "x", "with tests/nobody.py"), r"wants tests/nobody\.py, which the checkout has not"),
        ("<!-- run: pytest -->\n" + fenced("python", "x", "file a.py"), r"has 2 comments that say how it is run"),
    ],
)
def test_a_block_that_does_not_say_how_it_is_run_is_told_what_to_write(page: str, advice: str) -> None:
    """An unknown language, an unknown or missing comment, and one that means nothing there."""
    (block,) = blocks_of("page.md", page)
    with pytest.raises(Unclear, match=advice):
        block.way()


@pytest.mark.parametrize(
    "page", ["<!-- run: pytest -->\n\nText.\n\n" + fenced("python", "x"), "<!-- run: pytest -->\n"]
)
def test_a_comment_above_no_block_is_an_error(page: str) -> None:
    """What it was meant for would be run as if it were not there."""
    with pytest.raises(Unclear, match="'run: pytest' stands above no"):
        blocks_of("page.md", page)


def test_pages_are_looked_for_where_people_read_them(tmp_path: Path) -> None:
    """In folders below docs, too, but not where they are built."""
    for name in ("README.md", "docs/a.md", "docs/b/c.md", "docs/_build/d.md", ".venv/e.md", "examples/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in pages(tmp_path)]
    assert found == ["README.md", "docs/a.md", "docs/b/c.md", "examples/README.md"]


# --- what a block does -------------------------------------------------------------------------

FILE = fenced("python", "def answer():\n    return 42", "file shop/views.py")


@pytest.mark.parametrize(
    "page",
    [
        fenced("python", "print('fine')"),
        FILE + fenced("python", "import shop.views\nassert shop.views.answer() == 42"),
        FILE + fenced("python", "from shop.views import answer\n\ndef test_it():\n    assert answer() == 42", "pytest"),
        fenced("python", "def test_it():\n    assert False", "pytest fails"),
        fenced("python", "raise SystemExit(3)", "program exits 3"),
        fenced("console", "echo one\npython -c 'import loopwatch'", "shell"),
        fenced("console", "$ echo one \\\n    two\none two", "shell"),
        fenced("console", "exit 2", "shell exits 2"),
        fenced("python", "print('held 352 ms')") + fenced("text", "held 10.5 s", "prints only"),
        fenced("python", "this is not run", "not, it cannot be had here"),
        fenced("text", "a picture"),
    ],
)
def test_what_is_right_passes(page: str, tmp_path: Path) -> None:
    """Each way to run a block, with a block that does what is said."""
    last_of(page, tmp_path)


@pytest.mark.parametrize(
    ("page", "failure"),
    [
        (fenced("python", "1 / 0"), "page.md:1 ended with 1 instead of 0\nTraceback"),
        (fenced("python", "raise SystemExit(3)", "program exits 1"), "page.md:2 ended with 3 instead of 1"),
        (fenced("python", "pass", "program exits 1"), "page.md:2 ended with 0 instead of 1"),
        (fenced("python", "import threading\nthreading.Thread(target=lambda: 1 / 0).start()"), "printed a traceback"),
        (fenced("python", "def test_it():\n    assert False", "pytest"), "ended with 1 instead of 0"),
        (fenced("python", "def test_it():\n    pass", "pytest fails"), "page.md:2 ended with 0 instead of 1"),
        (fenced("python", "def misspelt_it():\n    pass", "pytest"), "ended with 5 instead of 0"),
        (fenced("console", "false\ntrue", "shell"), "page.md:2 ended with 1 instead of 0"),
        (fenced("console", "$ echo one\ntwo", "shell"), "page.md:2: its line 1 is not printed"),
        (fenced("python", "print('one')") + fenced("text", "two", "prints"), "page.md:6: its line 1 is not printed"),
        (fenced("python", "print('a\\nb')") + fenced("text", "a", "prints only"), "all of it is printed, but not only"),
        (fenced("python", "1 / 0") + fenced("text", "a", "prints"), "page.md:1, which is to print page.md:6, failed"),
        (fenced("text", "a", "prints"), "none above it is run"),
        (fenced("text", "a", "prints by loopwatch/_version.py"), "page.md:2: its line 1 is not printed"),
        (fenced("text", "a", "prints by loopwatch/report/log.py"), "which is to print page.md:2, ended with 1"),
        pytest.param(
            fenced("yaml", "scrape_configs: 1", "promtool check config"),
            "page.md:2 ended with 1 instead of 0",
            marks=pytest.mark.needs(programs=("promtool",)),
        ),
        (fenced("python", "pass", "serves http://127.0.0.1:8000"), "does not answer"),
    ],
)
def test_what_is_wrong_fails(page: str, failure: str, tmp_path: Path) -> None:
    """A program, a test, a command or an output that is not as the page says, in words that tell which and how."""
    assert failure in failure_of(page, tmp_path)


def test_a_block_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that it has started, and what it printed is told."""
    monkeypatch.setattr("tests.block_runs.LIMIT", 1.0)
    page = fenced("console", "sleep 60 & echo $!\nsleep 60", "shell")
    said = failure_of(page, tmp_path)
    assert "page.md:2 still runs after 1 s" in said
    wait_until(lambda: not Path(f"/proc/{said.split()[-1]}/cwd").exists())  # who is killed still has to end


SERVER = """
import http.server
asked = 0

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global asked
        asked += 1
        self.send_response(200 if self.path == "/" else 500)
        self.end_headers()
        self.wfile.write(b"asked thrice\\n" if asked >= 3 else b"asked\\n")

http.server.HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""


def test_a_server_is_asked_until_it_has_said_all_that_is_shown(tmp_path: Path) -> None:
    """It gets a free port in place of the one that the page names, and is ended afterwards."""
    page = fenced("python", SERVER, "serves http://127.0.0.1:8000/")
    assert "asked" in last_of(page + fenced("text", "asked thrice", "prints"), tmp_path)


def test_a_server_that_answers_with_an_error_fails(tmp_path: Path) -> None:
    """And so does the block that starts it."""
    assert "/other answers 500" in failure_of(fenced("python", SERVER, "serves http://127.0.0.1:8000/other"), tmp_path)


COUNTS = """
from pathlib import Path

with Path("{name}").open("a") as file:
    file.write("x")
if len(Path("{name}").read_text()) < {needed}:
    raise SystemExit("not yet")
print("at last")
"""


def test_each_block_is_run_once(tmp_path: Path) -> None:
    """But for one that failed, which is run again when it is asked for again."""
    page = fenced("python", COUNTS.format(name="fine", needed=1)) + fenced(
        "python", COUNTS.format(name="not", needed=9)
    )
    blocks = blocks_of("page.md", page)
    made = Page(blocks, tmp_path)
    for _ in range(2):
        made.run(blocks[0])
        with pytest.raises(BlockFailed):
            made.run(blocks[1])
    assert ((tmp_path / "fine").read_text(), (tmp_path / "not").read_text()) == ("x", "xx")


def test_what_the_machine_has_disturbed_is_run_again(tmp_path: Path) -> None:
    """Where more attempts are allowed: what failed, and what has not printed what is shown, but no more often."""
    page = fenced("python", COUNTS.format(name="fails", needed=2)) + fenced("text", "at last", "prints")
    blocks = blocks_of("page.md", page + fenced("python", COUNTS.format(name="other", needed=9)))
    made = Page(blocks, tmp_path, attempts=2)
    assert made.run(blocks[1]) == "at last\n"
    with pytest.raises(BlockFailed):
        made.run(blocks[2])
    assert ((tmp_path / "fails").read_text(), (tmp_path / "other").read_text()) == ("xx", "xx")


def test_what_is_shown_of_the_checkout_is_put_beside_a_block(tmp_path: Path) -> None:
    """A file, what is in a folder, the files of another page; and what a program of the checkout prints is compared."""
    where = ["LICENSE", "tests/documented/app", "docs/opentelemetry.md"]
    page = "<!-- run: with " + " ".join(where) + " -->\n" + fenced("console", "ls\nls shop lib/site-packages", "shell")
    assert {"LICENSE", "lib", "service.py", "shop", "views.py", "bankclient"} <= set(last_of(page, tmp_path).split())
    assert (tmp_path / "service.py").read_text().startswith("import asyncio")


def test_what_is_installed_and_what_is_the_applications_own_are_told_apart(tmp_path: Path) -> None:
    """A page's site-packages are imported from, and are nobody's own code."""
    library = "import time\n\ndef fetch():\n    time.sleep(0.2)"
    program = "import asyncio\nimport bank\nimport loopwatch\n\nasync def main():\n    bank.fetch()\n\n"
    program += "with loopwatch.install(prometheus=False):\n    asyncio.run(main())"
    page = fenced("python", library, "file lib/site-packages/bank.py") + fenced("python", program)
    assert "was held" in (said := last_of(page, tmp_path)) and "by __main__.main:6 (cause: wait" in said


# --- what is printed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("was held 352 ms; 2 callbacks waited. Task 'req-8'.", "was held 1.02 s; 1 callback waited. Task 'req-12'."),
        ("simulated async: 12 jobs in", "simulated async: 10 jobs in"),
        ('  File "/srv/app/shop/views.py", line 10, in f', '  File "/tmp/x-1/shop/views.py", line 10, in f'),
        ('  File "/usr/lib/python3.11/a.py", line 10, in f', '  File "/opt/lib/python3.13/a.py", line 99, in f'),
        ('{"id": "4511-1", "duration": 0.35, ...', '{"id": "12-7", "duration": 1e-05, "kind": "step"}'),
        ("===== 1 failed in 0.45s =====", "=== 1 failed in 12.30s ==="),
        ("trace 0af7651916cd43dd8448eb211c80319c", "trace 4bf92f3577b34da6a3ce929d0e0e4736"),
        ("first\n...\nlast", "first\n1\n2\nlast"),
        ("first\n...\nlast", "first\nlast"),
        ("memory | 36.4 MB |  +11 % |", "memory |  1 GB | -3 % |"),
    ],
)
def test_what_no_two_runs_have_in_common_may_differ(shown: str, printed: str) -> None:
    """Times, sizes, numbers, ids, folders, rulers; and what is left out."""
    assert difference(shown.splitlines(), f"before\n{printed}\nbehind\n") == ""
    assert is_printed(shown.splitlines(), printed, only=True)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("held by shop.views.checkout:10 (cause: wait)", "held by shop.views.checkout:11 (cause: wait)"),
        ("held by shop.views.checkout:10 (cause: wait)", "held by shop.views.checkout:10 (cause: cpu)"),
        ('  File "/srv/app/shop/views.py", line 10', '  File "/srv/app/shop/views.py", line 11'),
        ('  File "/srv/app/shop/views.py", line 10', '  File "/srv/app/shop/model.py", line 10'),
        ("held 352 ms", "held 352 MB"),
        ("simulated async: 40 jobs in", "simulated async: 7 jobs in"),
        ("in thread pool 'bank' (3 workers)", "in thread pool 'bank' (2 workers)"),
        ("1 failed, 2 passed in 0.45s", "1 failed, 3 passed in 0.45s"),
        ("1 x held an event loop", "2 x held an event loop"),
        ("held 352 ms", "held"),
        ("held", "was held"),
        ("held", "held for long"),
        ("one\nthree", "one\ntwo\nthree"),
    ],
)
def test_what_is_said_may_not_differ(shown: str, printed: str) -> None:
    """Words, names, the lines of the code that is shown, and that there is nothing between two lines."""
    assert not is_printed(shown.splitlines(), printed)
    assert not is_printed(shown.splitlines(), printed, only=True)


def test_the_difference_names_the_first_line_that_is_not_printed() -> None:
    """With both texts whole."""
    assert difference(["one", "two", "three"], "one\n2\nthree\n") == (
        "its line 2 is not printed behind the one before it:\n  two\n"
        "--- shown\n  one\n> two\n  three\n--- printed\none\n2\nthree"
    )

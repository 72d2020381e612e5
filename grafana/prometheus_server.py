"""Debian's Prometheus on loopback, over the rules of this folder: for the demo, and for the proof in the tests."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

from examples.listening import free_port

HERE = Path(__file__).resolve().parent
RULES = ("recording_rules.yml", "alerts.yml")

_LIMIT = 30.0
_CONFIG = """\
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: {rules}
scrape_configs:
"""
_TARGET = """\
  - job_name: {job}
    metrics_path: {path}
    static_configs:
      - targets: ["{target}"]
"""


class PrometheusFailed(RuntimeError):
    """Raised when Prometheus is not installed, does not come up, or refuses a query."""


class Prometheus:
    """A running server at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **query: str) -> Any:
        """The ``data`` of an answer of its API. Raises PrometheusFailed where it refuses."""
        try:
            with urlopen(f"{self.url}/api/v1/{path}?{urlencode(query)}", timeout=_LIMIT) as response:
                return json.load(response)["data"]
        except URLError as error:
            said: object = error
            if isinstance(error, HTTPError):
                with error:
                    said = error.read().decode()
            raise PrometheusFailed(f"{path} {query}: {said}") from error

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples that the expression has now."""
        found: list[dict[str, Any]] = self.ask("query", query=expr)["result"]
        return found

    def value(self, expr: str) -> float:
        """The sum of all samples of the expression."""
        return sum(float(each["value"][1]) for each in self.query(expr))


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, str], port: int = 0) -> Iterator[Prometheus]:
    """Prometheus with its data in ``folder``, scraping each of ``targets`` (URLs by job) every second.

    It is ended on the way out. Raises PrometheusFailed where it is not installed or does not come up.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise PrometheusFailed("prometheus is not installed; on Debian and Ubuntu: apt-get install prometheus")
    listen = f"127.0.0.1:{port or free_port()}"
    config = folder / "prometheus.yml"
    config.write_text(_config(targets), encoding="utf-8")
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={listen}",
        "--enable-feature=exemplar-storage",
    ]
    with answering(command, f"http://{listen}", folder / "prometheus.log") as server:
        yield server


@contextmanager
def answering(command: Sequence[str], url: str, log: Path) -> Iterator[Prometheus]:
    """A server that has Prometheus' API at ``url``, once it is ready; what it says goes to ``log``.

    It is ended on the way out. Raises PrometheusFailed where it does not come up.
    """
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
    try:
        _wait_until_ready(process, url, log)
        yield Prometheus(url)
    finally:
        process.terminate()
        try:
            process.wait(_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _config(targets: Mapping[str, str]) -> str:
    text = _CONFIG.format(rules=json.dumps([str(HERE / name) for name in RULES]))
    for job, url in targets.items():
        parts = urlsplit(url)
        text += _TARGET.format(job=job, path=parts.path or "/metrics", target=parts.netloc)
    return text


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _LIMIT
    while True:
        try:
            with urlopen(f"{url}/-/ready", timeout=_LIMIT):
                return
        except (URLError, OSError) as error:
            if isinstance(error, HTTPError):
                error.close()
            if process.poll() is not None or time.monotonic() > deadline:
                raise PrometheusFailed(log.read_text(errors="replace")) from None
            time.sleep(0.05)

"""The service of ``otlp_service.py`` as a process of its own, and requests to it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Service:
    """The service as it runs; once it has ended, what it printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.port = int(process.stdout.readline())
        self.out = self.err = ""

    def get(self, path: str) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            assert answer.status == 200

    def get_together(self, *paths: str, apart: float = 0.0) -> None:
        """Requests at once, or one some time after the other."""
        threads = [threading.Thread(target=self.get, args=(path,)) for path in paths]
        for thread in threads:
            thread.start()
            time.sleep(apart)
        for thread in threads:
            thread.join()


@contextmanager
def serving(url: str, **environment: str) -> Iterator[Service]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.otlp_service"],
        cwd=ROOT,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    service: Service | None = None
    try:
        service = Service(process)
        yield service
    finally:
        try:
            out, err = process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        if service is not None:
            service.out, service.err = out, err

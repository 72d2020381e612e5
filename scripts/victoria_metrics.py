"""VictoriaMetrics, which takes OTLP in and answers PromQL: found on this machine, or unpacked from Debian's package.

Debian's Prometheus is built without OTLP. As a program: ``python scripts/victoria_metrics.py`` prints its path.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from debian_suite import FOLDER, NotToBeHad, apt_get, run

PACKAGE = "victoria-metrics"
OPTION = "-opentelemetry.usePrometheusNaming"
"""What older ones have not, as those of Debian's releases so far: they know no OTLP, or name its metrics otherwise."""


def find_or_make() -> Path:
    """The program. From any thread. Raises NotToBeHad."""
    made = FOLDER / PACKAGE / "usr" / "bin" / PACKAGE
    for candidate in (shutil.which(PACKAGE), made):
        if candidate is not None and Path(candidate).exists() and _suits(Path(candidate)):
            return Path(candidate)
    _make(FOLDER / PACKAGE)
    if not _suits(made):
        raise NotToBeHad(f"{made} does not run here, or has no {OPTION}")
    return made


def _suits(program: Path) -> bool:
    told = subprocess.run([program, "-help"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return OPTION in told.stdout + told.stderr


def _make(final: Path) -> None:
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise NotToBeHad(f"there is no {PACKAGE} on PATH, and without {tool} it cannot be taken from Debian")
    FOLDER.mkdir(parents=True, exist_ok=True)
    # Beside its final place, so that an interrupted run leaves nothing that looks finished.
    with tempfile.TemporaryDirectory(prefix=f"{PACKAGE}-", dir=FOLDER) as scratch:
        run(*apt_get(Path(scratch, "apt"), "deb"), "download", PACKAGE, within=Path(scratch))
        (package,) = Path(scratch).glob(f"{PACKAGE}_*.deb")
        run("dpkg-deb", "-x", str(package), f"{scratch}/tree")
        shutil.rmtree(final, ignore_errors=True)
        Path(scratch, "tree").rename(final)


if __name__ == "__main__":
    try:
        print(find_or_make())
    except NotToBeHad as why:
        sys.exit(f"{PACKAGE}: {why}")

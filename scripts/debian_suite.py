"""Programs from a newer suite of Debian than the machine has, where the machine is a Debian.

The packages come from the mirror that the machine is configured with, are verified by Debian's keys, and are unpacked
into a folder: nothing is installed into the system.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

SUITE = "forky"
"""Debian's next release: it has what is too new for the one that the machine runs."""

FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loopwatch"
"""Where what was made is kept."""


class NotToBeHad(Exception):
    """Raised when this machine has not what is asked for, and it cannot be made; says why."""


def apt_get(state: Path, kind: str) -> list[str]:
    """The command, with what the suite has (``deb``, or ``deb-src``), and the machine's own packages left alone."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True)
    (state / "status").touch()
    (state / "sources.list").write_text(f"{kind} [signed-by={_keyring()}] {_mirror()} {SUITE} main\n")
    command = [
        "apt-get",
        "-qq",
        *_options(
            {
                "Dir::Etc::sourcelist": f"{state}/sources.list",
                "Dir::Etc::sourceparts": "/dev/null",
                "Dir::State": str(state),
                "Dir::State::status": f"{state}/status",
                "Dir::Cache": f"{state}/cache",
                "Debug::NoLocking": "1",  # the state is ours alone, and the user may not be root
                "APT::Sandbox::User": "",  # apt's own user cannot look into a folder of ours
            }
        ),
    ]
    run(*command, "update")
    return command


def _options(settings: dict[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _mirror() -> str:
    """The mirror of the main archive from the machine's own apt sources, in whichever format they are written."""
    release = Path("/etc/os-release").read_text()
    codename = re.search(r"^VERSION_CODENAME=(\w+)$", release, re.MULTILINE)
    if codename is None or not re.search(r"^ID=debian$", release, re.MULTILINE):
        raise NotToBeHad(f"this machine is not a Debian, so its mirror has no suite {SUITE}")
    wanted = f"{codename[1]} main"
    targets = output(
        "apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"
    )
    for target in targets.splitlines():
        if target.startswith(f"{wanted} "):
            return target.rpartition(" ")[2]
    raise NotToBeHad(f"the apt sources of this machine do not name '{wanted}'")


def _keyring() -> Path:
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    if not keyring.exists():
        raise NotToBeHad(f"{keyring} is missing, so packages could not be verified")
    return keyring


def run(*command: str, within: Path | None = None, **environment: str) -> None:
    """Run it to its end, which has to be a good one: otherwise NotToBeHad is raised, with what it said."""
    done = subprocess.run(
        command,
        cwd=within,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotToBeHad(f"{' '.join(command[:2])} failed: {(done.stderr or done.stdout).strip()[-2000:]}")


def output(*command: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stdout.strip()

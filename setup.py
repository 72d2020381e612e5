"""The accelerator, which may be missing: everything else stands in pyproject.toml.

Without a compiler loopwatch is installed all the same, and times steps in Python. A release must not end
like that: under ``CIBUILDWHEEL`` and ``LOOPWATCH_REQUIRE_C`` a failure to compile is one to build.
``LOOPWATCH_NO_EXTENSIONS`` leaves the accelerator out.
"""

import os
from glob import glob

from setuptools import Extension, setup


def is_on(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() not in ("", "0", "false", "no", "off")


must = is_on("CIBUILDWHEEL") or is_on("LOOPWATCH_REQUIRE_C")
room = "loopwatch/observe"
accelerators = [
    Extension(
        f"loopwatch.observe.{folder}.{name}",
        sorted(glob(f"{room}/{folder}/*.c")),
        include_dirs=[f"{room}/stopwatch"],
        depends=sorted(glob(f"{room}/*/*.h")),  # in a source distribution, too
        optional=not must,
    )
    for name, folder in (
        ("_steps_c", "stopwatch"),
        ("_calls_c", "uvloops"),
        ("_jobs_c", "jobs"),
        ("_rest_c", "resting"),
    )
]

setup(ext_modules=[] if is_on("LOOPWATCH_NO_EXTENSIONS") else accelerators)

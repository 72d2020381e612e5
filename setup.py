"""The accelerator, which may be missing: everything else stands in pyproject.toml.

Without a compiler loopwatch is installed all the same, and times steps in Python. A release must not end
like that: under ``CIBUILDWHEEL`` and ``LOOPWATCH_REQUIRE_C`` a failure to compile is one to build.
``LOOPWATCH_NO_EXTENSIONS`` leaves the accelerator out.
"""

import os

from setuptools import Extension, setup


def is_on(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() not in ("", "0", "false", "no", "off")


must = is_on("CIBUILDWHEEL") or is_on("LOOPWATCH_REQUIRE_C")
accelerator = Extension("loopwatch.observe._steps_c", ["loopwatch/observe/_steps_c.c"], optional=not must)
jobs = Extension("loopwatch.observe._jobs_c", ["loopwatch/observe/_jobs_c.c"], optional=not must)

setup(ext_modules=[] if is_on("LOOPWATCH_NO_EXTENSIONS") else [accelerator, jobs])

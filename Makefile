# Needs python3 and pip, nothing else; the first run of a target installs what it uses into $(VENV).
# A later run needs no network, until pyproject.toml changes.

PYTHON ?= python3
VENV   ?= .venv

RUN  := $(VENV)/bin
DEV  := $(VENV)/.installed-dev
# What is in dev has the examples' libraries too: install those only where dev is not there.
DEMO := $(if $(wildcard $(DEV)),$(DEV),$(VENV)/.installed-examples)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two pips must not write into one environment, and a checker's output stays in one piece.
.NOTPARALLEL:
.PHONY: help packages demo dashboards dashboards-demo docs reference test lint test-all test-cpython tsan bench peers clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEMO) ## the same work with a simulated and a native async client; SERVE=1 leaves /metrics up
	SERVE='$(SERVE)' $(RUN)/python -m examples.simulated_async

dashboards: $(DEV) ## write the dashboards' JSON anew from grafana/*.py
	$(RUN)/python -m grafana

dashboards-demo: $(DEMO) ## the FastAPI example under load, scraped by Debian's Prometheus with our rules, until Ctrl-C
	$(RUN)/python -m grafana.demo

docs: $(DEV) ## the documentation as HTML, in build/docs; a warning is an error
	@if $(RUN)/python -c 'import sys; sys.exit(sys.version_info < (3, 15))'; \
	then echo "The documentation is not built: PyYAML has no wheel for Python 3.15 yet."; \
	else $(RUN)/python -m sphinx -q -W --keep-going -n -b html docs build/docs; fi

reference: $(DEV) ## write docs/metrics.md and docs/settings.md anew from the tables in the code
	$(RUN)/python -m docs.reference

test: packages lint docs ## all checks, the documentation and the whole suite; ARGS='-k name' for a part of it
	$(RUN)/python -m pytest $(ARGS)

packages: ## what the suite uses beside Python, where this is root on Debian or Ubuntu
	@scripts/debian_packages.sh

lint: $(DEV) ## ruff, mypy, codespell, and the workflows against their schema
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/codespell
	$(RUN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

test-all: $(DEV) ## the suite on Python 3.10 to 3.15, with and without the extras
	$(RUN)/python scripts/all_versions.py $(ARGS)

test-cpython: $(DEV) ## CPython's own tests of asyncio, with the watch installed
	$(RUN)/python scripts/cpython_tests.py $(ARGS)

tsan: $(DEV) ## races in our C, by ThreadSanitizer on a free-threaded Python, which is built the first time
	$(RUN)/python scripts/thread_sanitizer.py $(ARGS)

bench: $(DEV) ## watched against unwatched, interleaved
	$(RUN)/python -m benchmarks $(ARGS)

peers: $(DEV) ## what loopwatch and its peers see and cost, each in an environment of its own, about an hour
	$(RUN)/python -m benchmarks.peers $(ARGS)

clean: ## remove the environments and everything that was built
	rm -rf $(VENV) .venvs build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* loopwatch/observe/*/_*_c.*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed-%: pyproject.toml setup.py loopwatch/_version.py $(wildcard loopwatch/observe/*/*.[ch]) | $(RUN)/python
	$(RUN)/python -m pip install -qq --disable-pip-version-check --editable '.[$*]'
	@touch $@

# Some distributions split venv's ensurepip off python3; the pip that is there can fill in for it.
$(RUN)/python:
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
	|| { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(VENV)/bin/python install --quiet pip; } \
	|| { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment with pip in it. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

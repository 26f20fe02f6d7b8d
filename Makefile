# Every target makes its own virtual environment first: python3 (3.11 or newer) and make are enough.
PYTHON ?= python3
VENV   ?= .venv
# More test processes than processors: many tests wait for servers and daemons.
JOBS   ?= 3
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Python keeps what it compiled: tests start many processes.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo dev test test-fast check fmt docs bench faults test-lowest integration simulate mutants clean

help:  ## show these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "hog-dagster needs Python 3.11 or newer; set PYTHON=python3.12, say. Found: $$($(PYTHON) --version)"; exit 1; }
	@echo "Making the virtual environment in $(VENV) (a minute or two the first time) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . --group dev
	@touch $@

install: $(STAMP)  ## make the virtual environment

demo: $(STAMP)  ## the main job, end to end, against a local PostHog sandbox
	@$(BIN)/hog-dagster demo

dev: $(STAMP)  ## the Dagster UI on your project, or on the sandbox when no key is set
	@$(BIN)/hog-dagster dev

check: $(STAMP)  ## ruff, the glossary and pyright
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m scripts.vocabulary
	@$(BIN)/pyright --pythonpath $(BIN)/python

fmt: $(STAMP)  ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

test: $(STAMP)  ## the test suite; make integration runs the rest
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# Rooms that know no Dagster, and the plan of the house.
FAST := tests/posthog tests/ledger tests/actions tests/warehouse \
  tests/test_house.py tests/test_settings.py tests/test_markdown.py
test-fast: $(STAMP)  ## the tests of the rooms below Dagster: three minutes
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(FAST)

docs: $(STAMP)  ## the documentation as a site in docs/_site; warnings are errors
	@PYTHONPATH=. $(BIN)/python -m scripts.reference
	@$(BIN)/python -m sphinx -q -E -a -W --keep-going -b html docs docs/_site
	@echo "docs/_site/index.html"

faults: $(STAMP)  ## the whole fault matrix of replays, reruns and batch jobs
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m slow tests/faults

# The lowest versions that pyproject.toml allows. Their Dagster is older than dg may be, so without dg.
LOWEST := .venv-lowest
$(LOWEST)/.installed: pyproject.toml constraints-lowest.txt
	@echo "Making the virtual environment in $(LOWEST) (a minute or two the first time) ..."
	@$(PYTHON) -m venv $(LOWEST)
	@$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints-lowest.txt -e . --group test
	@touch $@

test-lowest: $(LOWEST)/.installed  ## the test suite on the lowest versions that are allowed
	@$(LOWEST)/bin/python -m pytest -n $(JOBS) --dist worksteal

# The engines want versions of their own, so this is an environment of its own. Servers come from
# Debian; what cannot be installed is skipped with a sentence.
INTEGRATION := .venv-integration
$(INTEGRATION)/.installed: pyproject.toml
	@echo "Making the virtual environment in $(INTEGRATION) (two or three minutes the first time) ..."
	@$(PYTHON) -m venv $(INTEGRATION)
	@$(INTEGRATION)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(INTEGRATION)/bin/python -m pip install --quiet --disable-pip-version-check -e . --group integration
	@touch $@

integration: $(INTEGRATION)/.installed  ## tests of hosts, processes, other engines, examples and the documentation
	@tests/integration/servers.sh
	@$(INTEGRATION)/bin/python -m pytest -m "integration and not slow" -n $(JOBS) --dist worksteal \
	  --reruns 1 -rsR

# FIRST=1 JOBS=2 by default; SEED=n prints the history of one seed.
SEEDS ?= 2000
simulate: $(STAMP)  ## simulated histories of actions: SEEDS=20000, or one with SEED=n
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) \
	  --first $(or $(FIRST),1) --jobs $(if $(filter command line,$(origin JOBS)),$(JOBS),2))

mutants: $(STAMP)  ## break each rule of actions and ledger on purpose; what finds it
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.simulation.mutants --histories 800 \
	  $(if $(WRITE),--write docs/reliability.md)

# MANAGER=1 adds dagster-duckdb-pandas, in an environment it makes; WRITE=1 writes docs/performance.md.
bench: $(STAMP)  ## benchmarks against the raw limit and other tools, in one run
	@$(BIN)/python -m bench $(if $(MANAGER),--duckdb-pandas) $(if $(WRITE),--write docs/performance.md)

clean:  ## remove the virtual environment and everything the demo made
	rm -rf $(VENV) $(LOWEST) $(INTEGRATION) .hog dist docs/_site .ruff_cache

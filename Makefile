# Two commands do all: `make demo` and `make test`. PYTHON=python3.12 takes another Python, VENV=dir another place.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo loop test check audit format protos clean
.DEFAULT_GOAL := help

help:
	@echo "make demo            the whole way on synthetic data; DATA=dir takes real files, ONCE=1 stops at the end"
	@echo "make loop            six simulated weeks with two retrainings; prints JSON last"
	@echo "make test            lint, types, contracts, stubs and every test"
	@echo "make check           the same without the tests"
	@echo "make audit           secrets in the files, known vulnerabilities in the packages (a part of check)"
	@echo "make format, make protos, make clean"

demo: $(VENV)/.installed-all
	@$(BIN)/buddies demo $(if $(DATA),--data "$(DATA)") $(if $(ONCE),--once)

loop: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.benchmarks.loop

test: check
	$(BIN)/python -m pytest $(PYTEST)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/buf lint
	$(BIN)/buf breaking --against spotify_buddies/protos/released.binpb
	$(BIN)/python .ci/audit.py

# AUDIT_REQUIRED=1 fails where the vulnerability database cannot be reached, instead of saying so.
audit: $(VENV)/.installed-dev
	$(BIN)/python .ci/audit.py

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: $(VENV)/.installed-dev
	$(BIN)/python -m spotify_buddies.protos.generate

# After a release: the API that the next change is compared with.
spotify_buddies/protos/released.binpb: $(VENV)/.installed-dev
	$(BIN)/buf build -o $@

clean:
	rm -rf $(VENV) .buddies build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed: install Python 3.11 or newer, or name it: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, $(PYTHON) is `$(PYTHON) -V`; name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) lacks the venv module: install it (Debian: python3-venv)"; exit 1; }
	@$(PYTHON) -c 'import os,sys; d=os.statvfs("."); sys.exit(d.f_bavail*d.f_frsize < 4*2**30)' || { echo "less than 4 GiB of disk are free here; the environment needs about 3"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-all: pyproject.toml | $(VENV)/bin/python
	@echo "installing into $(VENV) (some minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]' || { echo "the installation failed: see above; is the package index reachable?"; exit 1; }
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	@echo "installing into $(VENV) (some minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' || { echo "the installation failed: see above; is the package index reachable?"; exit 1; }
	@touch $@ $(VENV)/.installed-all

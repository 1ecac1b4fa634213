# Two commands to begin with:   make demo   and   make test
# Needed: python3 (3.11 or newer), pip, git and make. Everything else comes into .tools/ and .venv/ of this checkout.

SHELL := /bin/sh
.DEFAULT_GOAL := help
# The tests start programs hundreds of times: without the cache, each start compiles all its sources anew.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help demo test test-long kills check format lint types imports dependencies translations sbom bench lock clean

# A uv on PATH is used first. pip's --target is allowed where the system's own Python may not be changed (PEP 668).
UV := $(or $(shell command -v uv 2>/dev/null),$(CURDIR)/.tools/bin/uv)
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url pyproject.toml
BIN := .venv/bin
# Much of a test run is waiting for servers: with four workers two cores have no pause. Each worker has its own servers;
# tests of one module stay together on one worker.
# The order of the folders is kept: crash tests are the longest and begin.
WORKERS ?= 4
KILLS ?= 500
PARALLEL := -n $(WORKERS) --dist loadscope --no-loadscope-reorder
READY := .venv/.ready
STARTED := $(shell date +%s)
STRICT := messenger/domain messenger/app messenger/channels
SOURCES := messenger bridges tests benchmarks migrations

help:
	@echo "make demo        start everything on this machine and print the addresses   (ARGS=--story or ARGS=--reset)"
	@echo "make test        unit, contract, property and integration tests on real homeservers and databases   (ARGS=...)"
	@echo "                 in WORKERS=4 processes; WORKERS=0 runs them in one"
	@echo "make test-long   the long ones too: crash series, load, soak"
	@echo "make kills       the nightly series of kills and crashes   (KILLS=60 plays a part of it)"
	@echo "make check       format, lint, types, layers, dependencies, translations"
	@echo "make format      put the sources into the one format"
	@echo "make bench       the benchmarks"
	@echo "make sbom        a list of all parts of an installation (CycloneDX), to be compared with known weaknesses"
	@echo "make lock        work out requirements.lock anew   (UPGRADE=1 takes the newest versions)"
	@echo "make clean       remove the environment and the data of demo and tests"

demo: $(READY)
	@echo "→ The demonstration (Python compiles all of it once, so the first start takes longer)"
	@$(BIN)/stellwerk demo $(ARGS)

test: $(READY)
	@echo "→ Tests on real homeservers and databases, in $(WORKERS) workers that start and end their own; the last line says how long it took"
	@$(BIN)/pytest $(PARALLEL) $(ARGS)

test-long: $(READY)
	@echo "→ All tests, the long ones too"
	@$(BIN)/pytest -m "" $(PARALLEL) $(ARGS)

kills: $(READY)
	@echo "→ $(KILLS) kills, $$(($(KILLS) / 25)) crashes of each server, $$(($(KILLS) * 40)) messages"
	@KILLS=$(KILLS) $(BIN)/pytest -m "" -o log_cli=true -o log_cli_level=WARNING -o faulthandler_timeout=0 tests/crash/test_series.py $(ARGS)

check: $(READY)
	@$(MAKE) --no-print-directory --keep-going lint types imports dependencies translations
	@echo "✓ All checks passed"

format: $(READY)
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix-only $(SOURCES)

lint: $(READY)
	@echo "→ Format"
	@$(BIN)/ruff format --check --output-format concise $(SOURCES) || { echo "  make format puts that right"; exit 1; }
	@echo "→ Lint"
	@$(BIN)/ruff check $(SOURCES)

types: $(READY)
	@echo "→ Types: strict in the core"
	@$(BIN)/mypy --strict --follow-imports=silent $(STRICT)
	@echo "→ Types: everywhere else"
	@$(BIN)/mypy messenger

imports: $(READY)
	@echo "→ Who may import whom"
	@$(BIN)/lint-imports

dependencies: $(READY)
	@echo "→ Dependencies: declared and used"
	@$(BIN)/deptry .

translations: $(READY)
	@echo "→ Translations"
	@$(BIN)/python -m messenger.i18n check

sbom: $(READY)
	@echo "→ What an installation consists of, with versions and licences: build/stellwerk.cdx.json (CycloneDX)"
	@mkdir -p build
	@$(COMPILE) --no-annotate --no-header --constraint requirements.lock -o build/installed.lock
	@test -x build/installed/bin/python || $(UV) venv --quiet --python '>=3.11' build/installed
	@VIRTUAL_ENV=$(CURDIR)/build/installed $(UV) pip sync --quiet build/installed.lock
	@VIRTUAL_ENV=$(CURDIR)/build/installed $(UV) pip install --quiet --no-deps .
	@$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-format JSON \
		-o build/stellwerk.cdx.json build/installed/bin/python
	@echo "✓ $$(grep -c '"purl"' build/stellwerk.cdx.json) parts"

bench: $(READY)
	@for program in benchmarks/[a-z]*.py; do echo "→ $$program"; $(BIN)/python "$$program" $(ARGS) || exit 1; done

lock: $(UV)
	@echo "→ Working out requirements.lock"
	@$(COMPILE) --all-extras $(if $(UPGRADE),--upgrade) -o requirements.lock

clean:
	rm -rf .venv .tools var build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# Done again only when the lock or the project's own description changes.
$(READY): requirements.lock pyproject.toml | $(UV)
	@echo "→ Python environment in .venv, exactly as requirements.lock says"
	@test -x $(BIN)/python || $(UV) venv --quiet --python '>=3.11' .venv
	@VIRTUAL_ENV=$(CURDIR)/.venv $(UV) pip sync --quiet requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/.venv $(UV) pip install --quiet --no-deps --editable .
	@touch $(READY)
	@echo "✓ Environment ready after $$(($$(date +%s) - $(STARTED))) s"

$(CURDIR)/.tools/bin/uv:
	@echo "→ uv, the installer, into .tools (once)"
	@python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .tools uv

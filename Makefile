# What a developer does here. Every target makes .venv first where it is missing or pyproject.toml has changed.
# Needed: python3 >= 3.11 with venv, git, make.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready
ROUNDS ?= 50
SEED ?= 0
STEPS ?= 500
RUNS ?= 300
TASKS ?= 1000
NODES ?= 8
TESTS ?= tests
ARGS ?=
MESH := mesh-init mesh-status mesh-publish mesh-dispatch mesh-import mesh-export mesh-sync mesh-autonomy-once

.DEFAULT_GOAL := help
.PHONY: help demo test check format lint types docs bench race sim chaos work-chaos crash fix clean $(MESH)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## a fleet loses its lease holder, beside a lock file; then two laptops in the middle of a release
	@$(BIN)/mesh demo

test: $(READY) ## the whole suite on all cores (TESTS=tests/test_gate.py for a part)
	@$(BIN)/python -m pytest -q -n auto --dist loadgroup $(TESTS)

check: format lint types docs ## format, lint, types and generated docs; changes nothing

format: $(READY)
	@$(BIN)/ruff format --check --diff .

lint: $(READY) ## ruff
	@$(BIN)/ruff check .

types: $(READY) ## mypy, strict
	@$(BIN)/mypy

docs: $(READY) ## whether the generated pages still say what the code says
	@$(BIN)/python -m tools.docs --check

fix: $(READY) ## format, mend what ruff can mend, write the generated pages anew
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .
	@$(BIN)/python -m tools.docs

bench: $(READY) ## the table of ratios; also written as JSON
	@$(BIN)/python -m tools.bench

race: $(READY) ## twenty processes race for one lease (ROUNDS=50)
	@MESH_RACE_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest -q -o faulthandler_timeout=900 tests/race

sim: $(READY) ## the fold's properties with many examples, then long schedules of a fleet (SEED=0 STEPS=500)
	@SEED=$(SEED) STEPS=$(STEPS) $(BIN)/python -m pytest -q --hypothesis-profile=long --hypothesis-seed=$(SEED) \
		tests/test_fold_properties.py
	@$(BIN)/python -m tests.sim --seed $(SEED) --steps $(STEPS) --runs 20

crash: $(READY) ## kill a publish at every system call, not at a sample of them
	@MESH_CRASH_POINTS=all $(BIN)/python -m pytest -q -o faulthandler_timeout=900 tests/crash

chaos: $(READY) ## simulator, recorded histories, crash points, two hubs, mutants: one report in build/ (SEED=0 RUNS=300)
	@$(BIN)/python -m tests.chaos --seed $(SEED) --runs $(RUNS) $(CHAOS)

work-chaos: $(READY) ## a random DAG over a fleet that is killed and stopped; effects counted in and outside (TASKS=1000 NODES=8 SEED=0)
	@$(BIN)/python -m tests.work --tasks $(TASKS) --nodes $(NODES) --seed $(SEED)

mesh-init: $(READY) ## found a fleet: ARGS="--hub HUB --node NAME"; these call the command once, with ARGS
mesh-status: $(READY) ## who is in it, what is held
mesh-publish: $(READY) ## tell it something: ARGS="TOPIC TYPE --payload JSON"
mesh-dispatch: $(READY) ## give a command: ARGS="NAME --to NODE"
mesh-import: $(READY) ## take in a file, or old events: ARGS="--orxaq DIR"
mesh-export: $(READY) ## write the ledger down: ARGS=FILE
mesh-sync: $(READY) ## one pass: read the hub, publish what waits
mesh-autonomy-once: $(READY) ## one pass: import, decide, dispatch, work, export

$(MESH):
	@$(BIN)/mesh $(@:mesh-%=%) $(ARGS)

clean: ## remove .venv and caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no python3 >= 3.11 found; name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: $(PYTHON) is no Python >= 3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "make: $(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@command -v git >/dev/null || { echo "make: git is missing" >&2; exit 1; }
	@echo "making .venv (once, about a minute) ..." >&2
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --editable '.[dev]' >&2
	@touch $@

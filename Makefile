# Two commands: `make run` and `make test`. Each sets itself up first. `make help` lists the rest.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := $(VENV)/peers
PEERS_LOCK := tests/benchmarks/statistics/peers.lock
MARKET_PEERS := $(VENV)/market-peers
MARKET_PEERS_LOCK := tests/benchmarks/market/peers.lock
UV := $(shell command -v uv || echo $(BIN)/uv)
JOBS ?= 2
ARGS ?=
# The first Python on this machine that is new enough; `make PYTHON=/path/to/python run` chooses another.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PYTEST := $(BIN)/pytest --numprocesses=$(JOBS) --dist=worksteal

.DEFAULT_GOAL := help
.PHONY: help run test check fix docs prove bench bench-statistics bench-market bench-observatory lock setup clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(STAMP)  ## start the platform, run one lap of the loop live, keep serving until Ctrl-C (options in ARGS=)
	@$(BIN)/nacre run $(ARGS)

# Tests start hundreds of processes; each would compile all it imports where the environment forbids to keep it.
test prove: export PYTHONDONTWRITEBYTECODE :=

test: $(STAMP)  ## run every test; say at the end what was left out for lack of an optional part
	$(PYTEST) $(ARGS)

check: $(STAMP)  ## style, types, direction of imports, freshness of generated docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m app.docs --check

fix: $(STAMP)  ## let ruff mend and format what it can
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

docs: $(STAMP)  ## write the docs that are generated from the code
	$(BIN)/python -m app.docs

prove: $(STAMP)  ## long proofs: laps, scenarios, kills (KILLS=), crashes (CRASHES=), histories (STEPS=), repeats (WRITES=), ticks (DAYS=), ledgers (HISTORIES=)
	$(PYTEST) --verbose --capture=no --override-ini='python_files=test_*.py prove_*.py' \
		--override-ini=faulthandler_timeout=0 tests/simulation tests/services/ab_sandbox tests/proofs $(ARGS)

bench: $(STAMP)  ## measure; prints its figures (files tests/benchmarks/bench_*.py)
	$(BIN)/pytest --capture=no --override-ini='python_files=bench_*.py' \
		--override-ini=faulthandler_timeout=0 tests/benchmarks $(ARGS)

bench-statistics: $(STAMP)  ## the bars of the bet, peers beside it (RUNS= SEED= JOBS=, DOCUMENT=docs/evidence.md writes it)
	@$(MAKE) --no-print-directory $(PEERS)/.installed || echo "The peers could not be installed; going on without them"
	@PYTHONPATH=$(PEERS) $(BIN)/python -m tests.benchmarks.statistics --jobs $(JOBS) $(addprefix --runs ,$(RUNS)) \
		$(addprefix --seed ,$(SEED)) $(addprefix --document ,$(DOCUMENT)) $(ARGS)

bench-market: $(STAMP)  ## the market's speed, limits and peers beside it (RUNS= SCALE=, DOCUMENT=docs/evidence.md writes it)
	@$(MAKE) --no-print-directory $(MARKET_PEERS)/.installed || echo "The peers could not be installed; going on without them"
	@$(BIN)/python -m tests.benchmarks.market --peers $(MARKET_PEERS) $(addprefix --runs ,$(RUNS)) \
		$(addprefix --scale ,$(SCALE)) $(addprefix --document ,$(DOCUMENT)) $(ARGS)

bench-observatory: $(STAMP)  ## false alarms, delays and costs of the detectors (SEED=, DOCUMENT=docs/evidence.md writes it)
	@$(BIN)/python -m tests.benchmarks.observatory $(addprefix --seed ,$(SEED)) \
		$(addprefix --document ,$(DOCUMENT)) $(ARGS)

lock: $(STAMP)  ## resolve the newest versions into the three lock files (needs uv on PATH or in .venv)
	$(UV) pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --quiet --output-file requirements.lock
	$(UV) pip compile --group peers --no-deps --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --quiet --output-file $(PEERS_LOCK)
	$(UV) pip compile --group market-peers --no-deps --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --quiet --output-file $(MARKET_PEERS_LOCK)

setup: $(STAMP)  ## only make .venv from requirements.lock

clean:  ## delete .venv and everything tools left behind; the data in var/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Beside the environment, not in it: the platform and its tests never see them.
define install_peers
	@echo "Installing the peers from $< (once)"
	@rm -rf $(@D)
	@if command -v uv >/dev/null 2>&1; then \
		uv pip install --quiet --python $(BIN)/python --target $(@D) --no-deps --require-hashes -r $<; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(@D) --no-deps \
			--require-hashes -r $<; \
	fi
	@touch $@
endef

$(PEERS)/.installed: $(PEERS_LOCK) $(STAMP)
	$(install_peers)

$(MARKET_PEERS)/.installed: $(MARKET_PEERS_LOCK) $(STAMP)
	$(install_peers)

# The command, as a script that both sh and Python can read: it runs with the Python beside it.
define NACRE
#!/bin/sh
'exec' "$${0%/*}/python" "$$0" "$$@"
import sys
from app.cli import main
sys.exit(main())
endef
export NACRE

# The one stamp: install exactly the lock (uv if there is one, else pip), put the project on the path, add `nacre`.
$(STAMP): requirements.lock
	@test -n "$(PYTHON)" || { echo "Nacre needs Python 3.11 or newer; none found (PYTHON=/path/to/python)"; exit 1; }
	@echo "Setting up $(VENV) from requirements.lock (about a minute, once)"
	@if command -v uv >/dev/null 2>&1; then \
		{ test -x $(BIN)/python || uv venv --quiet --python "$(PYTHON)" $(VENV); } && \
		uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock; \
	else \
		$(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	fi
	@$(BIN)/python -c 'import pathlib, sysconfig; \
		pathlib.Path(sysconfig.get_path("purelib"), "nacre.pth").write_text(f"{pathlib.Path.cwd()}\n")'
	@printf '%s\n' "$$NACRE" > $(BIN)/nacre && chmod +x $(BIN)/nacre
	@touch $(STAMP)

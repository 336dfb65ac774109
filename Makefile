# What a checkout can do: `make help` lists it. Everything lives in .venv, built from constraints.txt.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup

# Nothing here may reach a model hub. Two workers with one torch thread each beat one with two on two cores.
export HF_HUB_OFFLINE := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo results test kills lint fuzz fuzz-answers fuzz-layouts fuzz-manifests fuzz-recipes mutate clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## build .venv with everything that the demo and the tests need

# The interpreter of an existing .venv counts, else $(PYTHON): both are judged before pip says it in twenty lines.
new_enough = $(shell $(1) -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null)
interpreter = $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))

$(STAMP): pyproject.toml constraints.txt
	$(if $(filter True,$(call new_enough,$(interpreter))),,$(error adfm needs Python 3.11 or newer and $(interpreter) is not; run `make setup PYTHON=python3.12`, after `make clean` if .venv is the old one))
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e '.[model,dev]'
	@touch $@

demo: setup ## the whole chain on the bundled model, on a CPU: runs/demo/report.html
	$(BIN)/adfm demo --out runs/demo

# $(DATA) holds the sets in layouts that `adfm data build` reads; fewer with SETS="deeppcb cookie".
DATA ?= ../shared/data
SETS ?= deeppcb cookie hazelnut kolektor_sdd alien
results: setup ## the table of docs/results.md: nano adapted to real sets
	$(BIN)/python benchmarks/results.py $(DATA) --out runs/results --sets $(SETS)

kills: export OMP_NUM_THREADS := 1
kills: setup ## 200 random kills and every call of the save path: docs/development/kills.md (about ten minutes)
	$(BIN)/python tests/kill/kills.py > docs/development/kills.new && mv docs/development/kills.new docs/development/kills.md

lint: setup ## style, types and the one-way rule of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: export OMP_NUM_THREADS := 1
test: lint ## lint, then every test (fewer with ARGS=tests/data)
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

# Every target named fuzz-something, and the kills, belong to the night: a new one needs no entry here.
FUZZERS = $(sort $(shell grep -oE '^(fuzz-[a-z-]+|kills):' $(firstword $(MAKEFILE_LIST)) | tr -d ':'))
fuzz: $(FUZZERS) ## every fuzz target at its large count, for the night (go on after a fault with make -k)

ANSWERS ?= 1000000
fuzz-answers: setup ## read and reward $(ANSWERS) mutated answers: no exception, bounded time, bounded reward
	ADFM_FUZZ=$(ANSWERS) $(BIN)/pytest tests/reasoning/test_parse_fuzz.py
	$(BIN)/python benchmarks/parse.py --fuzz $(ANSWERS)

TREES ?= 100000
fuzz-layouts: setup ## read $(TREES) new trees of folders with random damage, about half an hour
	ADFM_FUZZ_TREES=$(TREES) HYPOTHESIS_PROFILE=search $(BIN)/pytest -n 0 tests/data/test_layout_fuzz.py

RECIPES ?= 100000
fuzz-recipes: setup ## read $(RECIPES) mutated recipes: one line and exit 2 each
	ADFM_FUZZ=$(RECIPES) $(BIN)/pytest tests/training/test_recipe_fuzz.py

# A run that was stopped goes on. AREAS="layouts check" for the readers of data sets, AGAIN=--again after tests were added.
AREAS ?= reasoning rewards geometry
mutate: setup ## change the code in thousands of places and count the changes that no test notices
	@test -x $(BIN)/mutmut || $(BIN)/python -m pip install -c constraints.txt -e '.[mutation]'
	nice $(BIN)/python benchmarks/mutate.py $(AREAS) $(AGAIN)

MANIFESTS ?= 100000
fuzz-manifests: setup ## $(MANIFESTS) mutated manifests are read as written or refused (another series with ADFM_FUZZ_SEED=1)
	ADFM_FUZZ_MANIFESTS=$(MANIFESTS) $(BIN)/pytest -q -n 0 tests/data/test_manifest_fuzz.py

clean: ## remove .venv, caches and build products; runs/ stays
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests docs benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

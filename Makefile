# Every target sets up what it needs first; `make` alone lists them.
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench clean

help:           ## this list
	@grep -hE '^[a-z]+: .*##|^[a-z]+:  +##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

setup:          ## virtual environment, pinned packages, the Meilisearch program
	@PYTHON="$(PYTHON)" build/setup

demo: setup     ## three nodes, Miroir, 10,000 products, one search; Ctrl-C ends it (DEMO_ONCE=1: ends by itself)
	@$(BIN)/python -m miroir.cli.dev_demo

test: lint      ## linters, then all tests on real nodes (PYTEST_ARGS="-k ..." for some)
	@build/browser
	@$(BIN)/python -m pytest $(or $(PYTEST_ARGS),-n 3 --dist loadfile)

lint: setup     ## ruff, mypy, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: setup   ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup    ## ratios of Miroir to a plain node; JSON in results/ (ONLY=search,cpu BASE=revision ROUNDS=5)
	@$(BIN)/python -m bench --only "$(ONLY)" --base "$(BASE)" --rounds $(or $(ROUNDS),5)

clean:          ## remove what set-up, tests and tools made
	rm -rf .venv node_modules results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# limner's commands for a checkout. Every target sets up what it needs first; nothing but make and Python is required.
#
#   make serve    set up, then serve the embedded model      make serve ARGS="--port 9000 some/model"
#   make test     linters, types and the quick tests         make test ARGS="-k cli"
#   make help     the rest

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# Packages of other Pythons would count as installed, and come before those of the environment.
unexport PYTHONPATH
# Processes that run the tests; each starts servers and models of its own.
WORKERS ?= 2

# The environment remembers the checkout it belongs to: a copied, moved or broken one is set up again.
HOME_OF_VENV := $(shell $(BIN)/python -c "" 2>/dev/null && cat $(VENV)/.checkout 2>/dev/null)
ifneq ($(HOME_OF_VENV),$(CURDIR))
STALE := stale
endif

RUN_STAMP := $(VENV)/.set-up-run
DEV_STAMP := $(VENV)/.set-up-dev
SET_UP := scripts/setup.py pyproject.toml requirements/run.txt
NODE_CLIENTS := tests/e2e/node
NODE_STAMP := $(NODE_CLIENTS)/node_modules/.package-lock.json
CLIENTS := .venv-clients
CLIENTS_STAMP := $(CLIENTS)/.set-up

.DEFAULT_GOAL := help
.PHONY: help setup dev-setup serve test test-heavy test-s3 test-clients check format bench chaos train eval docs lock clean stale

help: ## say what there is
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r name text; do \
		printf '%-18s %s\n' "$$name" "$$text"; done

setup: $(RUN_STAMP) ## create .venv and install what limner runs on

dev-setup: $(DEV_STAMP) ## the same, with what the tests need

$(RUN_STAMP): $(SET_UP) $(STALE)
	@$(call set-up,)
	@touch $@

$(DEV_STAMP): $(SET_UP) requirements/dev.txt $(STALE)
	@$(call set-up,--dev)
	@touch $@ $(RUN_STAMP)

define set-up
command -v $(PYTHON) >/dev/null || { echo "set-up: no $(PYTHON) here; install Python 3.11 or newer" >&2; exit 1; }; \
$(PYTHON) scripts/setup.py $(1) --venv $(VENV) && pwd -P > $(VENV)/.checkout
endef

# Where Node.js is installed, its official SDK is one of the clients that the tests drive the server with.
$(NODE_STAMP): $(NODE_CLIENTS)/package-lock.json
	@if command -v npm >/dev/null; then \
		echo "set-up: installing the Node.js client" >&2; \
		cd $(NODE_CLIENTS) && npm ci --loglevel=error --no-audit --no-fund && touch $(notdir $(@D))/$(@F); fi

# Clients with many dependencies of their own live apart from what the server and its tests are made of.
$(CLIENTS_STAMP): requirements/clients.txt | $(DEV_STAMP)
	@echo "set-up: installing the Python clients" >&2; \
	$(BIN)/python -m venv --clear $(CLIENTS) && \
	$(CLIENTS)/bin/python -m pip install -qq --disable-pip-version-check --no-input --no-deps -r $< && touch $@

serve: $(RUN_STAMP) ## serve the embedded model on 127.0.0.1:8000
	@$(BIN)/python -m limner serve $(ARGS)

check: $(DEV_STAMP) ## linters and types
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

test: check $(NODE_STAMP) ## every check: linters, types, tests
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile -m "not heavy and not clients" $(ARGS)

test-heavy: $(DEV_STAMP) ## the tests that need minutes or much memory
	$(BIN)/python -m pytest -m heavy $(ARGS)

test-s3: $(DEV_STAMP) ## the tests of pictures in an object store, against a local one
	$(BIN)/python -m pytest -m s3 tests/s3 $(ARGS)

test-clients: $(DEV_STAMP) $(CLIENTS_STAMP) ## the tests with LiteLLM and LangChain as clients
	$(BIN)/python -m pytest -m clients tests/e2e $(ARGS)

format: $(DEV_STAMP) ## let ruff format and fix what it can
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

bench: $(DEV_STAMP) ## measure
	$(BIN)/python -m benchmarks $(ARGS)

chaos: $(DEV_STAMP) ## kill the server at random and count what is lost
	$(BIN)/python -m chaos $(ARGS)

train: $(RUN_STAMP) ## train the embedded models anew
	$(BIN)/python -m training all $(ARGS)

eval: $(RUN_STAMP) ## measure what the embedded models can do
	$(BIN)/python -m training eval $(ARGS)

docs: $(DEV_STAMP) ## write the generated parts of the documentation
	$(BIN)/python -m scripts.docs

lock: $(DEV_STAMP) ## resolve pyproject's ranges anew and write requirements/
	$(BIN)/python scripts/lock.py

clean: ## remove the environment and what the tools left
	rm -rf $(VENV) $(CLIENTS) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

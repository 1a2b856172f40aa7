# copilot-bridge. All a fresh machine needs is make and Python 3.11 or newer; `make` lists the targets.

VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

BIN := $(VENV)/bin
SERVICE := $(VENV)/.installed
TOOLS := $(VENV)/.installed-dev
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run demo doctor test e2e lint check fmt docs clean

help:
	@echo 'make run     start the service on http://localhost:8000      (PORT=9000 and every other setting may follow)'
	@echo 'make demo    try it without a GitHub account, against a simulator       (SIGN_IN=1: with the sign-in page)'
	@echo 'make doctor  check settings, network, sign-in and models     (ARGS="--public-url https://bridge.example.com")'
	@echo 'make test    run the tests                                                     (ARGS="-k mapping" for some)'
	@echo 'make e2e     install real clients (npm, pip; some 2 GB) and run them against the service'
	@echo 'make check   lint, format, types, tests; CI runs `make e2e` as well'
	@echo 'make fmt     format the code and fix what can be fixed'
	@echo 'make docs    generate the tables in docs/ anew'
	@echo 'make clean   remove the virtual environment and caches; your sign-in in data/ stays'

run: $(SERVICE)
	@exec $(BIN)/gunicorn -c gunicorn.conf.py wsgi:app

demo: $(SERVICE)
	@exec $(BIN)/python scripts/demo.py

doctor: $(SERVICE)
	@$(BIN)/flask --app wsgi doctor $(ARGS)

test: $(TOOLS)
	@$(BIN)/python -m pytest $(ARGS)

e2e: $(TOOLS)
	@$(BIN)/python -m tests.clients.install
	@export TEST_EVIDENCE_DIR="$$(mktemp -d)" && $(BIN)/python -m pytest -n 2 --dist loadfile tests/clients $(ARGS) \
		&& $(BIN)/python -m pytest -q tests/test_secrets.py

lint: $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

fmt: $(TOOLS)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(TOOLS)
	@$(BIN)/python scripts/docs.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	rm -rf tests/clients/npm/*/node_modules tests/clients/npm/*/.installed tests/clients/pip/*/ tests/e2e/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { \
		echo 'copilot-bridge needs Python 3.11 or newer, and no such python3 was found on the PATH.' >&2; \
		echo 'Install one, or name it: make run PYTHON=/path/to/python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'copilot-bridge needs Python 3.11 or newer; $(PYTHON) is not.' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo 'This Python cannot make virtual environments. On Debian and Ubuntu: sudo apt install python3-venv' >&2; exit 1; }
	@echo 'Making $(VENV) …'
	@$(PYTHON) -m venv $(VENV)

$(SERVICE): requirements.txt | $(BIN)/python
	@echo 'Installing what the service needs …'
	@$(PIP_INSTALL) -r requirements.txt
	@touch $@

$(TOOLS): requirements-dev.txt requirements.txt | $(BIN)/python
	@echo 'Installing what tests and checks need …'
	@$(PIP_INSTALL) -r requirements-dev.txt
	@touch $@ $(SERVICE)

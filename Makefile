# copilot-bridge. All a fresh machine needs is make and Python 3.11 or newer; `make` lists the targets.

VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

BIN := $(VENV)/bin
SERVICE := $(VENV)/.installed
TOOLS := $(VENV)/.installed-dev
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --require-hashes
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(ARGS) pyproject.toml

# Tests run side by side, each module whole in one process; what all of them made the service say is searched afterwards.
# More than there are cores: most of the time those that come first wait, for servers and for limits to pass. Each
# process reads all tests before, and takes half a gigabyte; where hardly any waits, one more than cores is enough.
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
test attack: JOBS ?= $(shell echo $$(($(CORES) + 2)))
unit coverage fuzz e2e: JOBS ?= $(shell echo $$(($(CORES) + 1)))
# Reading takes half as long where what pytest makes of the tests is kept. The longest modules begin first
# (tests/support/order.py), then the others in the order of pyproject.toml, those with servers before those without;
# xdist would keep the ones with few tests for the end, which are the longest.
PARALLEL = export TEST_EVIDENCE_DIR="$$(mktemp -d)" PYTHONDONTWRITEBYTECODE= && $(BIN)/python -m pytest \
	-n $(JOBS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder
SCAN = $(BIN)/python -m pytest -q tests/test_secrets.py

.DEFAULT_GOAL := help
PIP_AUDIT := pip-audit==2.10.1
.PHONY: help run demo doctor test fuzz attack chaos soak ledger-run api-fuzz audit bench bench-pages unit pythons coverage dist restart-table e2e lint check fmt docs pictures screenshots translations lock clean

help:
	@echo 'make run     start the service on http://localhost:8000      (PORT=9000 and every other setting may follow)'
	@echo 'make demo    try it without a GitHub account, against a simulator       (SIGN_IN=1: with the sign-in page)'
	@echo 'make doctor  check settings, network, sign-in and models     (ARGS="--public-url https://bridge.example.com")'
	@echo 'make test    run the tests: some minutes                                       (ARGS="-k mapping" for some)'
	@echo 'make fuzz    50,000 mutated requests, and all that make test tries a share of       (BODIES=500000 SEED=7: others)'
	@echo 'make attack  try to break every promise of docs/security.md: a minute or two'
	@echo 'make api-fuzz call every endpoint as /openapi.json allows, and as it does not: some minutes    (EXAMPLES=500)'
	@echo 'make audit   ask PyPI whether a hole is known in anything the lock files name'
	@echo 'make bench   measure what a request costs, beside nginx      (QUICK=1: some minutes; AGAINST=commit: side by side)'
	@echo 'make bench-pages what every page takes with 100,000 calls in the ledger: minutes     (CALLS=500000 ARGS="--only /usage")'
	@echo 'make chaos   hundreds of faults of Copilot and GitHub against the official SDKs: some minutes (ARGS="gzip 429")'
	@echo 'make soak    500 streams at a time for 10 minutes, cut and left: what is told, lost or left   (MINUTES=2 STREAMS=100)'
	@echo 'make ledger-run 2,000 calls in all dialects, cut and left: are the books what was billed?      (CALLS=500 SEED=7)'
	@echo 'make pythons unit tests with every supported Python that is here'
	@echo 'make coverage what the unit tests reach: coverage/html/index.html'
	@echo 'make dist    build the wheel and the sdist into dist/'
	@echo 'make restart-table    what each kind of restart costs, under load and behind nginx (half a minute)'
	@echo 'make e2e     install real clients (npm, pip; some 2 GB) and run them against the service'
	@echo 'make check   lint, format, types, tests; CI runs `make e2e` as well'
	@echo 'make fmt     format the code and fix what can be fixed'
	@echo 'make docs    generate the tables in docs/ anew'
	@echo 'make pictures take the pictures of the pages in docs/images anew, with Chromium'
	@echo 'make screenshots  a picture of every page in every state, to be looked at              (DIR=/tmp/shots: there)'
	@echo 'make translations  bring the catalogues of pages and commands up to date, and compile them'
	@echo 'make lock    pin anew what pyproject.toml asks for        (ARGS="--upgrade": everything in its newest version)'
	@echo 'make clean   remove the virtual environment and caches; your sign-in in data/ stays'

run: $(SERVICE)
	@exec $(BIN)/python -m app.serving

demo: $(SERVICE)
	@exec $(BIN)/python -m app demo

doctor: $(SERVICE)
	@$(BIN)/flask --app wsgi doctor $(ARGS)

test: $(TOOLS)
	@$(PARALLEL) $(ARGS) && $(SCAN)

fuzz: $(TOOLS)
	@FUZZ_BODIES=$(or $(BODIES),50000) $(if $(SEED),FUZZ_SEED=$(SEED)) $(BIN)/python -m pytest -q tests/integration/test_fuzz.py
	@export THOROUGH=1; $(PARALLEL) -q $$(grep -rlE --include='*.py' 'support\.effort|@given' tests/integration tests/unit)

attack: $(TOOLS)
	@export THOROUGH=1; $(PARALLEL) -q $$(grep -o 'tests/[a-z_/]*\.py::test_[a-z0-9_]*' docs/security.md | sort -u) $(ARGS)

audit: $(TOOLS)
	@for lock in requirements.txt requirements-dev.txt; do \
		$(BIN)/uvx $(PIP_AUDIT) --strict --disable-pip --require-hashes --progress-spinner off -r $$lock || exit 1; done

chaos: $(TOOLS)
	@$(BIN)/python -m tests.chaos $(ARGS)

api-fuzz: $(TOOLS)
	@API_FUZZ_EXAMPLES=$(or $(EXAMPLES),100) $(BIN)/python -m pytest -q --timeout 1800 tests/integration/test_openapi.py $(ARGS)

soak: $(TOOLS)
	@$(BIN)/python -m tests.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(STREAMS),--streams $(STREAMS)) $(ARGS)

ledger-run: $(TOOLS)
	@$(BIN)/python -m tests.ledger_run $(if $(CALLS),--calls $(CALLS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

unit: $(TOOLS)
	@$(PARALLEL) -q tests/unit tests/architecture $(ARGS)

# With neither, some twenty minutes; the figures go into docs/performance.md. ARGS="--only chat,whole": these loads.
bench: $(TOOLS)
	@$(BIN)/python -m tests.benchmarks.rig $(if $(QUICK),--quick) $(if $(AGAINST),--against $(AGAINST)) \
		$(if $(QUICK)$(AGAINST)$(ARGS),,--write) $(ARGS)

bench-pages: $(TOOLS)
	@$(BIN)/python -m tests.benchmarks.bench_pages $(if $(CALLS),--calls $(CALLS)) $(ARGS)

pythons:
	@python3 scripts/pythons.py

coverage: $(TOOLS)
	@$(PARALLEL) -q tests/unit --cov=app --cov-report=html:coverage/html --cov-report=markdown:coverage/summary.md $(ARGS)

dist: $(TOOLS)
	$(BIN)/uv build --no-build-isolation --python $(BIN)/python --out-dir dist .

restart-table: $(TOOLS)
	@$(BIN)/python -m pytest -q -s tests/integration/test_restart.py

e2e: $(TOOLS)
	@$(BIN)/python -m tests.clients.install
	@$(PARALLEL) tests/clients $(ARGS) && $(SCAN)

lint: $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

fmt: $(TOOLS)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(TOOLS)
	@LC_ALL=C.UTF-8 $(BIN)/python scripts/docs.py

pictures: $(TOOLS)
	@$(BIN)/python -m tests.pictures

screenshots: $(TOOLS)
	@SCREENSHOTS_DIR=$(or $(DIR),screenshots) $(BIN)/python -m pytest -q tests/e2e/test_browser_states.py $(ARGS)
	@echo "$$(ls $(or $(DIR),screenshots)/*.png | wc -l) pictures in $(or $(DIR),screenshots)"

translations: $(TOOLS)
	@LC_ALL=C.UTF-8 $(BIN)/python scripts/translations.py

lock: $(BIN)/uv
	$(LOCK) --output-file requirements.txt
	$(LOCK) --group dev --constraint requirements.txt --output-file requirements-dev.txt

clean:
	rm -rf $(VENV) .venvs .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage coverage dist
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

# Not by way of $(TOOLS): a lock that has conflicts in it cannot be installed, and is mended by writing it anew.
$(BIN)/uv:
	@$(MAKE) $(TOOLS)

$(SERVICE): requirements.txt | $(BIN)/python
	@echo 'Installing what the service needs …'
	@$(PIP_INSTALL) -r requirements.txt
	@touch $@

$(TOOLS): requirements-dev.txt requirements.txt | $(BIN)/python
	@echo 'Installing what tests and checks need …'
	@$(PIP_INSTALL) -r requirements-dev.txt
	@touch $@ $(SERVICE)

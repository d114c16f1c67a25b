# One command sets up and runs: `make refresh`, `make test`, `make ui`. A second call sets nothing up again.
.DEFAULT_GOAL := refresh
.PHONY: refresh ui docs test test-full year bench accuracy lint format audit requirements clean

PYTHON ?= python3
PIP := .venv/bin/pip --disable-pip-version-check --no-input
BASE := .venv/.base-installed
DEV := .venv/.dev-installed

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv

$(BASE): requirements/base.txt pyproject.toml | .venv/bin/pip
	@echo "Installing what the platform needs (about a minute the first time)"
	$(PIP) install --quiet --require-hashes -r requirements/base.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): requirements/dev.txt $(BASE)
	@echo "Installing what the tests need"
	$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

# What cannot live beside our own pins, and what the images hold: each in an environment of its own.
ENVIRONMENTS := $(patsubst %,.venv/environments/%/.installed,ministack sagemaker processing training serving gateway)

.venv/environments/%/.installed: requirements/%.txt | .venv/bin/pip
	@echo "Installing the environment of $*"
	@$(PYTHON) -m venv --without-pip $(@D)
	@$(PIP) --python $(@D)/bin/python install --quiet --no-deps --require-hashes -r requirements/$*.txt
	@touch $@

refresh: $(BASE) ## release, model, forecast and endpoint of the newest released week
	@.venv/bin/forecast refresh

ui: $(BASE) ## Dagster on http://127.0.0.1:3000
	@.venv/bin/forecast ui

docs: $(DEV) ## the documentation as a static site, in site/
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet

lint: $(DEV) ## style, types and the arrows between the rooms
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

test: lint ## lint and every test that is not slow
	.venv/bin/python -m forecasting.engine
	.venv/bin/pytest -m "not slow" -n 2

test-full: lint $(ENVIRONMENTS) ## every test, the slow proofs too
	.venv/bin/python -m forecasting.engine
	.venv/bin/pytest -n 2

year: $(DEV) ## a year of weeks with everything that goes wrong in one, in less than an hour; FORECAST_YEAR_SEED=2 is another
	.venv/bin/python -m forecasting.engine
	.venv/bin/python -W ignore -m tests.year

bench: $(DEV) ## measured against what one would pick instead; wants an idle machine
	.venv/bin/python -m benchmarks

accuracy: $(DEV) ## the backtest over seven series, three periods and all rivals
	.venv/bin/python -m benchmarks.accuracy

format: $(DEV)
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

# --strict: without it a package that the service does not answer for counts as sound.
audit: $(DEV) ## known vulnerabilities of everything that is pinned; asks the package index
	for set in base dev dagster processing training serving gateway ministack sagemaker; do \
		.venv/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements/$$set.txt || exit 1; done

# Compiled with uv (not installed by the project), hashes for every platform, no index written into the files.
COMPILE = uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-emit-index-url --no-emit-find-links --no-header --quiet
requirements:
	$(COMPILE) pyproject.toml --extra build --extra dev -o requirements/dev.txt
	$(COMPILE) pyproject.toml --extra build -c requirements/dev.txt -o requirements/base.txt
	for image in processing training serving gateway; do \
		$(COMPILE) --group $$image -c requirements/dev.txt -o requirements/$$image.txt; done
	$(COMPILE) pyproject.toml --extra build --extra postgres -c requirements/dev.txt -o requirements/dagster.txt
	$(COMPILE) pyproject.toml --extra sagemaker -o requirements/sagemaker.txt
	$(COMPILE) --group ministack -o requirements/ministack.txt

clean:
	rm -rf .venv build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# Roost: `make run` needs python3 (3.11.2 or newer) and make, nothing else.
PYTHON ?= python3
SETUP := $(PYTHON) requirements/bootstrap.py
BIN := .venv/bin

.PHONY: help run setup check test bench lock clean

help:
	@echo "make run     install what is missing and start the recorder (Ctrl-C stops it)"
	@echo "make setup   install what is missing and start nothing (for a capture agent on another machine)"
	@echo "make check   style, types, layers, settings, migrations, API schema, documentation"
	@echo "make test    every test; installs what the tests need"
	@echo "make bench   the table of figures, measured on this machine"
	@echo "make lock    lock the requirements again (needs uv)"
	@echo "make clean   remove what make made; never the data directory"

run:
	@$(SETUP) run

setup:
	@$(SETUP) base

# The checks look at the program, not at a person's recordings.
check: export NVR_DATA_DIR = $(CURDIR)/.venv/check
check:
	@$(SETUP) dev
	@mkdir -p .venv/check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python manage.py check --deploy --fail-level WARNING
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file .venv/check/schema.yml
	$(BIN)/pytest -q tests/test_docs.py

test:
	@$(SETUP) test
	@$(BIN)/python -m tests.run

bench:
	@$(SETUP) dev
	@$(BIN)/python -m bench

lock:
	cd requirements && for name in base dev node; do \
		uv pip compile --universal --python-version 3.11.2 --generate-hashes --no-emit-index-url \
			--only-binary :all: --quiet $$name.in -o $$name.txt || exit 1; \
	done

clean:
	rm -rf .venv node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache tests/output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# `make test` sets up all it needs in build/ and runs every check. Only a Python 3.11+ (BOOT) has to be there.
BOOT ?= python3
PYTHON = "$$(cat build/python.path)"
TESTS ?=

.PHONY: test setup lint types imports pytest coverage format locks clean

test: lint types imports pytest

setup:
	@$(BOOT) tools/develop.py

lint: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types: setup
	$(PYTHON) -m pyright --pythonpath $(PYTHON)

imports: setup
	$(PYTHON) -c "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command; lint_imports_command()"

pytest: setup
	$(PYTHON) -m pytest --timeout=600 $(TESTS)

coverage: setup
	$(PYTHON) -m pytest --cov --cov-report=term-missing:skip-covered $(TESTS)

format: setup
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

# After a change of a .in file: `make locks UV=…`. Nothing is resolved for the trainer: each package is a choice.
UV ?= uv
UV_COMPILE = $(UV) pip compile --universal --generate-hashes --no-annotate --no-header --no-build -q
LOCKS = lib_lora_train/environment/locks
locks:
	for lock in $(LOCKS)/*.in; do $(UV_COMPILE) --no-deps --python-version 3.10 $$lock -o $${lock%.in}.txt || exit 1; done
	$(UV_COMPILE) --python-version 3.11 requirements-dev.in -o requirements-dev.txt

clean:
	rm -rf build

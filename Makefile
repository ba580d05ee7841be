# `make test` sets up all it needs in build/ and runs every check. Only a Python 3.11+ (BOOT) has to be there.
BOOT ?= python3
PYTHON = "$$(cat build/python.path)"
TESTS ?=

.PHONY: test test-host test-torch setup lint types imports pytest coverage format locks clean

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

# The same questions to a running WebUI (started with --api): make test-host WEBUI=http://127.0.0.1:7860
test-host: setup
	WEBUI=$(WEBUI) $(PYTHON) -m pytest tests/webui $(TESTS)

# What depends on torch, on the torch of A1111, Forge and Forge Neo (fetched once, several GB): make test-torch TORCH=2.1.2
TORCH ?=
test-torch: setup
	$(PYTHON) tools/torch_matrix.py $(if $(TORCH),--only $(TORCH))

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
	for lock in requirements-dev.in tests/ui/gradio-*.in; do $(UV_COMPILE) --python-version 3.11 $$lock -o $${lock%.in}.txt || exit 1; done
	for lock in tests/torch/*.in; do $(UV_COMPILE) --python-version $$(sed -n '1s/.*python //p' $$lock) $$lock -o $${lock%.in}.txt || exit 1; done

clean:
	rm -rf build

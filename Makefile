# pdmodel: every target makes what it needs first; only make and Python >= 3.12 must be there.
# Choose another Python with PYTHON=..., other test options with PYTEST_ARGS=...

BIN := .venv/bin
PYTEST_ARGS ?= -n 2 --dist loadfile
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test lint check docs bench clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

demo: .venv/.installed ## Run the whole way on the embedded cohort, into demo/
	@echo "demo: fitting, classifying and forecasting the embedded cohort, into demo/"
	@$(BIN)/pdmodel demo -o demo

test: .venv/.installed-test ## Run the tests (slow ones: PYTEST_ARGS="-m slow")
	@echo "test: pytest $(PYTEST_ARGS); the first run compiles the models and takes longer"
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(PYTEST_ARGS)

lint: .venv/.installed-lint ## Check style, types and import contracts
	@echo "lint: ruff, pyright, import-linter"
	@$(BIN)/python -m ruff check --quiet .
	@$(BIN)/python -m ruff format --quiet --check .
	@$(BIN)/python -m pyright
	@$(BIN)/lint-imports --no-logo

check: lint ## Everything that CI runs: lint and test
	@$(MAKE) --no-print-directory test

docs: .venv/.installed-docs ## Build the pages into docs/_build/html, running their examples
	@echo "docs: building docs/_build/html; the first run executes every example"
	@$(BIN)/python -m sphinx -W --keep-going --quiet -b html docs docs/_build/html

bench: .venv/.installed ## Run the benchmarks, one after the other
	@for f in benchmarks/bench_*.py; do \
	    [ -e "$$f" ] || { echo "bench: there is no benchmarks/bench_*.py"; exit 1; }; \
	    echo "bench: $$f"; $(BIN)/python "$$f" || exit 1; \
	done

clean: ## Remove what was built, but neither demo/ nor .venv/
	@rm -rf build dist docs/_build .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
	@echo "clean: done; remove .venv/ by hand to install afresh"

# One virtual environment; a stamp for each part, renewed when what it depends on changes.

.venv/.created:
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then \
	    echo "setup: using the virtual environment in .venv/"; \
	else \
	    python="$(PYTHON)"; \
	    [ -n "$$python" ] || python=$$(sh scripts/find-python) || exit 1; \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' || \
	        { echo "setup: $$python is not Python 3.12 or later" >&2; exit 1; }; \
	    echo "setup: making the virtual environment .venv/ with $$("$$python" --version)"; \
	    "$$python" -m venv --clear .venv || exit 1; \
	fi
	@touch $@

.venv/.pip: .venv/.created constraints.txt
	@echo "setup: installing pip as pinned in constraints.txt"
	@$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	@touch $@

.venv/.installed: .venv/.pip pyproject.toml
	@echo "setup: installing pdmodel and what it needs; the first time takes some minutes"
	@$(BIN)/python -m pip install --quiet -c constraints.txt --build-constraint constraints.txt -e .
	@touch $@

.venv/.installed-%: .venv/.installed
	@echo "setup: installing what '$*' needs"
	@$(BIN)/python -m pip install --quiet -c constraints.txt --group $*
	@touch $@

# Doors of the project. `make demo` and `make test` do all their set-up in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-gpu check check-arm64 bench bench-peers docs lint coverage mutants wheel clean
.NOTPARALLEL:

demo: .venv/installed ; $(BIN)/python examples/digits.py
test: .venv/installed ; $(BIN)/pytest
test-gpu: .venv/installed ; $(BIN)/python tests/gpu/run.py $(STAGES)
check: check-gcc check-clang check-asan
check-arm64: .venv/made ; PATH="$(CURDIR)/$(BIN):$$PATH" sh tools/arm64.sh
bench: .venv/installed ; $(BIN)/python benchmarks/ops.py && $(BIN)/python benchmarks/steps.py
bench-peers: .venv/installed .venv-peers/installed
	$(BIN)/python benchmarks/steps.py --peers .venv-peers/bin/python --json build/steps.json
docs: .venv/installed ; $(BIN)/pip install -q 'brainstorm[docs]' && $(BIN)/sphinx-build -qW docs build/docs
lint: .venv/tools
	clang-format --dry-run --Werror $$(git ls-files 'csrc/*.[ch]' 'tests/*.[ch]' 'examples/*.c')
	$(BIN)/mypy brainstorm
coverage: .venv/tools ; PATH="$(CURDIR)/$(BIN):$$PATH" sh tools/coverage.sh
mutants: .venv/installed ; $(BIN)/python tests/mutants.py
wheel: .venv/made ; $(BIN)/pip wheel --no-deps -w dist .
clean: ; rm -rf build dist .venv .venv-peers .tox *.egg-info brainstorm/*.so brainstorm/LICENSE.openblas.txt

check-%: .venv/made
	@command -v $(subst asan,gcc,$*) >/dev/null || { echo "make check needs $*: install it (Debian: apt-get install $*)"; exit 1; }
	PATH="$(CURDIR)/$(BIN):$$PATH" sh -c 'cmake --preset $* -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python >/dev/null && \
	  cmake --build --preset $* -j 2 && ctest --preset $*'

# The installed package, made again whenever a source is newer.
SOURCES := CMakeLists.txt pyproject.toml $(shell find csrc brainstorm -name '*.[ch]' -o -name '*.cu' -o -name '*.def' -o -name '*.py*' -not -name '*.pyc')
.venv/installed: .venv/made $(SOURCES)
	$(BIN)/pip install -q '.[tests]'
	@touch $@

# PyTorch and JAX, some gigabytes, away from the package's own environment.
.venv-peers/installed:
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install -q torch jax numpy
	@touch $@

.venv/tools: .venv/installed
	$(BIN)/pip install -q coverage gcovr mypy
	@touch $@

.venv/made: tools/preflight.sh
	@sh tools/preflight.sh $(PYTHON)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --upgrade pip
	$(BIN)/pip install -q 'cmake>=3.21' 'numpy>=2' scipy-openblas32
	@touch $@

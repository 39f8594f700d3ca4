# Everything from two commands: `make demo` and `make test`. Both set up .venv first, where needed.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
SETUP := .venv/.ready
NATIVE := CMakeLists.txt $(wildcard src/markai/_kernels/*.cpp src/markai/_kernels/*.hpp)

.PHONY: setup demo test check format peers bench clean

setup: $(SETUP)

$(SETUP): pyproject.toml constraints.txt $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt scikit-build-core nanobind nanobind-backend cmake ninja
	$(BIN)/python -m pip install -q --no-build-isolation -c constraints.txt -e '.[dev]'
	touch $(SETUP)

demo: setup
	$(BIN)/python examples/quickstart.py --out demo

test: setup
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The peers are installed without their dependencies: those would pull torch with CUDA, and a second OpenCV.
peers: setup
	$(BIN)/python -m pip install -q --no-deps invisible-watermark==0.2.0 blind-watermark==0.4.4

# Hours on small machines; what is interrupted is taken up.
bench: peers
	$(BIN)/python benchmarks/tables.py
	$(BIN)/python benchmarks/null.py
	$(BIN)/python benchmarks/secrecy.py
	$(BIN)/python benchmarks/geometry.py
	$(BIN)/python benchmarks/sizes.py
	$(BIN)/python benchmarks/capacity.py
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/likeness.py
	$(BIN)/python benchmarks/registry.py
	$(BIN)/python benchmarks/readme.py

clean:
	rm -rf .venv build demo bench scratch .mypy_cache .pytest_cache .ruff_cache .hypothesis

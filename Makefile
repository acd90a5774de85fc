# A fresh machine needs Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := runs/quickstart
WORKERS ?= 2
SEED ?= 1

.PHONY: setup quickstart test test-fast fuzz gpu lint docs figures golden clean

setup: $(VENV)/installed

# constraints.txt names torch first: the CPU build where that is what the machine's index offers. Only what training
# imports is compiled: compiling everything takes half of the time.
$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt torch
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable .
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -c "import restore_lightning.commands.trainer"
	touch $@

# spandrel in a folder of its own: where torchvision was built for another torch, importing it fails, which torchmetrics
# would do wherever it finds it.
$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,docs]'
	$(BIN)/pip install --quiet --upgrade --no-deps --no-compile --constraint constraints.txt --target $(VENV)/spandrel \
		spandrel einops torchvision
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

# Trains a small network on procedural scenes (minutes on 2 cores), fine-tunes it for images whose degradation is not
# known, and scores both on real photographs.
quickstart: setup
	$(BIN)/restore fit --config quickstart.yaml --overwrite
	$(BIN)/restore test --config $(RUN)/config.yaml
	$(BIN)/restore fit --config quickstart_r_mbn.yaml --overwrite
	$(BIN)/restore test --config $(RUN)/r_mbn/config.yaml
	@echo "restore your own: $(BIN)/restore apply $(RUN)/r_mbn/checkpoints/best.ckpt PHOTO --output restored"
	@echo "or one known factor: $(BIN)/restore apply $(RUN)/checkpoints/best.ckpt PHOTO --factor haze --output restored"

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest -n $(WORKERS)

# Those that take no more than about three seconds each.
test-fast: $(VENV)/installed-test
	$(BIN)/pytest -n $(WORKERS) -m "not slow"

# Thousands of damaged files and command lines, in one process; make test tries a few hundred. SEED=2 tries others.
fuzz: $(VENV)/installed-test
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/fuzz -p no:cacheprovider --hypothesis-profile long --hypothesis-seed $(SEED)

# On a machine with a CUDA GPU: what only it can test and measure, into docs/performance.md and runs/on_gpu.json.
gpu: $(VENV)/installed-test
	mkdir -p runs
	$(BIN)/python benchmarks/on_gpu.py > runs/on_gpu.json

# Pages that open from disk; `python -m http.server --directory build/documentation/site` gives them their search.
docs: $(VENV)/installed-docs
	$(BIN)/python -m scripts.documentation.build

# Into docs/figures: by the shipped networks, and by the quickstart's and curves of runs/small where these are.
figures: $(VENV)/installed
	for each in house cycle curves restored passes; do $(BIN)/python -m scripts.figures.$$each || exit 1; done

# Into tests/golden: outputs of networks that are computed by formulas of NumPy.
golden: $(VENV)/installed
	$(BIN)/python -m scripts.golden.write

clean:
	rm -rf $(VENV) runs build dist .pytest_cache .mypy_cache .ruff_cache

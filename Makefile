# `make demo` and `make test` need Python 3.10 or newer and nothing else.
# `make check` is the part of `make test` to run after each change: the style, the layers and the tests without the
# marker "slow" (see pytest.ini).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo-output
# how many processes share the tests; 0 runs them in one, as a debugger needs it
JOBS ?= 2
# pip options that name a CPU build of torch, such as TORCH_INDEX="--index-url URL"
TORCH_INDEX ?=
PYTEST := $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test test-cluster check lint benchmarks fuzz clean

demo: $(VENV)/installed
	$(BIN)/crlm-seg demo --out $(OUT)

test: $(VENV)/tested lint
	$(PYTEST)

check: $(VENV)/tested lint
	$(PYTEST) -m "not slow"

# Ray and an S3 server, 240 MB more, for the tests of --cluster, of serve --ray and of cases in a storage
test-cluster: $(VENV)/clustered
	RAY_USAGE_STATS_ENABLED=0 $(BIN)/python -m pytest -m cluster

lint: $(VENV)/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/vermin --target=3.9- --no-tips --quiet --violations CRLMSegmentation/CRLMSegmentation.py CRLMSegmentation/CRLMSegmentationLib
	cd CRLMSegmentation && ../$(BIN)/lint-imports --no-cache && ../$(BIN)/mypy --num-workers 2 --cache-dir ../$(VENV)/mypy

benchmarks: $(VENV)/installed
	cd Testing && for file in benchmarks/benchmark_*.py; do ../$(BIN)/python -m benchmarks.$$(basename $$file .py) || exit 1; done

fuzz: $(VENV)/tested
	cd Testing && ../$(BIN)/python -m fuzz.fuzz_igtl --messages 100000 --seconds 240

$(VENV)/torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV); this takes a few minutes once ..."
	@if [ -z "$(CUDA)" ] && ! command -v nvidia-smi >/dev/null && \
	   $(PIP) --dry-run --report - $(TORCH_INDEX) torch | grep -qi '"name": *"nvidia'; then \
	   echo "No NVIDIA GPU here, but pip would download gigabytes of CUDA with torch. Choose \"CPU\" on"; \
	   echo "https://pytorch.org/get-started/locally and pass the index it names:"; \
	   echo "  make $(MAKECMDGOALS) TORCH_INDEX=\"--index-url ...\"      (or CUDA=1 to download them all the same)"; \
	   exit 1; fi
	$(PIP) $(TORCH_INDEX) torch
	touch $@

$(VENV)/installed: $(VENV)/torch CRLMSegmentation/pyproject.toml
	$(PIP) torchvision --editable 'CRLMSegmentation[openvino]'
	touch $@

$(VENV)/tested: $(VENV)/installed
	$(PIP) --editable 'CRLMSegmentation[openvino,server,test]'
	touch $@

# botocore, of s3fs, needs an older python-dateutil than the one of constraints.txt, and s3fs its own fsspec; with moto in
# the same command pip finds no versions for all, and alone moto would replace botocore
$(VENV)/clustered: $(VENV)/tested
	grep -v -e python-dateutil -e fsspec constraints.txt > $(VENV)/constraints-cluster.txt
	$(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint $(VENV)/constraints-cluster.txt \
	  --editable 'CRLMSegmentation[openvino,server,test,cluster,storage]'
	$(BIN)/python -m pip --disable-pip-version-check freeze | grep '^botocore==' >> $(VENV)/constraints-cluster.txt
	$(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint $(VENV)/constraints-cluster.txt 'moto[server]>=5'
	touch $@

clean:
	rm -rf $(VENV) $(OUT)

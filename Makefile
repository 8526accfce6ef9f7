# Two commands do all the set-up on a fresh Debian machine: `make run` and `make test`.

PYTHON ?= python3
SOURCE ?= demo
PORT   ?= 8080
BIN    := .venv/bin
MODEL  := models/yolo11n/manifest.json

.DEFAULT_GOAL := help
.PHONY: help run setup model test check lint nvidia boot-test boot-test-full provision-test provision-test-full eval bench attack \
        fuzz bundle install clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' Makefile

run: setup model ## the service with a demo camera and a page to look at (SOURCE=clip.mp4 | photos/ | /dev/video0, PORT=8080)
	@exec $(BIN)/appliance serve --profile realtime --port $(PORT) --camera "$(SOURCE)"

setup: .venv/.installed ## only the environment, .venv

model: $(MODEL) ## only the default model

test: .venv/.installed-test $(MODEL) ## all tests
	@$(BIN)/python -m pytest

check: lint test ## everything that must hold: lint and test

lint: .venv/.installed-test ## style, types, floors, units
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@systemd/check.sh

nvidia: .venv/.installed-test ## NVIDIA's own bindings of TensorRT and CUDA, which tests hold our calls against (150 MB, no GPU)
	@$(BIN)/python -m tests.engines.nvidia.install

boot-test: .venv/.installed-systemd $(MODEL) ## the installed service under real systemd in a container: failures, damage, restarts (root)
	@$(BIN)/python -m pytest tests/boot -m boot

boot-test-full: .venv/.installed-systemd $(MODEL) ## and in a virtual machine: cgroup v2, power cuts (root, an hour)
	@$(BIN)/python -m pytest tests/boot -m 'boot or machine'

provision-test: .venv/.installed-systemd $(MODEL) ## a blank system becomes a box from a bundle, and none again (root, two minutes)
	@$(BIN)/python -m pytest tests/provisioning -m 'provision and not slow'

provision-test-full: .venv/.installed-systemd $(MODEL) ## and from the network, on Ubuntu, in a virtual machine, each step failing, upgrades, arm64 (root, long)
	@$(BIN)/python -m pytest tests/provisioning -m provision

eval: .venv/.installed-test .cache/eval/yolo11n/source.onnx ## accuracy through the socket against Ultralytics' own predictor
	@$(BIN)/python -m tests.evaluation --onnx .cache/eval/yolo11n/source.onnx

.cache/eval/yolo11n/source.onnx: | .venv/.installed
	@$(BIN)/appliance model fetch --keep-source --set model.dir=.cache/eval

bench: .venv/.installed-test $(MODEL) ## speed, fairness and memory beside their references (BENCH="goodput literal …": only those)
	@$(BIN)/python -m tests.benchmarks $(BENCH)

attack: .venv/.installed-test $(MODEL) ## hostile clients against the real service while cameras push (ATTACK="--quick", ATTACK="gzip PNG")
	@$(BIN)/python -m tests.attack $(ATTACK)

fuzz: .venv/.installed-test ## a million mutated inputs for every door (N=1000000 SECONDS=300 SEED=1 ONLY="decode form" FIRST=0)
	@$(BIN)/python -m tests.fuzz $(if $(N),-n $(N)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) \
	  $(if $(ONLY),--only $(ONLY)) $(if $(FIRST),--first $(FIRST))

bundle: .venv/.installed $(MODEL) ## one file that installs a box without a network (ARCH=amd64|arm64 PYTHON_VERSION=3.11)
	@$(BIN)/python provisioning/bundle.py $(if $(ARCH),--arch $(ARCH)) $(if $(PYTHON_VERSION),--python $(PYTHON_VERSION))

install: ## this machine becomes a box: /opt/appliance, units, settings, first start (as root)
	@provisioning/install.sh

clean: ## remove what was installed and built; the models stay
	rm -rf .venv .cache build *.egg-info

.venv/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 10) <= v <= (3, 13))' || \
	  { echo "Python 3.10 to 3.13 is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "The venv package is missing. Install it with: sudo apt install python3-venv"; exit 1; }
	@echo "Installing into .venv (about 550 MB, once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check -e '.[camera]'
	@touch $@

.venv/.installed-test: .venv/.installed
	@$(BIN)/python -m pip install --disable-pip-version-check -e '.[test]'
	@touch $@

.venv/.installed-systemd: .venv/.installed-test
	@$(BIN)/python -m pip install --disable-pip-version-check -e '.[systemd]'
	@touch $@

$(MODEL): | .venv/.installed
	@$(BIN)/appliance model fetch

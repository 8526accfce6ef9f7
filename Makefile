# Two commands do all set-up on a fresh Debian machine: `make run` and `make test`.

PYTHON ?= python3
SOURCE ?= demo
HOST   ?= 127.0.0.1
PORT   ?= 8080
HA_PYTHON ?= python3.13
BIN    := .venv/bin
MODEL  := models/yolo11n/manifest.json
INT8_MODEL := $(if $(INT8),models/yolo11n-int8/manifest.json)

.DEFAULT_GOAL := help
.PHONY: help run setup model test check lint nvidia first-start api-test triton-test monitoring-test home-assistant node-red boot-test boot-test-full provision-test \
        provision-test-full eval bench soak attack \
        site-test fuzz bundle deb image image-test release release-twice update-test update-cut-test fleet-test lock sbom audit licences install clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' Makefile

run: setup model ## run the service with a demo camera; open http://127.0.0.1:8080/ (SOURCE=clip.mp4 | photos/ | /dev/video0, HOST=0.0.0.0, PORT=8080)
	@exec $(BIN)/appliance serve --profile realtime --host $(HOST) --port $(PORT) --camera "$(SOURCE)"

setup: .venv/.installed ## create the environment .venv

model: $(MODEL) ## download the default model

test: .venv/.installed-test $(MODEL) ## run all tests, the files of tests in two processes (JOBS=2)
	@$(BIN)/python -m pytest --numprocesses $(or $(JOBS),2) --dist loadfile

check: lint test ## lint and test: what must pass before a change is merged

lint: .venv/.installed-test ## check style, types, import layers and systemd units
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@systemd/check.sh

nvidia: .venv/.installed-test ## install NVIDIA's Python bindings, which the tests check our calls against (150 MB, no GPU)
	@$(BIN)/python -m tests.engines.nvidia.install

home-assistant: .venv/.installed-test ## test against Home Assistant's own MQTT integration (HA_PYTHON=python3.13, 600 MB, minutes)
	@[ -x .cache/home-assistant/bin/hass ] || { $(HA_PYTHON) -m venv .cache/home-assistant && \
	  .cache/home-assistant/bin/python -m pip install --disable-pip-version-check -q homeassistant paho-mqtt; }
	@$(BIN)/python -m pytest tests/links/mqtt/test_home_assistant.py

node-red: .venv/.installed-test ## test that Node-RED receives events (needs npm, 100 MB)
	@[ -e .cache/node-red/node_modules/node-red ] || npm install --no-audit --no-fund --silent --prefix .cache/node-red node-red
	@$(BIN)/python -m pytest tests/links/test_node_red.py

first-start: .venv/.installed-test $(MODEL) ## try the first start as a new user would: console, QR code, phone (Chromium), pairing a camera
	@$(BIN)/python -m pytest tests/service/test_first_start.py -m first_start

api-test: .venv/.installed-test ## send generated requests (schemathesis) to every HTTP route, and hold the answers to /openapi.json (API_EXAMPLES=50)
	@$(BIN)/python -c 'import schemathesis' 2>/dev/null || $(BIN)/python -m pip install --disable-pip-version-check -q 'schemathesis>=4,<5'
	@API_EXAMPLES=$(or $(API_EXAMPLES),50) $(BIN)/python -m pytest tests/web/test_schemathesis.py

triton-test: .venv/.installed-test $(MODEL) ## test the engine kserve against NVIDIA's Triton Inference Server (x86-64, no GPU; 75 MB, minutes)
	@[ -e .cache/triton/pytriton ] || $(BIN)/python -m pip install --disable-pip-version-check -q --target .cache/triton \
	  --no-deps --only-binary :all: 'nvidia-pytriton==0.7.0' 'numpy<2'
	@$(BIN)/python -m pytest -s tests/engines/test_triton.py

monitoring-test: .venv/.installed-test ## check the alert rules with promtool and the dashboards with Grafana's types, and scrape a live service with Prometheus (Debian's package prometheus)
	@command -v prometheus promtool >/dev/null || { echo "Prometheus is missing. Install it with: sudo apt install prometheus"; exit 1; }
	@promtool check rules provisioning/monitoring/appliance.rules.yml
	@promtool test rules provisioning/monitoring/appliance.rules.test.yml
	@$(BIN)/python -c 'import grafana_foundation_sdk' 2>/dev/null || \
	  $(BIN)/python -m pip install --disable-pip-version-check -q 'grafana-foundation-sdk==1769699379!11.6.0'
	@PROMETHEUS=1 $(BIN)/python -m pytest tests/web/test_prometheus.py tests/web/test_monitoring.py tests/web/test_grafana.py tests/workshop/test_waves.py

boot-test: .venv/.installed-systemd $(MODEL) ## test the installed service under systemd in a container: failures, damage, restarts (root)
	@$(BIN)/python -m pytest tests/boot -m boot

boot-test-full: .venv/.installed-systemd $(MODEL) ## the same, and in a virtual machine: cgroup v2, power cuts (root, an hour)
	@$(BIN)/python -m pytest tests/boot -m 'boot or machine'

provision-test: .venv/.installed-systemd $(MODEL) ## test installation from a bundle on a blank system, and removal (root, minutes)
	@$(BIN)/python -m pytest tests/provisioning -m 'provision and not slow'

provision-test-full: .venv/.installed-systemd $(MODEL) ## the same, and from the network, on Ubuntu, in a VM, failing steps, upgrades, arm64 (root, long)
	@$(BIN)/python -m pytest tests/provisioning -m provision

eval: .venv/.installed-test .cache/eval/yolo11n/source.onnx ## measure accuracy over the socket, compared with Ultralytics' predictor
	@$(BIN)/python -m tests.evaluation --onnx .cache/eval/yolo11n/source.onnx

.cache/eval/yolo11n/source.onnx: | .venv/.installed
	@$(BIN)/appliance model fetch --keep-source --set model.dir=.cache/eval

bench: .venv/.installed-test $(MODEL) ## measure speed, fairness and memory against references (BENCH="goodput literal …")
	@$(BIN)/python -m tests.benchmarks $(BENCH)

soak: .venv/.installed-test $(MODEL) ## watch the memory while cameras come and go (MINUTES=120)
	@$(BIN)/python -m tests.benchmarks.soak $(if $(MINUTES),--minutes $(MINUTES))

attack: .venv/.installed-test $(MODEL) ## attack the running service while cameras push (ATTACK="--quick", ATTACK="gzip PNG")
	@$(BIN)/python -m tests.attack $(ATTACK)

site-test: .venv/.installed-test ## test three devices behind HAProxy that die, hang, get hot and move (haproxy, nats-server; 6 minutes; SITE="--full": 60 cameras, 16 minutes)
	@$(BIN)/python -m tests.site.trial $(SITE)

fuzz: .venv/.installed-test ## send a million mutated inputs to every interface (N=1000000 SECONDS=300 SEED=1 ONLY="decode form" FIRST=0)
	@$(BIN)/python -m tests.fuzz $(if $(N),-n $(N)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) \
	  $(if $(ONLY),--only $(ONLY)) $(if $(FIRST),--first $(FIRST))

bundle: .venv/.installed $(MODEL) $(INT8_MODEL) ## make one file that installs a device without a network (ARCH=amd64|arm64 PYTHON_VERSION=3.11 INT8=PICTURES)
	@$(BIN)/python provisioning/bundle.py $(if $(ARCH),--arch $(ARCH)) $(if $(PYTHON_VERSION),--python $(PYTHON_VERSION))

release: .venv/.installed .cache/tools/.installed $(MODEL) $(INT8_MODEL) ## make what an operator publishes in build/release: wheel, sdist, bundles, bill of materials, checksums, signed repository (NUMBER=7 KEYS=FOLDER ARCHS="amd64 arm64" PYTHONS="3.11 3.13" INT8=PICTURES)
	@$(BIN)/python provisioning/release.py build $(if $(NUMBER),--number $(NUMBER)) $(if $(KEYS),--keys $(KEYS)) \
	  $(if $(ARCHS),--archs $(ARCHS)) $(if $(PYTHONS),--pythons $(PYTHONS))

release-twice: .venv/.installed .cache/tools/.installed $(MODEL) ## build and sign a release twice, and compare the bytes
	@provisioning/reproducible.sh $(BIN)/python

update-test: .venv/.installed-systemd $(MODEL) ## test updates under systemd in a container: good, crashing, hanging, blind, slow, cut, on a full disk (root, half an hour)
	@$(BIN)/python -m pytest tests/provisioning/test_update.py tests/provisioning/test_full_disk.py -m provision

update-cut-test: .venv/.installed-systemd $(MODEL) ## cut the power after each step of an update and at CUTS=30 random moments, with a disk that loses what was not synced (root, an hour)
	@$(BIN)/python -m pytest tests/provisioning/test_power_cuts.py -m provision

fleet-test: .venv/.installed-systemd $(MODEL) ## test the Ansible role over SSH on three devices in containers: bundle, settings, tokens, models, waves (root, half an hour)
	@[ -x .cache/ansible/bin/ansible-lint ] || { $(PYTHON) -m venv .cache/ansible && \
	  .cache/ansible/bin/python -m pip install --disable-pip-version-check -q ansible-core ansible-lint; }
	@$(BIN)/python -m pytest tests/provisioning/test_fleet.py -m provision

deb: .venv/.installed $(MODEL) ## wrap a bundle into a Debian package (ARCH=amd64|arm64 PYTHON_VERSION=3.11 VERSION= MAINTAINER=)
	@$(MAKE) --no-print-directory bundle
	@$(BIN)/python provisioning/deb.py $$(ls -t .cache/bundle/*.tar | head -1) \
	  $(if $(VERSION),--version $(VERSION)) $(if $(MAINTAINER),--maintainer "$(MAINTAINER)")

image: .venv/.installed .cache/tools/.installed $(MODEL) $(INT8_MODEL) ## make a disk image and its update (root; BOARD=generic-amd64|arm64|rpi INT8=PICTURES KEYRING= CERTIFICATE= KEY= SSH_KEY= FIRMWARE="PACKAGE..." or none)
	@rm -rf .cache/image/bundle
	@$(BIN)/python provisioning/bundle.py --arch $(if $(filter-out generic-amd64,$(BOARD)),arm64,amd64) --python 3.11 --out .cache/image/bundle >/dev/null
	@$(BIN)/python provisioning/image/build.py --bundle .cache/image/bundle/*.tar \
	  $(if $(BOARD),--board $(BOARD)) $(if $(FIRMWARE),--firmware $(filter-out none,$(FIRMWARE))) $(if $(KEYRING),--keyring $(KEYRING)) \
	  $(if $(CERTIFICATE),--certificate $(CERTIFICATE)) $(if $(KEY),--key $(KEY)) $(if $(SSH_KEY),--ssh-key $(SSH_KEY))

image-test: .venv/.installed-systemd $(MODEL) ## make an image, boot it by UEFI, update it, cut its power, undo a blind update (root, half an hour; BOARD=arm64: hours)
	@$(BIN)/python -m pytest tests/provisioning/test_image.py -m image

lock: .cache/tools/.installed ## pin all packages of a device with hashes, for every Python and architecture (UPGRADE=1: newest)
	@$(PYTHON) provisioning/supply_chain.py lock $(if $(UPGRADE),--upgrade)

sbom: .cache/tools/.installed ## write the bill of materials (CycloneDX) of the lock file, of BUNDLE=FILE or of IMAGE=FILE.img, to build/sbom.cdx.json
	@$(PYTHON) provisioning/supply_chain.py sbom $(if $(BUNDLE),--bundle $(BUNDLE)) $(if $(IMAGE),--image $(IMAGE))

audit: .cache/tools/.installed ## look all locked packages up in the database of known vulnerabilities (needs the internet)
	@$(PYTHON) provisioning/supply_chain.py audit

licences: .venv/.installed-test ## list the licences of all packages in docs/licences.md
	@$(BIN)/python provisioning/supply_chain.py licences

install: ## install on this machine: /opt/appliance, units, settings, first start (root)
	@provisioning/install.sh

clean: ## remove everything installed, built and saved, except the models
	rm -rf .venv .cache .state build *.egg-info

.cache/tools/.installed:
	@$(PYTHON) -m venv .cache/tools
	@.cache/tools/bin/python -m pip install --disable-pip-version-check --quiet uv pip-audit cyclonedx-bom
	@touch $@

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

models/yolo11n-int8/manifest.json: | $(MODEL)
	@$(BIN)/appliance model quantize yolo11n --calibration "$(INT8)"

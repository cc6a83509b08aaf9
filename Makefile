# The front door of a checkout; `make help` says what each target does.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# The Python that virtual environments are made with: 3.11, 3.12 or 3.13. Found by tools/find-python unless named.
export PYTHON
export LC_ALL := C.UTF-8

ifeq ($(shell id -u),0)
STATE := /var/lib/cctv-pipeline/.local/state/cctv-pipeline
# Tests of a checkout that root made run as another user, who may not be able to enter the checkout.
TEST_CACHE := /var/cache/cctv-pipeline-tests
else
STATE := $(or $(XDG_STATE_HOME),$(HOME)/.local/state)/cctv-pipeline
TEST_CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cctv-pipeline-tests
endif

VENV := .venv
TEST_VENV := $(TEST_CACHE)/venv
TEST_REQUIREMENTS := requirements-dev.txt services/requirements-data.txt services/detection/requirements-build.txt requirements-dev-data.txt
# Programs call each other by name, so a virtual environment's bin has to be on PATH.
IN_VENV = PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
IN_TEST_VENV = PATH="$(TEST_VENV)/bin:$$PATH"

# More for ansible-playbook, as in: make up ARGS="-e @cameras.yml -v"; or for pytest: make test TESTS=tests/unit ARGS="-k producer".
ARGS ?=
# The quick ones first, then the longest: what runs beside it ends about when it does. One test alone is followed by the next file's.
TESTS ?= tests/unit tests/collection tests/molecule tests/integration
# Tests wait more than they work; each file's run one after another.
JOBS ?= 3

.PHONY: help
help:  ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do printf '  make %-16s %s\n' "$$name" "$$what"; done

.PHONY: venv
venv:
	@tools/venv $(VENV) requirements.txt

.PHONY: up
up: venv  ## Bring the pipeline up on this machine, and see that predicted frames flow
	@$(IN_VENV) ansible-playbook site.yml $(ARGS)

.PHONY: verify
verify: venv  ## See that frames flow through a running pipeline, and print the table
	@$(IN_VENV) ansible-playbook playbooks/verify.yml $(ARGS)

.PHONY: status
status: venv  ## Say what runs: in a terminal live, until q or Ctrl-C; else once
	@$(IN_VENV) python tools/status.py $(ARGS)

.PHONY: diagnose
diagnose: venv  ## Gather what tells how the pipeline is, without its secrets, in one file
	@$(IN_VENV) ansible-playbook playbooks/diagnose.yml $(ARGS)

.PHONY: logs
logs:  ## Follow the logs of all workloads
	@ls $(STATE)/logs/*.log >/dev/null 2>&1 || { echo "There are no logs in $(STATE)/logs yet: make up."; exit 1; }
	@tail -n 20 -F $(STATE)/logs/*.log

.PHONY: down
down: venv  ## Stop the pipeline
	@$(IN_VENV) ansible-playbook playbooks/down.yml $(ARGS)

.PHONY: build
build: venv  ## Build the collection's tarball from the files that git tracks
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	git ls-files -z | xargs -0 cp --parents --no-dereference --target-directory="$$folder"; \
	$(IN_VENV) ansible-galaxy collection build --force "$$folder"

.PHONY: test-tools
test-tools:
	@tools/test-tools first
	@install -d -m 755 $(TEST_CACHE)
	@tools/test-tools & packages=$$!; tools/venv $(TEST_VENV) $(TEST_REQUIREMENTS); wait $$packages

.PHONY: lint
lint: test-tools  ## Check style and types
	@$(IN_TEST_VENV) tools/lint

.PHONY: test
test: lint  ## Run everything that guards the project; ends with pytest's summary
	@$(IN_TEST_VENV) python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder --durations 10 $(TESTS) $(ARGS)

.PHONY: fuzz
fuzz: test-tools  ## Send 12,000 malformed records and as many requests to services that run
	@$(IN_TEST_VENV) FUZZ=12000 python -m pytest --durations 5 tests/integration/inside/test_services.py -k malformed $(ARGS)

.PHONY: test-cluster
test-cluster:  ## Make bare hosts a cluster and break it, in containers; needs root and podman
	@tools/test-tools cluster
	@install -d -m 755 $(TEST_CACHE)
	@tools/venv $(TEST_VENV) $(TEST_REQUIREMENTS)
	@$(IN_TEST_VENV) TEST_CACHE=$(TEST_CACHE) python -m pytest --durations 10 tests/cluster $(ARGS)

.PHONY: faults
faults:  ## Break a cluster in every way, and write docs/faults.md; needs root and podman
	@tools/test-tools cluster
	@install -d -m 755 $(TEST_CACHE)
	@tools/venv $(TEST_VENV) $(TEST_REQUIREMENTS)
	@$(IN_TEST_VENV) TEST_CACHE=$(TEST_CACHE) python -m pytest tests/cluster/faults.py $(ARGS)

.PHONY: bench
bench: test-tools  ## Measure, and write benchmarks/RESULTS.md
	@$(IN_TEST_VENV) benchmarks/run $(ARGS)

.PHONY: bench-detection
bench-detection: test-tools  ## Measure detection, the archiver and the search
	@$(IN_TEST_VENV) benchmarks/detection $(ARGS)

.PHONY: bench-cluster
bench-cluster:  ## Measure what making a cluster takes, after make test-cluster; needs root and podman
	@$(IN_TEST_VENV) benchmarks/cluster --bundle $(TEST_CACHE)/data/cctv-pipeline/bundle $(ARGS)

.PHONY: bench-kubernetes
bench-kubernetes:  ## Measure the pipeline on such a cluster beside one machine; needs root and podman
	@$(IN_TEST_VENV) benchmarks/kubernetes --bundle $(TEST_CACHE)/data/cctv-pipeline/bundle $(ARGS)

.PHONY: bench-messages
bench-messages: test-tools  ## Measure what a frame costs through Kafka, beside the seed's message
	@$(IN_TEST_VENV) benchmarks/messages $(ARGS)

.PHONY: bench-serving
bench-serving: test-tools  ## Measure the model server's calls, and OpenVINO beside TensorFlow
	@$(IN_TEST_VENV) benchmarks/serving $(ARGS)

.PHONY: bench-viewers
bench-viewers: test-tools  ## Measure what viewers cost, beside Debian's motion, which has to be there
	@$(IN_TEST_VENV) benchmarks/viewers $(ARGS)

.PHONY: bench-cameras
bench-cameras: test-tools  ## Measure 50 cameras at a picture a second
	@$(IN_TEST_VENV) benchmarks/cameras $(ARGS)

.PHONY: docs
docs: test-tools  ## Write the roles' READMEs from their argument specs
	@$(IN_TEST_VENV) python tools/role_readmes.py

.PHONY: lock
lock:  ## Resolve the requirements anew; ARGS=--upgrade takes newer releases
	@tools/lock $(ARGS)

.PHONY: lock-maven
lock-maven: test-tools  ## Resolve services' jars anew, or those of ARGS=SERVICE; needs Maven
	@$(IN_TEST_VENV) python tools/lock_maven.py $(ARGS)

.PHONY: clean
clean:  ## Remove what make made in this folder
	@rm -rf $(VENV) .ansible .mypy_cache .pytest_cache .ruff_cache tests/output cctv-pipeline-*.tar.gz

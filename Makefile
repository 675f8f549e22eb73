# make demo                          the whole pipeline on the embedded sample
# make demo SOURCE=pmc LIMIT=50      the same on real articles of PMC's bucket
# make test                          lint, types and the whole test suite; make test PYTEST="-x -k dedupe" a part of it

PYTHON ?= python3
SOURCE ?= sample
LIMIT ?=
ENDPOINT ?=
STORE ?= demo/$(SOURCE)
PYTEST ?=

BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: demo test test-units test-cluster lint venv lock clean

venv: $(INSTALLED)

# uv where it is installed, as it takes a fraction of the time; not `uv pip sync`, which on a machine without CUDA would
# install its packages too.
$(INSTALLED): pyproject.toml constraints.txt
	@echo "Installing into .venv: 7.4 GB, most of it torch and CUDA; 2 to 15 minutes. README.md: torch for CPUs alone."
	$(PYTHON) -m venv .venv
ifneq ($(shell command -v uv),)
	uv pip install --python $(BIN)/python -c constraints.txt -e '.[dev]'
else
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install $(if $(CI),--quiet) -c constraints.txt -e '.[dev]'
endif
	touch $@

demo: $(INSTALLED)
	$(BIN)/biomedica pipeline --config jobs/demo.yaml --store $(STORE) --extract.source $(SOURCE) \
		$(if $(LIMIT),--extract.limit $(LIMIT)) $(if $(ENDPOINT),--extract.source_endpoint_url $(ENDPOINT)) \
		$(if $(filter sample,$(SOURCE)),--label.labels biomedica_ray/sample/labels.yaml)

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint test-units test-cluster

# Tests without a cluster, on all cores.
test-units: $(INSTALLED)
	$(BIN)/pytest -m "not cluster" -n auto --dist loadfile $(PYTEST)

# Tests on a Ray of each process's own: two at a time, as they wait for processes to start, and more would not fit into
# the memory of a small machine.
test-cluster: $(INSTALLED)
	$(BIN)/pytest -m cluster -n 2 --dist loadfile $(PYTEST)

# Write the exact versions of what is installed now.
lock: $(INSTALLED)
	$(BIN)/pip freeze --exclude-editable | grep -v '^pip==' > constraints.txt

clean:
	rm -rf .venv demo

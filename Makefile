# make demo                          the whole pipeline on the embedded sample
# make demo SOURCE=pmc LIMIT=50      the same on real articles of PMC's bucket
# make test                          lint, types and the whole test suite

PYTHON ?= python3
SOURCE ?= sample
LIMIT ?=
ENDPOINT ?=
STORE ?= demo/$(SOURCE)

BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: demo test lint venv lock clean

venv: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/biomedica pipeline --config jobs/demo.yaml --store $(STORE) --extract.source $(SOURCE) \
		$(if $(LIMIT),--extract.limit $(LIMIT)) $(if $(ENDPOINT),--extract.source_endpoint_url $(ENDPOINT)) \
		$(if $(filter sample,$(SOURCE)),--label.labels biomedica_ray/sample/labels.yaml)

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest

# Write the exact versions of what is installed now.
lock: $(INSTALLED)
	$(BIN)/pip freeze --exclude-editable | grep -v '^pip==' > constraints.txt

clean:
	rm -rf .venv demo

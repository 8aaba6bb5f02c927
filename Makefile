# Everything a person or a machine does with this repository; needs python3 (>= 3.11), pip and make.
PYTHON ?= python3
VENV := .venv
DEMO ?= srpipe-demo

.PHONY: install test lint types demo bench-quality clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

test: install
	$(VENV)/bin/pytest

lint: install
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

types: install
	$(VENV)/bin/mypy

demo: install
	$(VENV)/bin/srpipe demo --output $(DEMO)

# DATA: folder with set5/ and set14/ (HR images, LR_bicubic/X2..X4). About 20 minutes on 2 cores; writes docs/results.md.
bench-quality: install
	@test -n "$(DATA)" || { echo "usage: make bench-quality DATA=FOLDER" >&2; exit 2; }
	$(VENV)/bin/python -m benchmarks.quality $(DATA)

clean:
	rm -rf $(VENV) bench-out srpipe-demo

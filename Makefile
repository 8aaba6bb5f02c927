# Everything a person or a machine does with this repository; needs python3 (>= 3.11), pip and make.
PYTHON ?= python3
VENV := .venv
DEMO ?= srpipe-demo

.PHONY: install test test-browser test-faults test-ceph lint types docs reference notebook demo with-data bench-quality bench-steps bench-collection bench-pipeline bench-rows bench-nodes prior bench-no-harm bench-fidelity bench-memory bench-kernels bench-blind bench-x4-seconds bench-peers bench-fits bench-trust cameras-picture real-picture bench-same bench-gpu cases clean fuzz bench-bodies bench-methods bench-plan bench-model

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

# WORKERS processes, a file of tests on one of them, so that what its tests share is made once.
WORKERS ?= 2
test: install
	$(VENV)/bin/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# Real processes, Ray and S3, and real faults; about 10 minutes.
test-faults: install
	$(VENV)/bin/pytest -m faults tests/test_faults.py

# A report in Chromium, which must be there (Debian: apt-get install chromium; or name one in CHROMIUM), and npm for
# axe-core, which looks for what shuts people out.
AXE := bench-out/browser/node_modules/axe-core/axe.min.js
test-browser: $(VENV)/.browser $(AXE)
	AXE=$(AXE) $(VENV)/bin/pytest -m browser tests/test_report_browser.py

$(VENV)/.browser: $(VENV)/.installed
	$(VENV)/bin/pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[test,browser]'
	touch $@

$(AXE):
	npm install --silent --no-save --prefix bench-out/browser axe-core@4.14.1

# The S3 tests against a Ceph gateway; tests/ceph.sh says which Debian packages it needs.
test-ceph: install
	tests/ceph.sh $(VENV)/bin/pytest tests/test_s3.py

lint: install
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

types: install
	$(VENV)/bin/mypy

demo: install
	$(VENV)/bin/srpipe demo --output $(DEMO)

# docs/reference.md from the code; a test fails while it is another.
reference: install
	$(VENV)/bin/python docs/make_reference.py

# The documentation as a site, in bench-out/site; fails at a warning, at a link that leads nowhere, and at a recipe that
# does not run.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet
	$(VENV)/bin/pytest --quiet tests/test_python_docs.py

# What the notebook's cells show, written into it; a test fails while they show something else.
notebook: install
	$(VENV)/bin/python docs/run_notebook.py

$(VENV)/.docs: $(VENV)/.installed
	$(VENV)/bin/pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[test,docs]'
	touch $@

# The benchmarks write docs/results.md. DATA: folder with set5/ and set14/ (HR images, LR_bicubic/X2..X4 each), kodak/,
# satellite/, satellite_train/ and archive/; each target says what of it it reads and its minutes on 2 idle cores.
with-data:
	@test -n "$(DATA)" || { echo "usage: make $(MAKECMDGOALS) DATA=FOLDER" >&2; exit 2; }

# set5/, set14/; about 20 minutes.
bench-quality: with-data install
	$(VENV)/bin/python -m benchmarks.quality $(DATA)

# set5/, set14/; about 15 minutes. Draws docs/steps.png.
bench-steps: with-data $(VENV)/.bench
	$(VENV)/bin/python -m benchmarks.steps $(DATA)

# satellite/, satellite_train/; about 12 minutes.
bench-collection: with-data install
	$(VENV)/bin/python -m benchmarks.collection $(DATA)

# kodak/, set5/; about 10 minutes.
bench-pipeline: with-data install
	$(VENV)/bin/python -m benchmarks.pipeline $(DATA)

# Needs no data; ROWS rows whose work is stubbed; about 20 minutes for 100,000.
ROWS ?= 100000
bench-rows: install
	$(VENV)/bin/python -m benchmarks.many_rows $(ROWS)

# set5/, set14/, satellite/; about a quarter of an hour. Fails below 95 % right, or where a case loses more than 0.3 dB.
# OPTIONS="--pictures 2 --kinds text 'told disc'" takes a look at so many of these kinds, and writes nothing.
bench-no-harm: with-data install
	$(VENV)/bin/python -m benchmarks.no_harm $(DATA) $(OPTIONS)

# odd/, satellite/, satellite_pairs/, archive/, large/; about 50 minutes. Writes docs/fidelity.md; fails where an
# expectation is missed.
bench-fidelity: with-data install
	$(VENV)/bin/python -m benchmarks.fidelity $(DATA)

# Needs no data, and Linux; about 25 minutes. Writes docs/fidelity.md, draws docs/memory.png; fails above 2 GiB.
bench-memory: $(VENV)/.bench
	$(VENV)/bin/python -m benchmarks.memory

# Needs no data; about 5 minutes. Draws docs/timeline.png.
bench-nodes: $(VENV)/.bench
	$(VENV)/bin/python -m benchmarks.three_nodes

# set5/, set14/: the tiles of this revision and of BEFORE, byte by byte; about 10 minutes.
bench-same: with-data install
	$(VENV)/bin/python -m benchmarks.same_pixels $(DATA) $(BEFORE)

# set5/, set14/, kernels/; about an hour. PSNR alone: no time is taken. OPTIONS="--parts direct wrong" does those alone.
# Fails where a bar is missed.
bench-kernels: with-data install
	$(VENV)/bin/python -m benchmarks.kernels $(DATA) $(OPTIONS)

# set5/, set14/, kodak/, satellite/; satellite_pairs/, aerial_drone/ and photos_cc0/ for real pairs; about an hour.
# OPTIONS="--parts clean set14-x2" does those alone. Fails where a bar is missed.
bench-blind: with-data install
	$(VENV)/bin/python -m benchmarks.blind $(DATA) $(OPTIONS)

# kodak/; about 5 minutes, alone on the machine. Fails above a quarter of the seconds of revision ac389d8.
bench-x4-seconds: with-data install
	$(VENV)/bin/python -m benchmarks.kernels_seconds $(DATA)

# set5/, set14/; about an hour, alone on the machine. DAT-light and Pillow beside every preset, each in one thread; the former
# two in an environment of their own. Draws docs/peers.png; fails where no preset reaches the aim.
# OPTIONS="--parts set5-x4" does that alone.
PEERS := bench-out/peers/.venv
bench-peers: with-data $(VENV)/.bench $(PEERS)/.installed
	$(VENV)/bin/python -m benchmarks.peers $(PEERS)/bin/python $(DATA) $(OPTIONS); code=$$?; \
	$(VENV)/bin/python -m benchmarks.peers_plot && exit $$code

$(PEERS)/.installed: benchmarks/peers-requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --disable-pip-version-check --quiet --requirement $<
	touch $@

# set5/; about 4 minutes. DAT-light as ONNX through --method model, and by its own wheel; fails where they differ by 0.05 dB.
bench-model: with-data install $(PEERS)/.installed
	$(VENV)/bin/python -m benchmarks.model $(PEERS)/bin/python $(DATA)

# set14/, satellite/, satellite_train/, archive/; about 20 minutes. What of the prior's network is best fitted, by dB and CPU
# seconds. OPTIONS="--parts x4" does that alone.
bench-fits: with-data install
	$(VENV)/bin/python -m benchmarks.fits $(DATA) $(OPTIONS)

# set14/, satellite/; about 8 minutes. Draws docs/trust.png. Fails where disagreement and true error have a rank correlation
# below 0.6.
bench-trust: with-data $(VENV)/.bench
	$(VENV)/bin/python -m benchmarks.trust $(DATA)

# kodak/, photos_cc0/, aerial_drone/, set5/, set14/; about half an hour, of one thread. Eight bodies of the direct network,
# trained alike. OPTIONS="--steps 4000" trains them longer; stopped, the same command goes on.
bench-bodies: with-data install
	$(VENV)/bin/python -m benchmarks.bodies $(DATA) $(OPTIONS)

# set5/, set14/; hours, most of them for networks that are fitted to each image. Writes docs/methods.md, draws
# bench-out/methods.png. OPTIONS="--methods lanczos ibp --parts set5-x2" does those alone. Fails where a bar is missed.
bench-methods: with-data install
	$(VENV)/bin/python -m benchmarks.methods $(DATA) $(OPTIONS)

# satellite/, odd/archive/, set14/; a minute. Draws docs/cameras.png.
cameras-picture: with-data install
	$(VENV)/bin/python -m benchmarks.cameras_picture $(DATA)

# archive/, aerial_drone/, satellite/; about 5 minutes. Draws docs/real.png.
real-picture: with-data install
	$(VENV)/bin/python -m benchmarks.real_picture $(DATA)

# kodak/, large/; about 15 minutes, alone on the machine. What a plan foretells, and what the run takes; fails where one is
# more than 25 % off. OPTIONS=--small takes few images and leaves docs/results.md as it is.
bench-plan: with-data install
	$(VENV)/bin/python -m benchmarks.plan_against_reality $(DATA) $(OPTIONS)

# Needs a GPU, and no data.
bench-gpu: install
	$(VENV)/bin/python -m benchmarks.gpu

# INPUTS spoiled files through whole runs; about 5 minutes for 10,000. DATA may name a folder of real pictures to be
# spoiled, too. Fails if anything is wrong; what is wrong is kept in bench-out/fuzz/kept/.
INPUTS ?= 10000
SEED ?= 0
fuzz: install
	$(VENV)/bin/python -m benchmarks.fuzz --inputs $(INPUTS) --seed $(SEED) $(if $(DATA),--data $(DATA))

# What people really have, through real runs: CASES is a folder with make.py; files of others lie in ../data/cases beside it.
# About four minutes; fails if any case is wrong.
cases: install
	@test -n "$(CASES)" || { echo "usage: make cases CASES=FOLDER" >&2; exit 2; }
	$(VENV)/bin/python -m benchmarks.cases $(CASES)

# Trains the prior that srpipe ships anew; kodak/, photos_cc0/, aerial_drone/, satellite_train/, archive/; about an hour.
# OPTIONS="--steps 20000" and the like for longer; stopped, the same command goes on.
prior: with-data install
	$(VENV)/bin/python -m benchmarks.shipped_prior $(DATA) $(OPTIONS)

$(VENV)/.bench: $(VENV)/.installed
	$(VENV)/bin/pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[test,bench]'
	touch $@

clean:
	rm -rf $(VENV) bench-out srpipe-demo

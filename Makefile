# make demo    try rekall on sample notes, inside this folder
# make test    everything a change must pass, in under ten minutes
# make torture the races and floods of the warm process, as often as it takes to find what fails rarely (an hour)
# make fuzz    a million broken inputs for everything that takes any: make fuzz [INPUTS=1000000]
# make soak    many writers and readers on one base, for long: make soak [MINUTES=10]
# make eval    score search on judged sets: make eval DATA=folder
# make bench   all of the next four: make bench NOTES=folder of Markdown
# make bench-kernel  time the kernel beside its peers
# make bench-latency NOTES=folder  time whole processes, warm and cold, and what they hold in memory
# make bench-keys  time the picker's keys beside fzf: make bench-keys NOTES=folder of Markdown
# make bench-shell  time the key of each shell: make bench-shell NOTES=folder of Markdown
# make shots   take the pictures of the documentation again
# make model   build the embedded model again and compare it with the committed one
# make dist    the source distribution and the wheels for Linux, into dist/
# make targets compile the client and the kernel for systems that are not here
# make clean   remove what these targets made

PYTHON ?= python3
# Tests at a time: they wait more than they work.
JOBS ?= 4
VENV := .venv
DEMO := .demo
BIN := $(VENV)/bin

.PHONY: demo test torture fuzz soak eval bench bench-kernel bench-latency bench-keys bench-shell shots model dist targets messages clean

demo: $(DEMO)/venv/installed
	@sh demo/run.sh $(DEMO)

$(DEMO)/venv/installed: pyproject.toml setup.py $(wildcard ext/*.c ext/*.h ext/*.py ext/*.pyx shell/*.*) $(wildcard rekall/*.py rekall/commands/*.py)
	$(PYTHON) -m venv $(DEMO)/venv
	$(DEMO)/venv/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps .
	$(DEMO)/venv/bin/python -m pip install --quiet --disable-pip-version-check .
	@touch $@

test: $(VENV)/installed
	$(BIN)/ruff check rekall/ tests ext setup.py
	$(BIN)/ruff format --check rekall/ tests ext setup.py
	$(BIN)/mypy --strict
	$(BIN)/python -m pytest tests/ -v -n $(JOBS) --dist worksteal

# ROUNDS=ci is a part of it.
torture: $(VENV)/installed
	REKALL_ROUNDS=$(or $(ROUNDS),full) $(BIN)/python -m pytest tests -m torture -v --timeout 7200

# atheris finds more; where it cannot be installed, inputs are random changes of good ones.
fuzz: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris || echo "no atheris here: plain mutations"
	$(BIN)/python tests/fuzz/run.py --inputs $(or $(INPUTS),1000000)
	PYTHON=$(BIN)/python sh tests/c/fuzz.sh $(or $(INPUTS),1000000)

soak: $(VENV)/installed
	$(if $(PLOT),$(BIN)/python -m pip install --quiet --disable-pip-version-check matplotlib)
	$(BIN)/python tests/soak.py --minutes $(or $(MINUTES),10) $(if $(PLOT),--plot $(PLOT))

# What the client knows of the command line is made of usage.py, options.py and the catalogue when it is built.
$(VENV)/installed: pyproject.toml setup.py rekall/__init__.py rekall/usage.py rekall/options.py rekall/locale/fr/LC_MESSAGES/rekall.mo $(wildcard ext/*.c ext/*.h ext/*.py ext/*.pyx shell/*.*)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,sqlite-vec]'
	@touch $@

eval: $(VENV)/installed
	@test -n "$(DATA)" || { echo "make eval needs DATA=folder: a folder of judged sets, see tests/eval/run.py"; exit 2; }
	$(BIN)/python tests/eval/run.py $(DATA) --command $(BIN)/rekall-py $(EVAL)

bench:
	@test -n "$(NOTES)" || { echo "make bench needs NOTES=folder: a folder of Markdown notes"; exit 2; }
	$(MAKE) -j1 bench-kernel bench-latency bench-keys bench-shell

bench-kernel: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python tests/bench/kernel.py $(if $(MILLION),--million) $(if $(NOTES),--notes $(NOTES)) --plot docs/kernel.svg --json build/bench-kernel.json

bench-latency: $(VENV)/installed
	@test -n "$(NOTES)" || { echo "make bench-latency needs NOTES=folder: a folder of Markdown notes"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check matplotlib
	$(BIN)/python tests/bench/latency.py --notes $(NOTES) $(if $(ST),--st $(ST)) --plot docs/latency.svg --json build/bench-latency.json

bench-keys: $(VENV)/installed
	@test -n "$(NOTES)" || { echo "make bench-keys needs NOTES=folder: a folder of Markdown notes"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python tests/bench/keys.py --notes $(NOTES) --plot docs/keys.svg --json build/bench-keys.json

bench-shell: $(VENV)/installed
	@test -n "$(NOTES)" || { echo "make bench-shell needs NOTES=folder: a folder of Markdown notes"; exit 2; }
	$(BIN)/python tests/bench/shell.py --notes $(NOTES) --json build/bench-shell.json

shots: $(VENV)/installed
	$(BIN)/python tests/shots.py --keys 'disk full' docs/picker.svg

model:
	$(PYTHON) -m venv .venv-minilm
	.venv-minilm/bin/python -m pip install --quiet --disable-pip-version-check -r ext/minilm/requirements.txt
	.venv-minilm/bin/python ext/minilm/make.py --check

dist:
	$(PYTHON) -m venv .venv-dist
	.venv-dist/bin/python -m pip install --quiet --disable-pip-version-check -r packaging/requirements.txt
	.venv-dist/bin/python packaging/dist.py $(ARCH)

targets:
	$(PYTHON) -m venv .venv-dist
	.venv-dist/bin/python -m pip install --quiet --disable-pip-version-check -r packaging/requirements.txt
	PYTHON=.venv-dist/bin/python sh tests/c/targets.sh

# The catalogues: English is in the code, French in rekall/locale/fr.
messages: $(VENV)/installed
	$(BIN)/pybabel -q extract -k _n -k plural:1,2 --no-wrap --no-location --sort-output --omit-header -o rekall/locale/rekall.pot rekall
	for po in rekall/locale/*/LC_MESSAGES/rekall.po; do \
	  head=$$(sed '/^$$/q' $$po) && language=$${po#rekall/locale/} && \
	  $(BIN)/pybabel -q update --no-wrap --no-fuzzy-matching --ignore-obsolete --omit-header -D rekall -l $${language%%/*} -i rekall/locale/rekall.pot -o $$po && \
	  body=$$(cat $$po) && printf '%s\n\n%s\n' "$$head" "$$body" > $$po || exit 1; \
	done
	$(BIN)/pybabel -q compile -D rekall -d rekall/locale

clean:
	rm -rf $(VENV) .venv-minilm .venv-dist $(DEMO) build dist *.egg-info

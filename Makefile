# Every target is one line over `python -m goldfold VERB ...`; the environment is made when it is first needed.
PYTHON ?= python3
PY := .venv/bin/python
GOLDFOLD := $(PY) -m goldfold
RUN ?= latest
CONFIG ?= baseline

.PHONY: help demo test test-slow lint prepare train score grade epochs pick compare new list
.DEFAULT_GOAL := help

help:                 ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */make \1\t/' | expand -t 18

demo: .venv/ready     ## fresh machine: set-up, real data, 5 folds, a checked submission and its hidden-label score
	$(GOLDFOLD) demo

test: .venv/ready     ## the tests, without network
	$(PY) -m pytest $(TESTS)

test-slow: .venv/ready ## what takes minutes: longer interruption and distribution matrices
	$(PY) -m pytest -m slow $(TESTS)

lint: .venv/ready     ## ruff
	$(PY) -m ruff check . && $(PY) -m ruff format --check .

prepare: .venv/ready  ## COMP=digits: make its data folder ready
	$(GOLDFOLD) prepare --comp "$(COMP)"

train: .venv/ready    ## COMP=digits [CONFIG=baseline] [DEBUG=1] [SET="epochs=3 seeds=[0,1]"]: folds, scores, submission
	$(GOLDFOLD) train --comp "$(COMP)" --config "$(CONFIG)" $(if $(DEBUG),--debug) $(if $(QUIET),--quiet) $(SET)

score: .venv/ready    ## [RUN=latest]: local CV with folds, mean, sd, interval and chance level
	$(GOLDFOLD) score --run "$(RUN)"

grade: .venv/ready    ## [RUN=latest]: the submission against the hidden labels, beside its CV
	$(GOLDFOLD) grade --run "$(RUN)"

epochs: .venv/ready   ## [RUN=latest] [FOLD=0] [IMAGES="id1 id2"]: what every kept epoch made of images, and which to choose
	$(GOLDFOLD) epochs --run "$(RUN)" $(if $(FOLD),--fold $(FOLD)) $(if $(IMAGES),--images $(IMAGES)) $(if $(QUIET),--quiet)

pick: .venv/ready     ## [RUN=latest] EPOCH=15: that epoch predicts, in a run of its own; nothing is trained again
	$(GOLDFOLD) pick --run "$(RUN)" --epoch "$(EPOCH)" $(if $(QUIET),--quiet)

compare: .venv/ready  ## RUNS="a b" [ACCEPT=unequal_budget]: differences to the first, paired over folds
	$(GOLDFOLD) compare $(RUNS) $(if $(ACCEPT),--accept $(ACCEPT))

new: .venv/ready      ## COMP=my_first: a competition folder that already passes its contract tests
	$(GOLDFOLD) new --comp "$(COMP)"

list: .venv/ready     ## competitions, their configs and runs
	@$(GOLDFOLD) list

.venv/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "goldfold needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...")'
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(PY) -c 'import torch, torchvision; torchvision.ops.nms(torch.rand(2, 4), torch.rand(2), 0.5)'
	@touch $@

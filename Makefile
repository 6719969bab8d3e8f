# Every target is one line over `python -m goldfold VERB ...`; the environment is made when it is first needed.
PYTHON ?= python3
PY := .venv/bin/python
GOLDFOLD := $(PY) -m goldfold
RUN ?= latest
JOBS ?= 2
CONFIG ?= baseline
export MESSAGE
FANNED = $(if $(EXECUTOR),--executor "$(EXECUTOR)") $(if $(WORKERS),--workers $(WORKERS)) $(if $(THREADS),--threads $(THREADS)) $(if $(GPUS),--gpus $(GPUS))
ACCEPTED = $(addprefix --accept ,$(ACCEPT))
RAY = $(if $(filter ray%,$(EXECUTOR)),.venv/ray)

.PHONY: help demo test test-slow lint docs prepare train score grade epochs pick compare query new list
.PHONY: tune dashboard blend gains test-ray submit download notebook ledger rank host host-add host-user test-clients
.DEFAULT_GOAL := help

help:                 ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */make \1\t/' | expand -t 18

demo: .venv/ready     ## [KEEP=1]: fresh machine: set-up, real data, 5 folds, submissions and their place on a leaderboard
	$(GOLDFOLD) demo $(if $(KEEP),--keep)

test: .venv/ready     ## [JOBS=2]: the tests, without network, a file at a time on each core
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadfile $(TESTS)

test-slow: .venv/ready ## what takes minutes: longer interruption and distribution matrices
	$(PY) -m pytest -m slow $(TESTS)

test-clients: .venv/ready ## kaggle 1.8.4, 2.0.0 and 2.2.4 against the local leaderboard; installs them once
	$(PY) -m pytest -m slow tests/kaggle/test_clients.py

test-ray: .venv/ready .venv/ray ## fits and studies on a Ray cluster of this machine; installs Ray once
	OMP_NUM_THREADS=1 $(PY) -m pytest -m "slow or not slow" tests/experiment/test_executors.py

lint: .venv/ready     ## ruff, format, types against their baseline, imports between rooms
	$(PY) -m ruff check . && $(PY) -m ruff format --check .
	.venv/bin/lint-imports --no-logo
	$(PY) -m mypy | $(PY) -m mypy_baseline filter

docs: .venv/docs      ## the documentation as a website in site/; SERVE=1 shows it at http://127.0.0.1:8000
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs $(if $(SERVE),serve,build --strict)

prepare: .venv/ready  ## COMP=digits: make its data folder ready
	$(GOLDFOLD) prepare --comp "$(COMP)"

train: .venv/ready $(RAY) ## COMP=digits [CONFIG=baseline] [DEBUG=1] [SET="epochs=3 seeds=[0,1]"] [WORKERS=2] [EXECUTOR=ray] [ACCEPT=code_changed]: folds, scores, submission
	$(GOLDFOLD) train --comp "$(COMP)" $(ACCEPTED) --config "$(CONFIG)" $(if $(DEBUG),--debug) $(FANNED) $(if $(QUIET),--quiet) $(SET)

score: .venv/ready    ## [RUN=latest]: local CV with folds, mean, sd, interval and chance level
	$(GOLDFOLD) score --run "$(RUN)"

grade: .venv/ready    ## [RUN=latest]: the submission against the hidden labels, beside its CV
	$(GOLDFOLD) grade --run "$(RUN)"

epochs: .venv/ready   ## [RUN=latest] [FOLD=0] [IMAGES="id1 id2"] [ACCEPT=code_changed]: what every kept epoch made of images, and which to choose
	$(GOLDFOLD) epochs --run "$(RUN)" $(ACCEPTED) $(if $(FOLD),--fold $(FOLD)) $(if $(IMAGES),--images $(IMAGES)) $(if $(QUIET),--quiet)

pick: .venv/ready     ## [RUN=latest] EPOCH=15 [ACCEPT=code_changed]: that epoch predicts, in a run of its own; nothing is trained again
	$(GOLDFOLD) pick --run "$(RUN)" $(ACCEPTED) --epoch "$(EPOCH)" $(if $(QUIET),--quiet)

compare: .venv/ready  ## RUNS="a b" [ACCEPT="unequal_budget no_zero_shot_row"]: differences to the first, paired over folds
	$(GOLDFOLD) compare $(RUNS) $(if $(ACCEPT),--accept $(ACCEPT))

query: .venv/ready    ## [RUN=latest] IMAGE=any.jpg [IDS="id1 id2"] [TOP=10] [ACCEPT=code_changed]: what its embeddings find for an image or for rows
	@$(GOLDFOLD) query --run "$(RUN)" $(ACCEPTED) $(if $(IMAGE),--image "$(IMAGE)") $(if $(IDS),--ids $(IDS)) $(if $(TOP),--top "$(TOP)") $(if $(QUIET),--quiet)

tune: .venv/ready $(RAY) ## COMP=digits [CONFIG=baseline] [TRIALS=50] [HOURS=] [WORKERS=2] [STUDY=] [STORAGE=postgresql://...]: search, prune, resume
	@$(GOLDFOLD) tune --comp "$(COMP)" --config "$(CONFIG)" $(if $(TRIALS),--trials $(TRIALS)) $(if $(HOURS),--hours $(HOURS)) $(if $(STUDY),--study "$(STUDY)") $(if $(STORAGE),--storage "$(STORAGE)") $(if $(REDRAWS),--redraws $(REDRAWS)) $(FANNED) $(if $(QUIET),--quiet) $(SET)

dashboard: .venv/ready ## COMP=digits [STUDY=baseline] [STORAGE=]: a study in the browser
	@$(GOLDFOLD) dashboard --comp "$(COMP)" $(if $(STUDY),--study "$(STUDY)") $(if $(STORAGE),--storage "$(STORAGE)") $(if $(PORT),--port $(PORT))

blend: .venv/ready    ## RUNS="a b c" [METHOD=]: an ensemble chosen and scored out of fold, with its submission
	$(GOLDFOLD) blend $(RUNS) $(if $(METHOD),--method "$(METHOD)")

gains: .venv/ready    ## [RUN=latest] [VIEWS="none flips"] [ACCEPT=code_changed]: what more views, seeds and folds gain, and what they cost
	$(GOLDFOLD) gains --run "$(RUN)" $(ACCEPTED) $(if $(VIEWS),--views $(VIEWS))

new: .venv/ready      ## COMP=my_first: a competition folder that already passes its contract tests
	$(GOLDFOLD) new --comp "$(COMP)"

submit: .venv/ready   ## [RUN=latest] [TO=local] [MESSAGE="..."] [AGAIN=1] [LATE=1]: check, upload, wait for the score, note it
	@$(GOLDFOLD) submit --run "$(RUN)" $(if $(TO),--to "$(TO)") $(if $(MESSAGE),--message "$$MESSAGE") $(if $(AGAIN),--again) $(if $(LATE),--late) $(if $(WAIT),--wait $(WAIT)) $(if $(JSON),--json)

download: .venv/ready ## COMP=nuclei: its data through the kaggle client, unpacked and prepared
	$(GOLDFOLD) download --comp "$(COMP)"

notebook: .venv/ready ## [RUN=latest] [ACCEPT=code_changed]: the run as a notebook that predicts on Kaggle, without internet
	$(GOLDFOLD) notebook --run "$(RUN)" $(ACCEPTED)

ledger: .venv/ready   ## [COMP=digits]: what was submitted, CV beside public and private scores, which two to select
	$(GOLDFOLD) ledger $(if $(COMP),--comp "$(COMP)")

rank: .venv/ready     ## [RUN=latest] BOARD=leaderboard.csv: the rank and medal its score would have had
	$(GOLDFOLD) rank --run "$(RUN)" $(if $(BOARD),--board "$(BOARD)") $(if $(SCORE),--score "$(SCORE)")

host: .venv/ready     ## [PORT=8321] [BIND=127.0.0.1]: the local leaderboard, for the kaggle client and for browsers
	$(GOLDFOLD) host $(if $(PORT),--port $(PORT)) $(if $(BIND),--bind "$(BIND)")

host-add: .venv/ready ## COMP=digits [DAILY=20] [DEADLINE=2026-12-31T23:59:00Z]: host a competition that keeps hidden labels
	$(GOLDFOLD) host-add --comp "$(COMP)" $(if $(DAILY),--daily $(DAILY)) $(if $(DEADLINE),--deadline "$(DEADLINE)")

host-user: .venv/ready ## NAME="team": a user of the local leaderboard, and the key to submit with
	$(GOLDFOLD) host-user --name "$(NAME)"

list: .venv/ready     ## competitions, their configs and runs
	@$(GOLDFOLD) list

.venv/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "goldfold needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...")'
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(PY) -c 'import torch, torchvision; torchvision.ops.nms(torch.rand(2, 4), torch.rand(2), 0.5)'
	@touch $@

.venv/docs: requirements-docs.txt .venv/ready
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@touch $@

.venv/ray: requirements-ray.txt .venv/ready
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-ray.txt
	@touch $@

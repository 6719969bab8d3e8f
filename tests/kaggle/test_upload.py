"""`make submit` from a trained run to the score in the ledger; and the small parts that need no board."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from planted_runs import edit
from served_board import served

from goldfold.errors import GoldfoldError
from goldfold.experiment.identity import manifest
from goldfold.io.files import read_json, write_json
from goldfold.kaggle import service
from goldfold.kaggle.client_calls import scrubbed
from goldfold.kaggle.ledger import Attempt
from goldfold.kaggle.service import Service
from goldfold.kaggle.submission_requests import SubmissionRequest, new_attempt, sha256_of, submission_message
from goldfold.kaggle.upload import EXIT_CODES, outcome

Goldfold = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def trained(toy: Path, goldfold: Goldfold) -> Path:
    goldfold("train", "--comp", "blobs", "--config", "estimator", "--quiet")
    return next((toy / "runs" / "blobs").glob("estimator-r1"))


def test_a_run_is_submitted_once_and_stands_in_the_ledger(trained, toy, goldfold):
    path = {"OMP_NUM_THREADS": "1"}
    submit = ("submit", "--run", "latest", "--to", "local")
    done = goldfold(*submit, "--json", expect=2, **path)
    assert json.loads(done.stdout)["reason"] == "there is no local leaderboard in board: start one with make host"
    goldfold("host-add", "--comp", "blobs")
    with served(toy):
        told = goldfold(*submit, "--message", '谢谢 "first"', **path).stdout
        assert "scored: public 0." in told
        assert f"auroc CV {read_json(trained / 'metrics.json')['auroc']['mean']:.4f}" in told
        refused = goldfold(*submit, "--json", expect=2, **path)
        line = json.loads(refused.stdout)
        assert (line["outcome"], "AGAIN=1" in line["reason"]) == ("refused", True)
        again = goldfold(*submit, "--again", "--json", **path)
        line = json.loads(again.stdout)
        assert (line["outcome"], line["run"], line["ref"] > 0) == ("scored", "estimator-r1", True)
        assert "sending" in again.stderr
        for file in (toy / "submissions").glob("ledger.*"):
            file.unlink()
        lost = json.loads(goldfold(*submit, "--json", expect=2, **path).stdout)
        assert ("which the ledger does not know" in lost["reason"], "AGAIN=1" in lost["reason"]) == (True, True)
        goldfold(*submit, "--again", "--json", **path)
    down = goldfold(*submit, "--again", "--json", expect=3, **path)
    assert (json.loads(down.stdout)["outcome"], "is the board up?" in down.stderr) == ("failed", True)
    table = goldfold("ledger").stdout
    assert len(re.findall(r"^  20.* scored\b", table, re.MULTILINE)) == 1
    assert "two to select by CV: estimator-r1; by public: estimator-r1; by both: estimator-r1" in table
    assert (toy / "submissions" / "ledger-blobs.png").exists()
    key = read_json(toy / "board" / "client.json")["key"]
    seen = [path for path in (toy / "submissions").rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
    assert seen == []


@pytest.mark.slow
def test_what_is_not_the_runs_valid_file_is_refused(trained, toy, goldfold):
    csv = toy / "submissions" / "blobs" / "estimator-r1.csv"
    whole = csv.read_bytes()
    csv.write_bytes(whole.replace(b"label", b"lable"))
    assert "or was changed since" in goldfold("submit", "--run", "latest", expect=2).stderr
    edit(csv.with_name(f"{csv.name}.json"), sha256=sha256_of(csv))
    assert "lacks column 'label'" in goldfold("submit", "--run", "latest", expect=2).stderr
    csv.with_name(f"{csv.name}.json").unlink()
    assert "nobody can tell" in goldfold("submit", "--run", "latest", expect=2).stderr
    manifest.write_value(trained, "findings.json", [{"code": "rule_broken"}])
    assert "an exploration has no submission" in goldfold("submit", "--run", "latest", expect=2).stderr


def test_the_message_names_run_and_cv_and_ends_with_the_tag(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a", encoding="utf-8")
    facts = {"competition": "c", "slug": "c", "path": path, "metric": "auroc", "higher_is_better": True, "cv": 0.93124}
    request = SubmissionRequest(run="autoencoder-r12", cv_sd=0.0081, cv_folds=5, note=" a\n b ", **facts)
    told = "a b autoencoder-r12 cv=0.9312±0.008 sd, 5 folds file=ca978112ca [gf-3f2a91c4]"  # SHA-256 of "a"
    assert submission_message(request, "gf-3f2a91c4") == told
    assert (
        submission_message(SubmissionRequest(run="r1", cv_sd=None, cv_folds=1, **facts), "gf-1")
        == "r1 cv=0.9312 file=ca978112ca [gf-1]"
    )
    assert len({new_attempt(request, "local").tag for _ in range(100)}) == 100


def test_every_end_has_a_code_of_its_own():
    facts = dict.fromkeys(("tag", "began", "changed", "competition", "slug", "service", "run", "sha256", "message"), "")
    states = {("scored", 1): "scored", ("failed", None): "failed", ("failed", 1): "error", ("received", 1): "pending"}
    states |= {("unknown", None): "unknown", ("sending", None): "unknown"}
    for (state, ref), word in states.items():
        assert outcome(Attempt(**facts, metric="m", higher_is_better=True, cv=0, state=state, ref=ref)) == word
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)


def test_the_local_client_knows_nothing_of_the_users_credentials(tmp_path, monkeypatch):
    with pytest.raises(GoldfoldError, match="start one with make host"):
        service.local(tmp_path)
    write_json(tmp_path / "client.json", {"url": "http://127.0.0.1:8321", "username": "me", "key": "board-key"})
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY", "NO_PROXY", "ALL_PROXY", "VERBOSE", "HOME", "KAGGLE_COMPETITION"):
        monkeypatch.setenv(name, "the user's own")
    found = service.local(tmp_path)
    assert "the user's own" not in found.environment.values()
    assert found.environment["KAGGLE_API_ENVIRONMENT"] == "LOCALHOST"
    assert "board-key" not in repr(found)
    theirs = service.kaggle().environment
    assert theirs["KAGGLE_API_TOKEN"] == "the user's own"
    assert "VERBOSE" not in theirs


def test_secrets_and_upload_addresses_are_taken_out_of_what_was_said():
    said = {
        "said": "key abcd1234 at https://host/up/load?upload_id=XYZ&b=1, is it 1 ? yes",
        "ref": 3,
        "list": ["abcd1234"],
    }
    assert scrubbed(said, ["abcd1234"]) == {
        "said": "key *** at https://host/up/load?... is it 1 ? yes",
        "ref": 3,
        "list": ["***"],
    }


def test_a_client_that_is_not_there_is_said_so(tmp_path):
    (tmp_path / "kaggle.py").write_text("import nothing_of_this_name", encoding="utf-8")
    bare = Service("local", {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "KAGGLE_KEY": "x"})
    with pytest.raises(GoldfoldError, match=r"the kaggle client cannot be imported .*nothing_of_this_name"):
        service.call(bare, "competition", slug="x")
    (tmp_path / "kaggle.py").write_text("import os; os._exit(3)", encoding="utf-8")
    with pytest.raises(service.Lost, match="the client ended without an answer"):
        service.call(bare, "competition", slug="x")

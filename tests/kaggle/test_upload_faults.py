"""What `submit` makes of everything that can go wrong between it and the service, with the real client and board."""

from __future__ import annotations

import json
import pickle
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest
import served_board
from faults import Fault, Proxy, answers, page, proxy, says

from goldfold.errors import GoldfoldError
from goldfold.kaggle import ledger, service
from goldfold.kaggle.ledger import Attempt
from goldfold.kaggle.service import Lost, Refused, Service
from goldfold.kaggle.submission_requests import Kernel, SubmissionRequest
from goldfold.kaggle.tracking import SubmissionContext, Timeouts
from goldfold.kaggle.upload import outcome, submit

HERE = Path(__file__).parents[1]
TIMEOUTS = Timeouts(call_s=20, upload_s=20, search_pauses_s=(0,), settle_s=3600, wait_s=30, poll_s=0.5)
HASTY = replace(TIMEOUTS, upload_s=3)
CREATE, START, LIST = "CreateSubmission", "StartSubmissionUpload", "ListSubmissions"


@dataclass(frozen=True)
class Bench:
    """A board with a faulty line to it, and a folder for files and ledgers."""

    line: Proxy
    direct: Service
    service: Service
    sample: Path
    folder: Path

    def context(self, timeouts: Timeouts = TIMEOUTS, lines: list[str] | None = None) -> SubmissionContext:
        return SubmissionContext(
            self.service, self.folder / "ledger.sqlite", timeouts, [].append if lines is None else lines.append
        )

    def submission_request(self, name: str = "baseline-r1", seed: int = 0, **other: object) -> SubmissionRequest:
        """A good file, unlike that of any other test or seed."""
        path = self.folder / f"{name}.csv"
        if not path.exists():
            frame, draw = pd.read_csv(self.sample), random.Random(f"{self.folder} {name} {seed}")
            frame.assign(label=[draw.random() for _ in range(len(frame))]).to_csv(path, index=False)
        facts = {"metric": "auroc", "higher_is_better": True, "cv": 0.93124, "cv_sd": 0.0081, "cv_folds": 5}
        return SubmissionRequest(
            **{"competition": "blobs", "slug": "blobs", "run": name, "path": path, **facts, **other}
        )

    def listed(self) -> list[dict]:
        return service.call(self.direct, "submissions", slug="blobs")["submissions"]

    def with_tag(self, attempt: Attempt) -> list[dict]:
        return [each for each in self.listed() if attempt.tag in each["description"]]

    def last(self) -> Attempt:
        return ledger.read_attempts(self.folder / "ledger.sqlite")[-1]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Proxy, Service]]:
    """A toy project whose board is up, the line to it, and the service as it is told without the line."""
    project = tmp_path_factory.mktemp("board") / "project"
    shutil.copytree(HERE / "toy", project, ignore=shutil.ignore_patterns("__pycache__"))
    add = [sys.executable, "-m", "goldfold", "host-add", "--comp", "blobs", "--daily", "100000"]
    subprocess.run(add, cwd=project, check=True, capture_output=True)
    with served_board.served(project) as board, proxy(board.address) as line:
        yield project, line, service.local(project / "board")


@pytest.fixture
def bench(served: tuple[Path, Proxy, Service], tmp_path: Path) -> Iterator[Bench]:
    project, line, direct = served
    line.reset()
    through = replace(direct, environment={**direct.environment, "http_proxy": line.url})
    yield Bench(line, direct, through, project / "data" / "blobs" / "public" / "sample_submission.csv", tmp_path)
    line.reset()


def ended(bench: Bench, timeouts: Timeouts = TIMEOUTS) -> str:
    """The outcome that the command tells of a submit."""
    try:
        return outcome(submit(bench.submission_request(), bench.context(timeouts)))
    except Lost as lost:
        return "unknown" if lost.sent else "failed"
    except GoldfoldError:
        return "refused"


def creations(bench: Bench) -> int:
    return bench.line.log.count(CREATE)


def test_a_good_file_is_scored_and_the_same_bytes_are_not_sent_again(bench):
    lines = []
    attempt = submit(bench.submission_request(), bench.context(lines=lines))
    (there,) = bench.with_tag(attempt)
    assert (outcome(attempt), attempt.ref) == ("scored", there["ref"])
    assert attempt.public == float(there["publicScore"])
    assert there["description"] == f"baseline-r1 cv=0.9312±0.008 sd, 5 folds file={attempt.sha256[:10]} [{attempt.tag}]"
    assert any(line.startswith("received as") for line in lines)
    assert bench.line.log[:6] == ["ListSubmissions", "GetCompetition", "GetSubmissionLimits", START, "PUT", CREATE]
    with pytest.raises(GoldfoldError, match=r"were sent at .* as baseline-r1, scored .* AGAIN=1"):
        submit(bench.submission_request(), bench.context())
    assert creations(bench) == 1
    again = submit(bench.submission_request(again=True), bench.context())
    assert (outcome(again), creations(bench)) == ("scored", 2)
    assert again.tag != attempt.tag


@pytest.mark.slow
def test_a_message_is_sent_as_it_is(bench):
    note = "wider net, \"quoted\" 'twice' 地毯 ☃ $HOME `x` \\n <script>"
    attempt = submit(bench.submission_request(note=note), bench.context())
    assert [each["description"] for each in bench.with_tag(attempt)] == [f"{note} {attempt.message[len(note) + 1 :]}"]
    with pytest.raises(GoldfoldError, match="MESSAGE has 400 characters, at most 300"):
        submit(bench.submission_request("other-r1", note="x" * 400), bench.context())
    assert creations(bench) == 1


def test_wrong_columns_are_received_and_end_as_an_error_with_the_boards_words(bench):
    request = bench.submission_request()
    request.path.write_text("number,label\n1,2\n", encoding="utf-8")
    attempt = submit(request, bench.context())
    (there,) = bench.with_tag(attempt)
    assert (outcome(attempt), attempt.said, attempt.ref) == ("error", there["errorDescription"], there["ref"])
    with pytest.raises(GoldfoldError, match="as 'error'"):
        submit(request, bench.context())


@pytest.mark.slow
def test_an_empty_file_ends_as_the_board_says(bench):
    request = bench.submission_request()
    request.path.write_bytes(b"")
    try:
        attempt = submit(request, bench.context())
    except Refused:
        attempt = bench.last()
    assert outcome(attempt) in ("error", "failed")
    assert [each["status"] for each in bench.with_tag(attempt)] in ([], ["ERROR"])


@pytest.mark.parametrize(
    "status", [403, pytest.param(500, marks=pytest.mark.slow), pytest.param(308, marks=pytest.mark.slow)]
)
def test_a_refused_upload_failed_and_can_be_sent_again(bench, status):
    bench.line.faults = [says("PUT", status, "no place")]
    attempt = submit(bench.submission_request(), bench.context())
    assert (outcome(attempt), creations(bench)) == ("failed", 0)
    assert attempt.said.startswith("upload failed: Could not submit to competition")
    assert outcome(submit(bench.submission_request(), bench.context())) == "scored"


@pytest.mark.slow
def test_an_upload_dropped_once_is_carried_on_by_the_client(bench):
    bench.line.faults = [Fault("PUT", "cut", length=100)]
    attempt = submit(bench.submission_request(), bench.context())
    assert (outcome(attempt), bench.line.log.count("PUT"), len(bench.with_tag(attempt))) == ("scored", 2, 1)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("PUT", "drop", times=99), id="dropped"),
        pytest.param(Fault("PUT", "stall"), id="stalled", marks=pytest.mark.slow),
    ],
)
def test_an_upload_that_never_ends_is_ended_and_has_failed(bench, fault):
    bench.line.faults = [fault]
    attempt = submit(bench.submission_request(), bench.context(HASTY))
    assert (outcome(attempt), creations(bench)) == ("failed", 0)
    assert "no answer within 3 s" in attempt.said


def test_a_lost_answer_is_found_by_its_tag(bench):
    bench.line.faults = [Fault(CREATE, "lose")]
    attempt = submit(bench.submission_request(), bench.context())
    assert (outcome(attempt), creations(bench), len(bench.with_tag(attempt))) == ("scored", 1, 1)


def test_a_slow_service_is_unknown_and_found_later_without_sending_again(bench):
    bench.line.faults = [Fault(CREATE, "late")]
    attempt = submit(bench.submission_request(), bench.context(HASTY))
    assert (outcome(attempt), attempt.ref, bench.with_tag(attempt)) == ("unknown", None, [])
    still = submit(bench.submission_request(), bench.context())
    assert (outcome(still), still.tag, creations(bench)) == ("unknown", attempt.tag, 1)
    bench.line.released.set()
    while not bench.with_tag(attempt):
        pass  # each look takes the client half a second
    found = submit(bench.submission_request(), bench.context())
    assert (outcome(found), found.tag, creations(bench)) == ("scored", attempt.tag, 1)


@pytest.mark.slow
def test_what_never_turns_up_counts_as_not_recorded_in_time(bench):
    bench.line.faults = [Fault(CREATE, "drop")]
    lost = submit(bench.submission_request(), bench.context())
    assert outcome(lost) == "unknown"
    sent = submit(bench.submission_request(), bench.context(replace(TIMEOUTS, settle_s=0)))
    assert outcome(sent) == "scored"
    first, second = ledger.read_attempts(bench.folder / "ledger.sqlite")
    assert (first.tag, outcome(first), first.said) == (lost.tag, "failed", "not among the submissions 0 minutes later")
    assert (second.tag, len(bench.with_tag(sent)), bench.with_tag(lost)) == (sent.tag, 1, [])


@pytest.mark.slow
def test_an_unknown_end_does_not_keep_other_files_from_being_sent(bench):
    bench.line.faults = [Fault(CREATE, "drop")]
    submit(bench.submission_request(), bench.context())
    assert outcome(submit(bench.submission_request("other-r1"), bench.context())) == "scored"


REFUSALS = [
    (says(START, 403, "You cannot submit until you accept the competition rules"), 403, "accept the rules on"),
    (says("GetCompetition", 403, "Permission 'competitions.participate' was denied"), 403, "check that the slug"),
    (says("GetCompetition", 404, "Not found"), 404, "check that the slug"),
    (says("GetCompetition", 401, "Unauthenticated"), 401, "create a new API token"),
    (says(START, 429, "Too many requests"), 429, "wait some minutes"),
    (says(CREATE, 400, "Submission limit reached"), 400, "reset at 00:00 UTC"),
    (says(CREATE, 403, "The deadline has passed"), 403, "whether it still accepts submissions"),
    (page(CREATE, 403), 403, "see the board's page"),
    (says(START, 500, "Internal error"), 500, "see the board's page"),
]


@pytest.mark.parametrize(("fault", "status", "hint"), REFUSALS, ids=[f"{f.operation}-{s}" for f, s, _ in REFUSALS])
def test_a_refusal_is_said_in_the_services_words_with_a_hint(bench, fault, status, hint):
    bench.line.faults = [fault]
    with pytest.raises(Refused, match=hint) as refused:
        submit(bench.submission_request(), bench.context())
    assert refused.value.status == status
    if fault.content_type == "application/json":
        assert json.loads(fault.body)["message"] in str(refused.value)
    assert not [each for each in ledger.read_attempts(bench.folder / "ledger.sqlite") if each.state != "failed"]


@pytest.mark.parametrize(
    "fault",
    [
        says(CREATE, 500, "Oops"),
        pytest.param(says(CREATE, 503, "Busy"), marks=pytest.mark.slow),
        page(CREATE),
        pytest.param(page(CREATE, 502), marks=pytest.mark.slow),
    ],
)
def test_an_answer_that_says_nothing_about_the_submission_leaves_it_unknown(bench, fault):
    bench.line.faults = [fault]
    attempt = submit(bench.submission_request(), bench.context())
    assert (outcome(attempt), bench.with_tag(attempt)) == ("unknown", [])


@pytest.mark.parametrize("operation", ["GetCompetition", "GetSubmissionLimits", START])
def test_a_page_instead_of_an_answer_before_sending_sends_nothing(bench, operation):
    bench.line.faults = [page(operation)]
    assert ended(bench) == "failed"
    assert creations(bench) == 0


def test_success_without_a_reference_number_is_not_recorded(bench):
    bench.line.faults = [answers(CREATE, {"message": "Successfully submitted to Toy competition"})]
    attempt = submit(bench.submission_request(), bench.context())
    assert (outcome(attempt), bench.with_tag(attempt)) == ("failed", [])
    assert attempt.said == "not recorded, although it said: Successfully submitted to Toy competition"


TERMS = [
    ("GetSubmissionLimits", {"numToday": 5, "numTotal": 9}, "today's 5 submissions are used up: .* 00:00 UTC"),
    ("GetSubmissionLimits", {"numTotal": 50, "limitedByTotal": True}, "all 50 submissions"),
    ("GetSubmissionLimits", {}, "join it and accept its rules"),
    ("GetCompetition", {"deadline": "2020-01-01T00:00:00Z"}, "the deadline of 'blobs' passed .* LATE=1"),
    ("GetCompetition", {"submissionsDisabled": True}, "accepts no submissions now"),
    (
        "GetCompetition",
        {"isKernelsSubmissionsOnly": True},
        "accepts only notebooks: make notebook RUN=blobs/baseline-r1",
    ),
]


@pytest.mark.parametrize(("operation", "terms", "sentence"), TERMS)
def test_what_cannot_succeed_is_refused_before_anything_is_sent(bench, operation, terms, sentence):
    bench.line.faults = [answers(operation, terms)]
    with pytest.raises(GoldfoldError, match=sentence):
        submit(bench.submission_request(), bench.context())
    assert START not in bench.line.log
    assert ledger.read_attempts(bench.folder / "ledger.sqlite") == []


def test_late_submissions_are_sent_where_that_is_asked_for(bench):
    bench.line.faults = [answers("GetCompetition", {"deadline": "2020-01-01T00:00:00Z"})]
    assert outcome(submit(bench.submission_request(late=True), bench.context())) == "scored"


def test_a_notebook_is_submitted_where_nothing_else_is_taken(bench):
    only = answers("GetCompetition", {"isKernelsSubmissionsOnly": True}, times=9)
    version = answers("GetKernel", {"metadata": {"currentVersionNumber": 3}}, times=9)
    running = answers("GetKernelSessionStatus", {"status": "RUNNING"})
    complete = answers("GetKernelSessionStatus", {"status": "COMPLETE"})
    bench.line.faults = [
        only,
        version,
        running,
        complete,
        answers("CreateCodeSubmission", {"ref": 77, "message": "ok"}),
    ]
    request = bench.submission_request(kernel=Kernel("somebody/goldfold-blobs", "submission.csv"))
    with pytest.raises(GoldfoldError, match="is RUNNING: run the command again when its run is COMPLETE"):
        submit(request, bench.context())
    found = answers("GetSubmission", {"ref": 77, "status": "COMPLETE", "publicScore": "0.5"})
    bench.line.faults.append(found)
    attempt = submit(request, bench.context())
    assert (outcome(attempt), attempt.ref, attempt.public) == ("scored", 77, 0.5)
    assert {START, "PUT", CREATE}.isdisjoint(bench.line.log)


def test_no_service_at_all_sends_nothing(bench):
    nowhere = replace(bench.service, environment={**bench.service.environment, "http_proxy": "http://127.0.0.1:9"})
    with pytest.raises(Lost, match="is the board up\\? Start it with make host"):
        submit(bench.submission_request(), replace(bench.context(), service=nowhere))
    assert ledger.read_attempts(bench.folder / "ledger.sqlite") == []


def test_a_score_that_does_not_come_in_time_is_pending_and_followed_by_the_next_submit(bench):
    pending = {"status": "PENDING", "ref": 1}
    bench.line.faults = [answers("GetSubmission", pending, times=99), answers(LIST, {}, times=99)]
    attempt = submit(bench.submission_request(), bench.context(replace(TIMEOUTS, wait_s=0)))
    assert (outcome(attempt), attempt.public) == ("pending", None)
    bench.line.faults = []
    found = submit(bench.submission_request(), bench.context())
    assert (outcome(found), found.tag, creations(bench)) == ("scored", attempt.tag, 1)


def test_polling_goes_on_through_broken_answers(bench):
    bench.line.faults = [page("GetSubmission"), says(LIST, 503, "busy"), Fault("GetSubmission", "drop")]
    assert outcome(submit(bench.submission_request(), bench.context())) == "scored"


def test_anothers_submission_with_the_same_number_is_not_believed(bench):
    attempt = submit(bench.submission_request(), bench.context(replace(TIMEOUTS, wait_s=0)))
    other = {"ref": attempt.ref, "status": "COMPLETE", "publicScore": "1.0", "description": "[gf-00000000]"}
    bench.line.faults = [answers("GetSubmission", other, times=9), answers(LIST, {"submissions": [other]}, times=9)]
    if outcome(attempt) == "pending":
        assert outcome(submit(bench.submission_request(), bench.context(replace(TIMEOUTS, wait_s=0)))) == "pending"
    assert bench.last().public != 1.0


def test_credentials_are_in_no_error_and_not_in_the_ledger(bench):
    secret = bench.direct.environment["KAGGLE_KEY"]
    bench.line.faults = [says(START, 403, f"key {secret} of you is not welcome")]
    with pytest.raises(Refused) as refused:
        submit(bench.submission_request(), bench.context())
    seen = f"{refused.value} {refused.value.said} {bench.context().service!r}"
    assert "key *** of you" in seen
    stored = (bench.folder / "ledger.sqlite").read_bytes() + (bench.folder / "ledger.csv").read_bytes()
    assert secret not in seen
    assert secret.encode() not in stored


def test_the_guard_keeps_the_client_on_this_machine(bench):
    away = {**bench.service.environment, "KAGGLE_API_ENVIRONMENT": "PROD"}
    del away["http_proxy"], away["https_proxy"]
    with pytest.raises(Lost, match=r"the guard of the tests refuses api\.kaggle\.com"):
        service.call(replace(bench.service, environment=away), "competition", slug="blobs")


def test_without_credentials_the_sentence_says_where_to_get_them(bench):
    bare = {name: value for name, value in bench.service.environment.items() if not name.startswith("KAGGLE_")}
    with pytest.raises(Refused, match="no Kaggle credentials: create an API token"):
        service.call(replace(bench.service, environment=bare), "competition", slug="blobs")


KILLED = """
import contextlib, os, pickle, signal, sys
from goldfold.kaggle.tracking import SubmissionContext
from goldfold.kaggle.upload import submit
from goldfold.errors import GoldfoldError

with open(sys.argv[1], "rb") as file:
    request, service, book, timeouts = pickle.load(file)
left = [int(sys.argv[2])]

def say(line):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)

with contextlib.suppress(GoldfoldError):
    submit(request, SubmissionContext(service, book, timeouts, say))
"""


def started(bench: Bench, dies_at: int, timeouts: Timeouts = TIMEOUTS) -> subprocess.Popen:
    """A submit in a process of its own, which kills itself at its progress line `dies_at`, counted from 1."""
    asked, context = bench.folder / "asked", bench.context(timeouts)
    asked.write_bytes(pickle.dumps((bench.submission_request(), context.service, context.ledger, timeouts)))
    return subprocess.Popen([sys.executable, "-c", KILLED, str(asked), str(dies_at)], stderr=subprocess.DEVNULL)


def test_killed_while_the_service_is_slow_leaves_sending_and_is_found_without_sending_again(bench):
    bench.line.faults = [Fault(CREATE, "late")]
    with started(bench, 99) as process:
        bench.line.wait_until(CREATE)
        process.kill()
    assert bench.last().state == "sending"
    assert ended(bench) == "unknown"
    bench.line.settle()
    assert ended(bench) == "scored"
    assert (creations(bench), len(bench.with_tag(bench.last()))) == (1, 1)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(3, id="before it is sent", marks=pytest.mark.slow),
        pytest.param(4, id="before the answer is noted"),
    ],
)
def test_killed_between_two_steps_the_next_start_finds_the_truth(bench, line):
    with started(bench, line) as process:
        assert process.wait() == -signal.SIGKILL
    first = bench.last()
    assert (first.state, len(bench.with_tag(first))) == (("prepared", 0) if line == 3 else ("sending", 1))
    assert ended(bench) == "scored"
    assert (creations(bench), len(bench.with_tag(bench.last()))) == (1, 1)


MENU = [
    *(Fault(CREATE, kind) for kind in ("lose", "lose", "drop", "late")),
    *(page(CREATE), says(CREATE, 500, "Oops"), says(CREATE, 429, "Slow down"), answers(CREATE, {"message": "Fine"})),
    *(Fault("PUT", "drop"), Fault("PUT", "lose"), Fault("PUT", "cut", length=500), Fault("PUT", "drop", times=99)),
    *(Fault("PUT", "stall"), says("PUT", 403, "No"), says("PUT", 503, "Busy")),
    *(Fault(START, "drop"), Fault(START, "lose"), Fault(START, "stall"), says(START, 403, "No"), page(START)),
    *(Fault(LIST, "drop"), Fault(LIST, "drop", times=3), page(LIST), says(LIST, 500, "Oops")),
    *(Fault("GetCompetition", "drop"), page("GetCompetition"), says("GetCompetition", 404, "No such competition")),
    *(Fault("GetSubmissionLimits", "drop"), says("GetSubmissionLimits", 500, "Oops")),
    *(Fault("GetSubmission", "drop"), page("GetSubmission"), says("GetSubmission", 404, "Not yet")),
]


def disagreements(bench: Bench) -> list[str]:
    """Where the ledger tells something else than the board, which is settled."""
    listed = bench.listed()
    wrong = []
    for attempt in ledger.read_attempts(bench.folder / "ledger.sqlite"):
        there = [each for each in listed if attempt.tag in each["description"]]
        end, name = outcome(attempt), f"{attempt.tag} is {attempt.state}"
        if len(there) > 1:
            wrong.append(f"{name}, sent {len(there)} times")
        if end in ("scored", "pending", "error") and [each["ref"] for each in there] != [attempt.ref]:
            wrong.append(f"{name} as {attempt.ref}, a success that is none")
        if end == "scored" and attempt.public != float(there[0]["publicScore"]):
            wrong.append(f"{name} with {attempt.public}, another score")
        if end in ("failed", "error") and attempt.state == "failed" and there and there[0]["status"] != "ERROR":
            wrong.append(f"{name}, a failure that is none")
    return wrong


def one_random_run(bench: Bench, seed: int) -> str:
    """A submit with random faults, sometimes killed, then one on a line without faults; returns both outcomes."""
    draw = random.Random(seed)
    bench.line.faults = [replace(fault, skip=draw.choice((0, 0, 1))) for fault in draw.sample(MENU, draw.randint(1, 3))]
    dies_at = draw.choice((0, 0, 0, 1, 2, 3, 4, 5))
    if dies_at:
        with started(bench, dies_at, HASTY) as process:
            first = {-signal.SIGKILL: "killed", 0: "ended"}[process.wait()]
    else:
        first = ended(bench, HASTY)
    bench.line.settle()
    assert not disagreements(bench), (seed, first)
    sent = sum(len(bench.with_tag(each)) for each in ledger.read_attempts(bench.folder / "ledger.sqlite"))
    assert sent <= 1, (seed, first)
    bench.line.reset()
    second = ended(bench)
    assert not disagreements(bench), (seed, first, second)
    assert creations(bench) == (0 if sent else creations(bench)), (seed, first, second)
    assert second in ({"scored": ("refused",)}.get(first, ("scored", "refused")) if sent else ("scored", "unknown"))
    assert sum(len(bench.with_tag(each)) for each in ledger.read_attempts(bench.folder / "ledger.sqlite")) <= 1
    return f"{first} then {second}"


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_random_faults_never_send_twice_and_never_report_falsely(bench, seed):
    one_random_run(bench, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 211))
def test_200_runs_of_random_faults(bench, seed):
    one_random_run(bench, seed)

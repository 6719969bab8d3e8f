"""What nobody may get from the board: the answers, other people's files, keys in logs, or an internal error."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import pickle
import zipfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import requests
import schemathesis
from fastapi.routing import iter_route_contexts
from hypothesis import HealthCheck, Phase, settings
from schemathesis import GenerationMode
from served_board import SECRET, SERVICE, SLUG, add_user, goldfold, make_project, rows, served

from goldfold.board import uploads
from goldfold.board.database import open_board
from goldfold.board.scoring import Scoring
from goldfold.board.web.application import LARGEST_REQUEST, application

FEW = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
SECRETS = [f"{SECRET + n}".encode() for n in range(80)]
OF = {"competitionName": SLUG}
NAMES = [
    "solution.csv",
    "usage.csv",
    "../private/solution.csv",
    "..%2fprivate%2fsolution.csv",
    "%2e%2e/private/solution.csv",
    "....//private/solution.csv",
    "/etc/passwd",
    "deep/../../private/solution.csv",
    "..\\private\\solution.csv",
    "private/solution.csv",
    "../../../board.sqlite",
    "../../../client.json",
    "file/../../private/solution.csv",
    "deep",
    ".",
    "",
]
PLAIN = {"solution.csv", "usage.csv", "..%2fprivate%2fsolution.csv", "deep"}  # names of files without a path
JSON = {"Content-Type": "application/json"}
SLUGS = [SLUG, "..", f"{SLUG}/private", f"../competitions/{SLUG}", "%2e%2e", ""]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """With a link among the public files that leads to the answers."""
    project = make_project(tmp_path_factory.mktemp("project"))
    goldfold(project, "host-add", "--comp", "sums", "--daily", "1000")
    hosted = project / "board" / "competitions" / SLUG
    (hosted / "public" / "shortcut.csv").symlink_to(hosted / "private" / "solution.csv")
    return project


@pytest.fixture(scope="module")
def board(project):
    with served(project) as running:
        running.scored(running.submit(rows(1.0), "kept"))
        yield running


@pytest.fixture(scope="module")
def app(project):
    """The same application without a process of its own, to see its routes."""
    board = open_board(project / "board")
    return application(board, Scoring(board, ["false"]))


def routes(app) -> list[tuple[str, str]]:
    found = [(method, route.path) for route in iter_route_contexts(app.routes) for method in route.methods or ()]
    assert {path.replace(":path", "") for _, path in found} >= set(app.openapi()["paths"])
    return found


def everything(answer: requests.Response) -> bytes:
    """Headers and body, with zips opened."""
    inside = b""
    if answer.content.startswith(b"PK"):
        packed = zipfile.ZipFile(io.BytesIO(answer.content))
        inside = b"".join(packed.read(name) for name in packed.namelist()) + " ".join(packed.namelist()).encode()
    return str(answer.headers).encode() + answer.content + inside


def assert_tells_nothing(answer: requests.Response) -> None:
    found = everything(answer)
    assert not [secret for secret in SECRETS if secret in found], answer.url
    assert b"SQLite format" not in found
    assert b"root:" not in found
    assert answer.status_code != 500, answer.url


def test_no_route_leads_to_the_answers(board, app):
    walked = routes(app)
    assert len(walked) > 30
    asked = 0
    for method, path in walked:
        bodies = [{**OF, "fileName": name, "blobFileTokens": name, "ref": 1, "token": name} for name in NAMES]
        slugs = SLUGS if "{slug}" in path else [SLUG]
        names = NAMES if "{" in path else [""]
        for slug in slugs:
            for name, body in zip(names, bodies, strict=False) if method != "POST" else [("", body) for body in bodies]:
                place = path
                for part in ("{name:path}", "{name}", "{token}", "{archive}"):
                    place = place.replace(part, name)
                address = board.address + place.replace("{slug}", slug)
                request = requests.Request(method, address, json=body if method == "POST" else None, auth=board.login)
                prepared = request.prepare()
                prepared.url = address  # requests would resolve the dots
                assert_tells_nothing(requests.Session().send(prepared, timeout=60))
                asked += 1
    assert asked > 600


def test_a_link_among_the_public_files_is_none_of_them(board):
    assert "shortcut.csv" not in board.call("ListDataFiles", **OF).text
    assert board.call("DownloadDataFile", **OF, fileName="shortcut.csv").status_code == 404
    assert_tells_nothing(board.call("DownloadDataFiles", **OF))


@pytest.mark.parametrize("token", ["../client.json", "..%2fclient.json", "a" * 32, "x", "%00", "é" * 32])
def test_a_made_up_token_opens_nothing(board, token):
    before = (board.project / "board" / "client.json").read_bytes()
    assert requests.put(f"{board.address}/upload/{token}", data=b"mine").status_code in (404, 405)
    assert board.call("CreateSubmission", **OF, blobFileTokens=token).status_code in (400, 404)
    assert (board.project / "board" / "client.json").read_bytes() == before


def test_every_rpc_but_the_tokens_own_wants_a_key(board, app):
    wanting = [path for method, path in routes(app) if method == "POST" and "IntrospectToken" not in path]
    wanting += [f"/data/{SLUG}/file/test.csv", f"/data/{SLUG}/{SLUG}.zip"]
    for path in wanting:
        ask = requests.get if path.startswith("/data") else requests.post
        for auth in (None, ("host", ""), ("", ""), ("host", "x" * 43), ("' OR 1=1 --", "' OR 1=1 --")):
            answer = ask(board.address + path, auth=auth, **({} if ask is requests.get else {"json": {**OF, "ref": 1}}))
            assert (answer.status_code, answer.json()["code"]) == (401, 401), path


@pytest.mark.parametrize("value", ["Basic", "Basic !", "Basic /zr/", "Bearer", "Bearer  ", "Digest x"])
def test_a_malformed_login_is_no_login(board, value):
    headers = {"Authorization": value}
    assert requests.post(f"{board.address}{SERVICE}/ListCompetitions", json={}, headers=headers).status_code == 401


def test_keys_are_in_no_log_and_no_file_but_the_owners(board):
    name, key = add_user(board.project, "careful")
    board.call("ListCompetitions", (name, key))
    requests.post(f"{board.address}{SERVICE}/ListCompetitions", data=b"{", headers={"Authorization": f"Bearer {key}"})
    log = (board.project / "host.log").read_text()
    assert key not in log
    assert "authorization" not in log.lower()
    assert base64.b64encode(f"{name}:{key}".encode()).decode() not in log
    files = {path: path.read_bytes() for path in (board.project / "board").rglob("*") if path.is_file()}
    assert not [path for path, data in files.items() if key.encode() in data]
    holds = [path for path, data in files.items() if board.key.encode() in data]
    assert {path.name for path in holds} == {"client.json", "client.env"}
    assert {path.stat().st_mode & 0o777 for path in holds} == {0o600}


def test_large_requests_are_refused(board):
    address, large = f"{board.address}{SERVICE}/ListCompetitions", b" " * (LARGEST_REQUEST + 1)
    answer = requests.post(address, data=large, auth=board.login)
    assert (answer.status_code, answer.json()["code"]) == (413, 413)
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = requests.post(address, data=gzip.compress(large), headers=headers, auth=board.login)
    assert answer.status_code == 400


def test_one_user_cannot_begin_endless_uploads(board, monkeypatch):
    login = add_user(board.project, "eager")
    about = {**OF, "contentLength": 1, "fileName": "a.csv"}
    answers = [board.call("StartSubmissionUpload", login, **about) for _ in range(uploads.OPEN_UPLOADS + 1)]
    assert [answer.status_code for answer in answers[-2:]] == [200, 429]


def test_one_user_cannot_announce_endless_bytes(board):
    login = add_user(board.project, "large")
    about = {**OF, "contentLength": uploads.LARGEST, "fileName": "a.csv"}
    answers = [board.call("StartSubmissionUpload", login, **about).status_code for _ in range(5)]
    assert answers == [200] * 4 + [429]
    assert board.call("StartSubmissionUpload", **OF, contentLength=1, fileName="a.csv").status_code == 200


def test_what_was_abandoned_is_removed_and_what_was_submitted_stays(project):
    board = open_board(project / "board")
    with board.writing() as session:
        session.add(uploads.Upload(token="old", user_id=1, slug=SLUG, file_name="a", size=1, created="2001"))
        session.add(uploads.Upload(token="new", user_id=1, slug=SLUG, file_name="a", size=1, created="2999"))
    kept = {path.name for path in uploads.path(board, "").glob("*")}
    for name in ("old", "new", "crashed.12.partial"):
        uploads.path(board, name).write_bytes(b"1")
    uploads.forget_abandoned(board, "2500")
    left = {path.name for path in uploads.path(board, "").glob("*")}
    assert "new" in left
    assert not {"old", "crashed.12.partial"} & left
    assert len(kept) == 0 or left > {"new"}


@pytest.mark.parametrize(
    "kind", [GenerationMode.NEGATIVE, pytest.param(GenerationMode.POSITIVE, marks=pytest.mark.slow)]
)
def test_nothing_that_is_made_up_makes_an_internal_error(board, app, kind):
    """What schemathesis makes of the description of every route: requests that fit it, and requests that do not."""
    seen = Counter()

    def check(case: schemathesis.Case) -> None:
        answer = case.call(base_url=board.address, auth=board.login, timeout=60)
        seen[answer.status_code] += 1
        assert_tells_nothing(answer)
        if case.path.startswith(("/v1/", "/data/", "/upload/")) and answer.status_code >= 400:
            assert answer.json()["code"] == answer.status_code

    described = schemathesis.openapi.from_dict(app.openapi()).exclude(path_regex="^/api/")  # the same once more
    for operation in (found.ok() for found in described.get_all_operations()):
        with suppress(hypothesis.errors.Unsatisfiable):  # a route without fields has no wrong ones
            FEW(hypothesis.given(operation.as_strategy(kind))(check))()
    assert sum(seen.values()) > 100, seen
    assert seen[200] if kind is GenerationMode.POSITIVE else seen[400]


ODD = ["", "\x00", "\ud800", "a" * 10**5, "数", 1e308, -1, 2**70, None, True, [], {}, [[]], "NaN", "-1", "٣"]


def test_odd_values_in_every_field_make_no_internal_error(board, app):
    fields = {name for part in app.openapi()["components"]["schemas"].values() for name in part.get("properties", {})}
    assert {"competitionName", "pageToken", "blobFileTokens"} < fields
    for method in {path for method, path in routes(app) if method == "POST" and path.startswith("/v1/")}:
        for value in ODD:
            for body in (dict.fromkeys(fields, value), {**dict.fromkeys(fields, value), **OF}):
                answer = requests.post(board.address + method, data=json.dumps(body), headers=JSON, auth=board.login)
                assert answer.status_code < 500, (method, value)


def test_odd_heads_make_no_internal_error(board):
    for head in ({"Host": "["}, {"Host": "a b"}, {"Host": "x" * 5000}, {"Range": "bytes=9-1"}, {"Range": "x"}):
        for place in ("/", f"/competitions/{SLUG}", f"/data/{SLUG}/file/test.csv"):
            answer = requests.get(board.address + place, headers=head, auth=board.login, timeout=60)
            assert answer.status_code < 500, (head, place)


class Planted:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def pickles(mark: Path) -> dict[str, bytes]:
    """File name -> a file that plants `mark` in any reader that unpickles it."""
    arrays, plain = io.BytesIO(), pickle.dumps(Planted(mark))
    np.save(arrays, np.array([Planted(mark)], dtype=object), allow_pickle=True)
    found = {f"protocol {protocol}.pkl": pickle.dumps(Planted(mark), protocol) for protocol in range(6)}
    packed = {"a.csv.gz": gzip.compress(plain), "a.csv.bz2": bz2.compress(plain), "a.csv.xz": lzma.compress(plain)}
    zips = {f"{name}.zip": zipped({name: plain}) for name in ("a.csv", "a.pkl", "data.pkl")}
    return {**found, **packed, **zips, "a.npy": arrays.getvalue()}


def zipped(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return made.getvalue()


def test_no_file_runs_anything_or_leaves_its_place(board):
    """Pickles in many forms, and zips of whose names each is a place that the sender would like."""
    mark, login = board.project / "planted", add_user(board.project, "hostile")
    assert pickle.loads(pickle.dumps(Planted(mark))) is None
    mark.unlink()  # which shows that a pickle plants it
    files = pickles(mark) | {f"{number}.zip": zipped({name or "/": rows(1.0)}) for number, name in enumerate(NAMES)}
    files |= {"two.zip": zipped({"a.csv": rows(1.0), "../../private/solution.csv": rows(1.0)}), "empty.zip": zipped({})}
    kept = {path for path in board.project.rglob("*") if "uploads" not in path.parts}
    refs = [board.submit(data, auth=login) for data in files.values()]
    found = [board.scored(ref, login) for ref in refs]
    plain = [name for name, each in zip(files, found, strict=True) if each["status"] == "COMPLETE"]
    assert plain == [f"{NAMES.index(name)}.zip" for name in NAMES if name in PLAIN], "the others have a path"
    assert not [each for each in found if any(secret.decode() in str(each) for secret in SECRETS)]
    assert not [each for each in found if str(board.project) in str(each)]
    assert not mark.exists()
    assert {path for path in board.project.rglob("*") if "uploads" not in path.parts} == kept

"""Kaggle, or the local board that speaks its protocol, through the kaggle client: the only place that reaches it.

The client has no time limit, prints, may end its process, and reads its settings from environment variables. So every
call runs in a child process with its own environment and a time limit; the reply is JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json

CALLS = Path(__file__).with_name("client_calls.py")
NO_VERBOSE = ("VERBOSE", "VERBOSE_OUTPUT")  # with these the client prints every request with its credentials
KEPT = ("PATH", "PYTHONPATH", "LANG", "TMPDIR", "SYSTEMROOT")
NOWHERE = "http://127.0.0.1:9"  # https requests must not leave this machine
NO_CREDENTIALS = (
    "there are no Kaggle credentials: create an API token at https://www.kaggle.com/settings and move its file"
    " kaggle.json into ~/.kaggle"
)
HINTS = (  # HTTP statuses, words in the answer, what to do
    ((), ("rule",), "accept the rules on {page}/rules in a browser; the API cannot do it"),
    ((), ("deadline", "ended", "closed", "late submission"), "see on {page} whether it still accepts submissions"),
    (
        (401,),
        (),
        "create a new API token at https://www.kaggle.com/settings and replace ~/.kaggle/kaggle.json with it",
    ),
    ((429,), (), "wait some minutes; daily limits reset at 00:00 UTC"),
    ((), ("limit", "allowance", "daily", "exceeded"), "daily limits reset at 00:00 UTC"),
    ((404,), ("participate",), "check that the slug is spelled as in {page}, and that you have joined it"),
    ((), (), "see {page}"),
)


@dataclass(frozen=True)
class Service:
    """Kaggle or the local board, and the credentials to use there.

    environment: complete environment of the child process; it may hold credentials, so it is never printed.
    python: interpreter with the kaggle client.
    """

    name: Literal["kaggle", "local"]
    environment: Mapping[str, str] = field(repr=False)
    python: str = sys.executable


class Refused(GoldfoldError):  # noqa: N818
    """The service, or the client, refused the request; nothing was created.

    status: HTTP status, None if no request was made. said: the server's own message.
    """

    def __init__(self, code: str, message: str, status: int | None, said: str) -> None:
        super().__init__(code, message)
        self.status, self.said = status, said


class Lost(GoldfoldError):  # noqa: N818
    """There was no answer in time, or no valid one.

    said: what went wrong with the connection. sent: True if the service may have created something all the same.
    """

    def __init__(self, code: str, message: str, said: str, sent: bool) -> None:
        super().__init__(code, message)
        self.said, self.sent = said, sent


def kaggle() -> Service:
    """Kaggle, with the user's own credentials."""
    return Service("kaggle", {name: value for name, value in os.environ.items() if name not in NO_VERBOSE})


def local(board: Path) -> Service:
    """The local board in the folder `board`; no Kaggle credentials are passed to its client.

    Raises:
        GoldfoldError: no board was ever started in the folder (`no_local_board`).
    """
    path = board / "client.json"
    if not path.exists():
        raise GoldfoldError("no_local_board", f"there is no local leaderboard in {board}: start one with make host")
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return Service("local", {"LANG": "C.UTF-8", **kept, **client_environment(read_json(path))})


def client_environment(client: Mapping[str, str]) -> dict[str, str]:
    """Environment variables that connect the kaggle client to the board only; client: content of board/client.json."""
    return {
        "KAGGLE_USERNAME": client["username"],
        "KAGGLE_KEY": client["key"],
        "KAGGLE_API_ENVIRONMENT": "LOCALHOST",  # http://localhost, port 80; the proxy is the board
        "http_proxy": client["url"],
        "https_proxy": NOWHERE,
    }


def call(service: Service, operation: str, limit_s: float = 120, **arguments: Any) -> dict:
    """Call one operation of `client_calls` and return its result, with the field names of Kaggle's API.

    Raises:
        Refused: the service or the client refused the request, or there are no credentials; nothing was created.
        Lost: there was no valid answer within `limit_s` seconds; its `sent` says whether something may have been
            created.
        GoldfoldError: the kaggle client is not installed (`kaggle_client_missing`).
    """
    with TemporaryDirectory(prefix="goldfold-") as folder:
        reply = Path(folder) / "reply.json"
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in arguments.items()}
        request = {"operation": operation, "arguments": plain, "reply": str(reply), "limit_s": limit_s}
        late = _run(service, request, Path(folder), limit_s)
        sent = Path(f"{reply}.sent").exists()
        if not reply.exists():
            told = f"no answer within {limit_s:g} s" if late else "the client ended without an answer"
            raise _lost(service, operation, told, sent)
        answer = read_json(reply)
    if "result" in answer:
        return answer["result"]
    raise _failed(service, operation, answer, arguments.get("slug", ""), sent)


def _run(service: Service, request: dict, folder: Path, limit_s: float) -> bool:
    """Run one request in a child process; returns True if it exceeded the time limit."""
    home = {"HOME": str(folder), "KAGGLE_CONFIG_DIR": str(folder)} if service.name == "local" else {}
    try:
        subprocess.run(
            [service.python, "-P", str(CALLS)],  # -P: modules of this folder must not shadow those of the client
            input=json.dumps(request).encode(),
            env={**service.environment, **home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=limit_s,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return True
    return False


def _failed(service: Service, operation: str, answer: Mapping[str, Any], slug: str, sent: bool) -> GoldfoldError:
    """Error for an answer without a result."""
    kind, status, said = answer["kind"], answer["status"], " ".join(answer["said"].split())
    if kind == "client":
        return GoldfoldError(
            "kaggle_client_missing", f"the kaggle client cannot be imported ({said}): pip install -r requirements.txt"
        )
    if kind == "credentials":
        return Refused("no_kaggle_credentials", NO_CREDENTIALS, None, said)
    unclear = status is None or status == 408 or status >= 500  # the request may have been carried out all the same
    if kind == "broken" or (sent and unclear):
        return _lost(service, operation, said, sent)
    if kind == "bad":
        return Refused("kaggle_client_refused", f"the kaggle client refused '{_words(operation)}': {said}", None, said)
    told = f"{_who(service)} refused '{_words(operation)}' ({status}): \"{said}\""
    return Refused("service_refused", f"{told}; {_hint(service, status, said, slug)}", status, said)


def _lost(service: Service, operation: str, said: str, sent: bool) -> Lost:
    hint = "is the board up? Start it with make host" if service.name == "local" else "check the connection"
    message = f"{_who(service)} gave no answer to '{_words(operation)}' ({said}); {hint}"
    return Lost("no_answer", message, said, sent)


def _hint(service: Service, status: int | None, said: str, slug: str) -> str:
    page = competition_page(service, slug)
    for statuses, words, hint in HINTS:
        if status in statuses or any(word in said.lower() for word in words) or not (statuses or words):
            return hint.format(page=page)
    raise AssertionError("the last hint fits everything")


def competition_page(service: Service, slug: str) -> str:
    """Web page of a competition, for messages."""
    return f"https://www.kaggle.com/competitions/{slug}" if service.name == "kaggle" else "the board's page"


def _who(service: Service) -> str:
    return "Kaggle" if service.name == "kaggle" else "the local leaderboard"


def _words(operation: str) -> str:
    return operation.replace("_", " ")

"""Kaggle, or the local board that speaks its protocol, through the kaggle client: the only place that reaches it.

The client waits without end, prints, may end the process it is in, and takes its orders from environment variables. So
every call is a child process with an environment of ours, bounded by wall clock; what it brings back is JSON.
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
NO_VERBOSE = ("VERBOSE", "VERBOSE_OUTPUT")  # they make the client print every request with its credentials
KEPT = ("PATH", "PYTHONPATH", "LANG", "TMPDIR", "SYSTEMROOT")
NOWHERE = "http://127.0.0.1:9"  # what strays to https ends on this machine
NO_CREDENTIALS = (
    "there are no Kaggle credentials: make an API token at https://www.kaggle.com/settings and put its file kaggle.json"
    " into ~/.kaggle"
)
HINTS = (  # statuses, words of what was said, what to do
    ((), ("rule",), "accept the rules on {page}/rules, it can be done there only"),
    ((), ("deadline", "ended", "closed", "late submission"), "see on {page} whether it takes submissions still"),
    (
        (401,),
        (),
        "make a new API token at https://www.kaggle.com/settings, it takes the place of ~/.kaggle/kaggle.json",
    ),
    ((429,), (), "wait some minutes; a daily allowance starts anew at 00:00 UTC"),
    ((), ("limit", "allowance", "daily", "exceeded"), "a daily allowance starts anew at 00:00 UTC"),
    ((404,), ("participate",), "check that the slug is spelled as in {page}, and that you have joined it"),
    ((), (), "see {page}"),
)


@dataclass(frozen=True)
class Service:
    """Where the client of a call goes, and as whom.

    environment: of the child process, whole; credentials may be in it, so it is never shown.
    python: the interpreter that has the client.
    """

    name: Literal["kaggle", "local"]
    environment: Mapping[str, str] = field(repr=False)
    python: str = sys.executable


class Refused(GoldfoldError):  # noqa: N818
    """An answer that says no. status: of HTTP, None where no request was made; said: the server's own words."""

    def __init__(self, sentence: str, status: int | None, said: str) -> None:
        super().__init__(sentence)
        self.status, self.said = status, said


class Lost(GoldfoldError):  # noqa: N818
    """No answer in time, or none to be understood. sent: whether something may have been created all the same."""

    def __init__(self, sentence: str, said: str, sent: bool) -> None:
        super().__init__(sentence)
        self.said, self.sent = said, sent


def kaggle() -> Service:
    """Kaggle itself, with the user's credentials as they are."""
    return Service("kaggle", {name: value for name, value in os.environ.items() if name not in NO_VERBOSE})


def local(board: Path) -> Service:
    """The board whose folder is `board`; the environment starts from nothing, so no Kaggle credential is in reach.

    Raises:
        GoldfoldError: no board was ever started there.
    """
    path = board / "client.json"
    if not path.exists():
        raise GoldfoldError(f"there is no local leaderboard in {board}: start one with make host")
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return Service("local", {"LANG": "C.UTF-8", **kept, **variables(read_json(path))})


def variables(client: Mapping[str, str]) -> dict[str, str]:
    """What makes the kaggle client speak to the board and to nothing else; client: what board/client.json holds."""
    return {
        "KAGGLE_USERNAME": client["username"],
        "KAGGLE_KEY": client["key"],
        "KAGGLE_API_ENVIRONMENT": "LOCALHOST",  # http://localhost, port 80; the proxy brings it to our port
        "http_proxy": client["url"],
        "https_proxy": NOWHERE,
    }


def call(service: Service, operation: str, limit_s: float = 120, **arguments: Any) -> dict:
    """What the client brought back from one operation of `client_calls`, in the words of Kaggle's protocol.

    Raises:
        Refused: an answer that says no; nothing was created.
        Lost: no answer within `limit_s` seconds, or the connection broke; its `sent` says whether anything may have
            been created.
        GoldfoldError: the client is not installed, there are no credentials, or the client refused to ask.
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
    """Carry one request out; returns whether it was ended for being late."""
    home = {"HOME": str(folder), "KAGGLE_CONFIG_DIR": str(folder)} if service.name == "local" else {}
    try:
        subprocess.run(
            [service.python, "-P", str(CALLS)],  # -P: our modules must not stand in for the client's
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
    """The error for an answer without result."""
    kind, status, said = answer["kind"], answer["status"], " ".join(answer["said"].split())
    if kind == "client":
        return GoldfoldError(f"the kaggle client cannot be imported ({said}): pip install -r requirements.txt")
    if kind == "credentials":
        return Refused(NO_CREDENTIALS, None, said)
    unclear = status is None or status == 408 or status >= 500  # the work may have been done before this was said
    if kind == "broken" or (sent and unclear):
        return _lost(service, operation, said, sent)
    if kind == "bad":
        return Refused(f"the kaggle client would not carry out '{_words(operation)}': {said}", None, said)
    told = f"{_who(service)} refused '{_words(operation)}' ({status}): \"{said}\""
    return Refused(f"{told}; {_hint(service, status, said, slug)}", status, said)


def _lost(service: Service, operation: str, said: str, sent: bool) -> Lost:
    hint = "is the board up? make host starts it" if service.name == "local" else "check the connection"
    return Lost(f"{_who(service)} gave no answer to '{_words(operation)}' ({said}); {hint}", said, sent)


def _hint(service: Service, status: int | None, said: str, slug: str) -> str:
    page = page_of(service, slug)
    for statuses, words, hint in HINTS:
        if status in statuses or any(word in said.lower() for word in words) or not (statuses or words):
            return hint.format(page=page)
    raise AssertionError("the last hint fits everything")


def page_of(service: Service, slug: str) -> str:
    """Where a person looks at a competition."""
    return f"https://www.kaggle.com/competitions/{slug}" if service.name == "kaggle" else "the board's page"


def _who(service: Service) -> str:
    return "Kaggle" if service.name == "kaggle" else "the local leaderboard"


def _words(operation: str) -> str:
    return operation.replace("_", " ")

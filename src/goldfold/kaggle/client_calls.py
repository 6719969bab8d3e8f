"""Script that makes one call of the kaggle client: a JSON request on stdin, a JSON reply in the file it names.

It supports the clients 1.8.4 to 2.2, so it imports only the standard library and the client. The client has no time
limits, prints, and may end its process, so every call runs in a process of its own. The printed text becomes part of
the reply, and credentials are removed from the reply.

Request: {"operation", "arguments", "reply": file, "limit_s"}. Reply: {"result": ...} or {"kind", "status", "said"};
kind is `refused` (the service refused), `broken` (no answer, or an invalid one), `credentials` (there are none),
`client` (the kaggle client is not installed) or `bad` (the client refused to send the request). The file
`<reply>.sent` is created before a request that may create something is sent.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

READS = re.compile(r"/(Get|List|Start|Introspect|Generate|Download)\w*$")  # URLs of calls that create nothing
NOT_UPLOADED = "Could not submit to competition"  # the client's own message
PAGE, PAGES = 100, 50
CONNECT_S = 15


def competition(api: Any, slug: str) -> dict:
    from kagglesdk.competitions.types.competition_api_service import ApiGetCompetitionRequest

    return _ask(api, "get_competition", ApiGetCompetitionRequest(), competition_name=slug).to_dict()


def limits(api: Any, slug: str) -> dict:
    from kagglesdk.competitions.types.competition_api_service import ApiGetSubmissionLimitsRequest

    found = _ask(api, "get_submission_limits", ApiGetSubmissionLimitsRequest(), competition_name=slug)
    return {"numToday": 0, "numTotal": 0, "numAllowedNow": 0, **found.to_dict()}  # zeros are left out on the wire


def terms(api: Any, slug: str) -> dict:
    """Competition and submission limits in one call, since starting the client takes most of the time."""
    return {"competition": competition(api, slug), "limits": limits(api, slug)}


def upload(api: Any, slug: str, path: str, message: str) -> dict:
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        reply = api.competition_submit(path, message, slug, quiet=True)
    printed = told.getvalue().strip()  # the only place with the reason of a failed upload
    return {"ref": reply.ref, "message": reply.message, "uploaded": reply.message != NOT_UPLOADED, "printed": printed}


def submit_kernel(api: Any, slug: str, kernel: str, version: int, file: str, message: str) -> dict:
    reply = api.competition_submit_code(file, message, slug, kernel, version, quiet=True)
    return {"ref": reply.ref, "message": reply.message, "uploaded": True, "printed": ""}


def push_kernel(api: Any, folder: str) -> dict:
    return api.kernels_push(folder).to_dict()


def kernel_status(api: Any, kernel: str) -> dict:
    """State of the last run of a notebook, and its version."""
    from kagglesdk.kernels.types.kernels_api_service import ApiGetKernelRequest

    found, request = api.kernels_status(kernel), ApiGetKernelRequest()
    request.user_name, request.kernel_slug = kernel.split("/")
    with api.build_kaggle_client() as client:
        version = client.kernels.kernels_api_client.get_kernel(request).metadata.current_version_number
    return {"status": found.status.name, "failureMessage": found.failure_message or "", "version": version}


def push_dataset(api: Any, folder: str) -> dict:
    """Create the data set named in the folder's metadata, or a new version of it."""
    from requests.exceptions import HTTPError

    name = json.loads((Path(folder) / "dataset-metadata.json").read_text(encoding="utf-8"))["id"]
    try:
        api.dataset_status(name)
    except HTTPError as error:
        if error.response is None or error.response.status_code not in (403, 404):  # Kaggle's answers for unknown names
            raise
        return api.dataset_create_new(folder, quiet=True, dir_mode="zip").to_dict()
    return api.dataset_create_version(folder, "", quiet=True, dir_mode="zip").to_dict()


def submissions(api: Any, slug: str) -> dict:
    from kagglesdk.competitions.types.competition_api_service import ApiListSubmissionsRequest as Request

    pages = _pages(api, "list_submissions", Request, slug)
    return {"submissions": [_submission(each) for page in pages for each in page.submissions]}


def submission(api: Any, ref: int) -> dict:
    from kagglesdk.competitions.types.competition_api_service import ApiGetSubmissionRequest

    return _submission(_ask(api, "get_submission", ApiGetSubmissionRequest(), ref=ref))


def files(api: Any, slug: str) -> dict:
    from kagglesdk.competitions.types.competition_api_service import ApiListDataFilesRequest as Request

    return {"files": [each.to_dict() for page in _pages(api, "list_data_files", Request, slug) for each in page.files]}


def download(api: Any, slug: str, file: str | None, folder: str) -> dict:
    """Download one file, or all files as one archive if `file` is None; resumes a broken download in `folder`."""
    before = set(os.listdir(folder))
    if file is None:
        api.competition_download_files(slug, path=folder, quiet=True)
        wanted = [f"{slug}.zip"]
    else:
        api.competition_download_file(slug, file, path=folder, quiet=True)
        own = os.path.basename(file)
        wanted = [own, f"{own}.zip", quote(own)]  # Kaggle zips some files, and the client takes names from URLs
    names = [name for name in wanted if (Path(folder) / name).exists()]
    names += sorted(name for name in set(os.listdir(folder)) - before if not name.endswith(".kaggle-partial"))
    return {"path": str(Path(folder) / names[0])}


def leaderboard(api: Any, slug: str, folder: str) -> dict:
    api.competition_leaderboard_download(slug, folder, quiet=True)
    return {"path": str(Path(folder) / f"{slug}.zip")}


OPERATIONS: dict[str, Callable[..., dict]] = {
    each.__name__: each
    for each in (
        *(competition, limits, terms, upload, submit_kernel, push_kernel, kernel_status, push_dataset),
        *(submissions, submission, files, download, leaderboard),
    )
}


def _ask(api: Any, method: str, request: Any, **fields: Any) -> Any:
    for name, value in fields.items():
        setattr(request, name, value)
    with api.build_kaggle_client() as client:
        return getattr(client.competitions.competition_api_client, method)(request)


def _pages(api: Any, method: str, request: type, slug: str) -> Iterator[Any]:
    token = ""
    for _ in range(PAGES):
        page = _ask(api, method, request(), competition_name=slug, page_size=PAGE, page_token=token)
        yield page
        token = page.next_page_token
        if not token:
            return


def _submission(found: Any) -> dict:
    return {"status": found.status.name, **found.to_dict()}  # the default PENDING is left out


def _bound(limit_s: float, sent: Path) -> None:
    """Set a time limit for every request, and create `sent` before a request that may create something."""
    from requests.adapters import HTTPAdapter

    adapter: Any = HTTPAdapter
    send = adapter.send

    def bounded(self: Any, request: Any, *, timeout: Any = None, **rest: Any) -> Any:
        if request.method == "POST" and not READS.search(request.url.partition("?")[0]):
            sent.touch()
        return send(self, request, timeout=timeout or (CONNECT_S, limit_s), **rest)

    adapter.send = bounded


def _innermost(error: Exception) -> str:
    """Text of the error that requests and urllib3 have wrapped."""
    inner = getattr(error.args[0] if error.args else None, "reason", None) or error
    inner = getattr(inner, "original_error", inner)
    return f"{type(inner).__name__}, {inner}"


def _status(response: Any) -> int | None:
    """HTTP status, or the code in the body if a refusal came with status 200."""
    if response is None or response.status_code >= 400:
        return getattr(response, "status_code", None)
    return response.json().get("code")


class _NoCredentials(Exception):  # noqa: N818
    """The client found no credentials."""


def _client() -> Any:
    """The client's `KaggleApi` with the user's credentials; raises _NoCredentials if there are none."""
    try:
        import kaggle

        if not {"key", "token"} & kaggle.api.config_values.keys():
            kaggle.api.authenticate()  # the import hides the reason of a failure
    except SystemExit as error:
        raise _NoCredentials from error
    except OSError as error:
        import requests

        if isinstance(error, requests.RequestException):
            raise
        raise _NoCredentials(str(error)) from error
    return kaggle.api


def _carried_out(request: dict, sent: Path) -> dict:
    try:
        import requests

        _bound(request["limit_s"], sent)
        api = _client()
    except ImportError as error:
        return {"kind": "client", "status": None, "said": str(error)}
    except _NoCredentials as error:
        return {"kind": "credentials", "status": None, "said": str(error)}
    except Exception as error:
        return {"kind": "broken", "status": None, "said": _innermost(error)}
    try:
        return {"result": OPERATIONS[request["operation"]](api, **request["arguments"])}
    except requests.HTTPError as error:
        return {"kind": "refused", "status": _status(error.response), "said": str(error)}
    except (requests.RequestException, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        return {"kind": "broken", "status": None, "said": _innermost(error)}
    except (Exception, SystemExit) as error:
        return {"kind": "bad", "status": None, "said": str(error) or type(error).__name__}


def _secrets() -> list[str]:
    """Credentials that must not appear in a reply, longest first."""
    known = [os.environ.get(name, "") for name in ("KAGGLE_KEY", "KAGGLE_API_TOKEN")]
    name = os.environ.get("KAGGLE_USERNAME", "")
    client = sys.modules.get("kaggle")
    if client is not None and hasattr(client, "api"):
        values = client.api.config_values
        known += [str(values.get(each) or "") for each in ("key", "token", "api_token")]
        name = str(values.get("username") or name)
    known += [base64.b64encode(f"{name}:{key}".encode()).decode() for key in known if key]
    return sorted({secret for secret in known if len(secret) > 3}, key=len, reverse=True)


def scrubbed(value: Any, secrets: list[str]) -> Any:
    """Replace every secret in the strings of `value`, and remove queries from URLs, since they hold upload tokens."""
    if isinstance(value, dict):
        return {key: scrubbed(each, secrets) for key, each in value.items()}
    if isinstance(value, list):
        return [scrubbed(each, secrets) for each in value]
    if not isinstance(value, str):
        return value
    for secret in secrets:
        value = value.replace(secret, "***")
    return re.sub(r"(?<=[\w/])\?[\w.~%-]+=[^\s'\")]*", "?...", value)


def main() -> None:
    request = json.load(io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8"))
    reply = Path(request["reply"])
    timer = threading.Timer(request["limit_s"] + 5, os._exit, [1])  # in case the parent process has died
    timer.daemon = True
    timer.start()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        answer = _carried_out(request, Path(f"{reply}.sent"))
    partial = Path(f"{reply}.partial")
    partial.write_text(json.dumps(scrubbed(answer, _secrets())), encoding="utf-8")
    os.replace(partial, reply)


if __name__ == "__main__":
    main()

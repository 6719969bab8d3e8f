"""A competition's files from Kaggle into one folder: whole and as listed, or not there.

Beside `<folder>` stands `<folder>.partial` until all is done: `incoming` is what the client is at work on, `files` are
finished and not fetched again. At last everything is renamed into its place, and `<folder>.json` tells what was listed.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json, write_json
from goldfold.kaggle import archives
from goldfold.kaggle.service import Service, call

ONE_BY_ONE = 20  # files; more come in one archive, since every file is a process of its own
SLOWEST = 50_000  # bytes a second; a download below it is given up, and goes on where it was at the next start
PATIENCE = 600  # seconds
TIMES_LARGER = 100  # than its zip: no honest data set is
SMALL = 1 << 30  # bytes that a zip may always hold
EVERY = 10  # seconds between two lines of progress

Report = Callable[[str], None]


@dataclass(frozen=True)
class Listed:
    """A file as the service lists it. name: with its folders; bytes: 0 where the service does not tell."""

    name: str
    bytes: int


def fetch(service: Service, slug: str, folder: Path, report: Report) -> bool:
    """Bring all files of a competition into `folder`, zips unpacked; False where they were there already.

    Raises:
        GoldfoldError: the service refused or gave no answer (see `service.call`), what came is not what is listed, a
            zip is unsafe, or `folder` holds files that did not come this way.
    """
    listed, known = listing(service, slug), folder.with_name(f"{folder.name}.json")
    report(f"{len(listed):,} files, {_size(sum(file.bytes for file in listed))}")
    if folder.exists():
        if not known.exists():
            raise GoldfoldError(
                "folder_not_downloaded",
                f"{folder} contains files that were not downloaded: move it away, then run the command again",
            )
        plain = [file for file in listed if not _packed(file)]
        if read_json(known) == [asdict(file) for file in listed] and all(_as_listed(folder / f.name, f) for f in plain):
            return False
    partial = folder.with_name(f"{folder.name}.partial")
    _collect(service, slug, listed, partial, report)
    _unpack_listed(listed, partial, report)
    known.unlink(missing_ok=True)  # it describes what is about to be replaced
    _install(listed, partial, folder)
    write_json(known, [asdict(file) for file in listed])
    return True


def listing(service: Service, slug: str) -> list[Listed]:
    """Raises GoldfoldError where there are no files, or a name leads out of the folder."""
    answer = call(service, "files", slug=slug)["files"]
    found = [Listed(file["name"], int(file.get("totalBytes", 0))) for file in answer]
    if not found:
        raise GoldfoldError(
            "no_files_listed", f"'{slug}' lists no files: see https://www.kaggle.com/competitions/{slug}/data"
        )
    for file in found:
        if not archives.safe(file.name):
            raise GoldfoldError(
                "unsafe_file_name",
                f"'{slug}' lists a file {file.name!r} that would be written outside its folder: nothing was downloaded",
            )
    return found


def _collect(service: Service, slug: str, listed: Sequence[Listed], partial: Path, report: Report) -> None:
    """Fill `partial/files` with everything listed; what is there already is not fetched again."""
    files, incoming = partial / "files", partial / "incoming"
    for place in (files, incoming):
        place.mkdir(parents=True, exist_ok=True)
    wanted = [file for file in listed if not _as_listed(files / file.name, file)]
    if len(wanted) < len(listed):
        report(f"{len(listed) - len(wanted):,} of them are here from before")
    missing, free = sum(file.bytes for file in wanted), shutil.disk_usage(files).free
    if missing > free - archives.RESERVE:
        raise GoldfoldError(
            "disk_full",
            f"{_size(missing)} are missing and the disk has {_size(free)} free: make room, run the command again",
        )
    if len(wanted) > ONE_BY_ONE:
        _collect_all(service, slug, listed, partial, report)
        return
    for number, file in enumerate(wanted, 1):
        with _watched(incoming, file.bytes, report):
            came = _download(service, slug, file.name, incoming / f"{listed.index(file)}", file.bytes)
        _accept(came, file, files)
        report(f"{file.name}  {_size(file.bytes)}  {number} of {len(wanted)}")


def _download(service: Service, slug: str, file: str | None, place: Path, size: int) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    limit = PATIENCE + size / SLOWEST
    return Path(call(service, "download", limit_s=limit, slug=slug, file=file, folder=place.resolve())["path"])


def _accept(came: Path, file: Listed, files: Path) -> None:
    """Move a downloaded file to its place; Kaggle packs some into a zip of one."""
    if Path(file.name).name not in (came.name, unquote(came.name)):  # the client takes names from addresses
        inside = came.parent / "unpacked"
        archives.remove(inside)
        names = archives.unpack(came, inside, _most(came, file.bytes))
        if names != [Path(file.name).name]:
            raise GoldfoldError(
                "download_incomplete",
                f"{came} should contain only {file.name}, found {', '.join(names[:3])}: run the command again",
            )
        came = inside / names[0]
    if not _as_listed(came, file):
        size = came.stat().st_size
        archives.remove(came.parent)
        raise GoldfoldError(
            "download_incomplete",
            f"{file.name} has {size:,} bytes, but {file.bytes:,} are listed: run the command again",
        )
    (files / file.name).parent.mkdir(parents=True, exist_ok=True)
    os.replace(came, files / file.name)


def _collect_all(service: Service, slug: str, listed: Sequence[Listed], partial: Path, report: Report) -> None:
    """Everything in one archive, which the client takes up where it broke off."""
    total = sum(file.bytes for file in listed)
    with _watched(partial / "incoming", total, report):
        came = _download(service, slug, None, partial / "incoming" / "all", total)
    report(f"{came.name}  {_size(came.stat().st_size)}, unpacking")
    archives.remove(partial / "files")
    archives.unpack(came, partial / "files", _most(came, total))
    wrong = [file.name for file in listed if not _as_listed(partial / "files" / file.name, file)]
    if wrong:
        archives.remove(came)
        archives.remove(partial / "files")
        raise GoldfoldError(
            "download_incomplete",
            f"{len(wrong):,} of {len(listed):,} files differ from the list, first {wrong[0]}: run the command again",
        )


def _unpack_listed(listed: Sequence[Listed], partial: Path, report: Report) -> None:
    """Unpack zips among the files, each into a folder of its name: train.zip becomes train/."""
    archives.remove(partial / "unpacked")
    for file in listed:
        if not _packed(file):
            continue
        source, place = partial / "files" / file.name, partial / "unpacked" / file.name[: -len(".zip")]
        report(f"{file.name}  unpacking")
        archives.unpack(source, place, _most(source))
        inside = list(place.iterdir())
        if [each.name for each in inside] == [place.name]:  # it holds one file or folder of its own name
            shallow = place.with_name(f"{place.name}.inside")
            os.replace(place, shallow)
            os.replace(shallow / place.name, place)
            shallow.rmdir()


def _install(listed: Sequence[Listed], partial: Path, folder: Path) -> None:
    """Put what was unpacked beside the other files, and all of them in the place of `folder`."""
    files, unpacked = partial / "files", partial / "unpacked"
    for source in sorted(unpacked.rglob("*")):
        target = files / source.relative_to(unpacked)
        if source.is_dir():
            target.mkdir(exist_ok=True)
        elif target.exists():
            raise GoldfoldError(
                "file_listed_twice",
                f"{target} exists both as a file and inside a zip: remove {partial} and download the files one by one",
            )
        else:
            os.replace(source, target)
    for file in listed:
        if _packed(file):
            archives.remove(files / file.name)
    archives.remove(folder)
    os.replace(files, folder)
    shutil.rmtree(partial)


def fetch_leaderboard(service: Service, slug: str, folder: Path) -> Path:
    """The competition's leaderboard as the zip that the client brings, in `folder`; raises as `service.call` does."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as incoming:
        came = call(service, "leaderboard", slug=slug, folder=Path(incoming).resolve())["path"]
        os.replace(came, folder / f"{slug}.zip")
    return folder / f"{slug}.zip"


def _packed(file: Listed) -> bool:
    return file.name.lower().endswith(".zip")


def _as_listed(path: Path, file: Listed) -> bool:
    return path.is_file() and (not file.bytes or path.stat().st_size == file.bytes)


def _most(archive: Path, expected: int = 0) -> int:
    """Bytes that a zip may hold: what is listed, or as many times its own size as data shrinks at the very best."""
    return expected or max(SMALL, TIMES_LARGER * archive.stat().st_size)


@contextmanager
def _watched(folder: Path, total: int, report: Report) -> Iterator[None]:
    """Tell every few seconds how much has come."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(EVERY):
            came = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            report(f"  {_size(came)} of {_size(total)}")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _size(count: float) -> str:
    """
    >>> _size(59_760), _size(3)
    ('59.8 KB', '3 bytes')
    """
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("gigabytes have no end")

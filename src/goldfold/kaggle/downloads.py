"""Download a competition's files from Kaggle; the folder exists only when all files are complete.

Files are first written into `<folder>.partial`: `incoming` has unfinished files, `files` has finished ones, which are
not downloaded again. At the end the folder is renamed to its place, and `<folder>.json` records the listed files.
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

ONE_BY_ONE = 20  # files; more are downloaded as one archive, since every call starts a process
MINIMUM_RATE = 50_000  # bytes a second; a slower download is stopped, and the next command resumes it
MINIMUM_S = 600  # seconds that every download may take
TIMES_LARGER = 100  # than its zip; a larger ratio is taken for a zip bomb
SMALL = 1 << 30  # bytes that the content of a zip may always have
PROGRESS_S = 10  # seconds between two progress lines

Report = Callable[[str], None]


@dataclass(frozen=True)
class ListedFile:
    """A file in the service's list. name: path with folders; bytes: size, 0 if unknown."""

    name: str
    bytes: int


def download_files(service: Service, slug: str, folder: Path, report: Report) -> bool:
    """Download all files of a competition into `folder` and unpack zips; False if they were complete already.

    Raises:
        GoldfoldError: the service refused or gave no answer (see `service.call`), a file differs from the list
            (`download_incomplete`), a zip is unsafe (`archive_unsafe`), the disk is full (`disk_full`), or `folder`
            has files that were not downloaded by this function (`folder_not_downloaded`).
    """
    listed, known = list_files(service, slug), folder.with_name(f"{folder.name}.json")
    report(f"{len(listed):,} files, {_size(sum(file.bytes for file in listed))}")
    if folder.exists():
        if not known.exists():
            raise GoldfoldError(
                "folder_not_downloaded",
                f"{folder} contains files that were not downloaded: move it away, then run the command again",
            )
        plain = [file for file in listed if not _packed(file)]
        if read_json(known) == [asdict(file) for file in listed] and all(_matches(folder / f.name, f) for f in plain):
            return False
    partial = folder.with_name(f"{folder.name}.partial")
    _collect(service, slug, listed, partial, report)
    _unpack_listed(listed, partial, report)
    known.unlink(missing_ok=True)  # it describes files that are about to be replaced
    _install(listed, partial, folder)
    write_json(known, [asdict(file) for file in listed])
    return True


def list_files(service: Service, slug: str) -> list[ListedFile]:
    """List the files of a competition.

    Raises:
        GoldfoldError: there are no files, or a name points outside the folder.
    """
    answer = call(service, "files", slug=slug)["files"]
    found = [ListedFile(file["name"], int(file.get("totalBytes", 0))) for file in answer]
    if not found:
        raise GoldfoldError(
            "no_files_listed", f"'{slug}' lists no files: see https://www.kaggle.com/competitions/{slug}/data"
        )
    for file in found:
        if not archives.is_safe_name(file.name):
            raise GoldfoldError(
                "unsafe_file_name",
                f"'{slug}' lists a file {file.name!r} that would be written outside its folder: nothing was downloaded",
            )
    return found


def _collect(service: Service, slug: str, listed: Sequence[ListedFile], partial: Path, report: Report) -> None:
    """Download the missing files into `partial/files`."""
    files, incoming = partial / "files", partial / "incoming"
    for place in (files, incoming):
        place.mkdir(parents=True, exist_ok=True)
    wanted = [file for file in listed if not _matches(files / file.name, file)]
    if len(wanted) < len(listed):
        report(f"{len(listed) - len(wanted):,} of them were downloaded before")
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
        with _progress_reported(incoming, file.bytes, report):
            came = _download(service, slug, file.name, incoming / f"{listed.index(file)}", file.bytes)
        _accept(came, file, files)
        report(f"{file.name}  {_size(file.bytes)}  {number} of {len(wanted)}")


def _download(service: Service, slug: str, file: str | None, place: Path, size: int) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    limit = MINIMUM_S + size / MINIMUM_RATE
    return Path(call(service, "download", limit_s=limit, slug=slug, file=file, folder=place.resolve())["path"])


def _accept(came: Path, file: ListedFile, files: Path) -> None:
    """Check a downloaded file and move it to its place; Kaggle zips some files one by one."""
    if Path(file.name).name not in (came.name, unquote(came.name)):  # the client takes names from URLs
        inside = came.parent / "unpacked"
        archives.remove(inside)
        names = archives.unpack(came, inside, _size_limit(came, file.bytes))
        if names != [Path(file.name).name]:
            raise GoldfoldError(
                "download_incomplete",
                f"{came} should contain only {file.name}, found {', '.join(names[:3])}: run the command again",
            )
        came = inside / names[0]
    if not _matches(came, file):
        size = came.stat().st_size
        archives.remove(came.parent)
        raise GoldfoldError(
            "download_incomplete",
            f"{file.name} has {size:,} bytes, but {file.bytes:,} are listed: run the command again",
        )
    (files / file.name).parent.mkdir(parents=True, exist_ok=True)
    os.replace(came, files / file.name)


def _collect_all(service: Service, slug: str, listed: Sequence[ListedFile], partial: Path, report: Report) -> None:
    """Download all files as one archive; the client resumes a broken download."""
    total = sum(file.bytes for file in listed)
    with _progress_reported(partial / "incoming", total, report):
        came = _download(service, slug, None, partial / "incoming" / "all", total)
    report(f"{came.name}  {_size(came.stat().st_size)}, unpacking")
    archives.remove(partial / "files")
    archives.unpack(came, partial / "files", _size_limit(came, total))
    wrong = [file.name for file in listed if not _matches(partial / "files" / file.name, file)]
    if wrong:
        archives.remove(came)
        archives.remove(partial / "files")
        raise GoldfoldError(
            "download_incomplete",
            f"{len(wrong):,} of {len(listed):,} files differ from the list, first {wrong[0]}: run the command again",
        )


def _unpack_listed(listed: Sequence[ListedFile], partial: Path, report: Report) -> None:
    """Unpack zips among the files, each into a folder of its name: train.zip becomes train/."""
    archives.remove(partial / "unpacked")
    for file in listed:
        if not _packed(file):
            continue
        source, place = partial / "files" / file.name, partial / "unpacked" / file.name[: -len(".zip")]
        report(f"{file.name}  unpacking")
        archives.unpack(source, place, _size_limit(source))
        inside = list(place.iterdir())
        if [each.name for each in inside] == [place.name]:  # the zip holds one file or folder with the zip's name
            shallow = place.with_name(f"{place.name}.inside")
            os.replace(place, shallow)
            os.replace(shallow / place.name, place)
            shallow.rmdir()


def _install(listed: Sequence[ListedFile], partial: Path, folder: Path) -> None:
    """Move the unpacked files to the others, and replace `folder` by all of them."""
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


def download_leaderboard(service: Service, slug: str, folder: Path) -> Path:
    """Download the competition's leaderboard as a zip into `folder`; raises as `service.call` does."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as incoming:
        came = call(service, "leaderboard", slug=slug, folder=Path(incoming).resolve())["path"]
        os.replace(came, folder / f"{slug}.zip")
    return folder / f"{slug}.zip"


def _packed(file: ListedFile) -> bool:
    return file.name.lower().endswith(".zip")


def _matches(path: Path, file: ListedFile) -> bool:
    return path.is_file() and (not file.bytes or path.stat().st_size == file.bytes)


def _size_limit(archive: Path, expected: int = 0) -> int:
    """Largest allowed size of a zip's content in bytes: as listed, else TIMES_LARGER times the size of the zip."""
    return expected or max(SMALL, TIMES_LARGER * archive.stat().st_size)


@contextmanager
def _progress_reported(folder: Path, total: int, report: Report) -> Iterator[None]:
    """Report the downloaded size every PROGRESS_S seconds."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(PROGRESS_S):
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
    """Format a number of bytes.

    >>> _size(59_760), _size(3)
    ('59.8 KB', '3 bytes')
    """
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("gigabytes have no end")

"""Safe unpacking of downloaded zip archives: only below one folder, and at most a given number of bytes."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from goldfold.errors import GoldfoldError

RESERVE = 1 << 30  # bytes of disk space that must stay free
CHUNK = 1 << 20
MEMBERS = 5_000_000  # largest number of files in an archive
REGULAR = (0, stat.S_IFREG, stat.S_IFDIR)  # 0: the archive states no file type


def unpack(archive: Path, folder: Path, limit: int) -> list[str]:
    """Unpack `archive` into the new folder `folder`; returns the names of the files.

    limit: largest total size of the files, in bytes.

    Raises:
        GoldfoldError: the zip is damaged (`archive_damaged`); a name points outside the folder or occurs twice, a
            member is a link, a device or encrypted, or the files exceed `limit` (`archive_unsafe`); or the disk has
            too little space (`disk_full`). `folder` is removed.
    """
    folder.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as packed:
            members = packed.infolist()
            _check(archive, members, limit)
            _check_room(archive, folder, sum(member.file_size for member in members))
            return [_write(archive, packed, member, folder, limit) for member in members if not member.is_dir()]
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        FileExistsError,
        NotADirectoryError,
    ) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise GoldfoldError(
            "archive_damaged", f"{archive} cannot be unpacked ({error}): remove it and download it again"
        ) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def is_safe_name(name: str) -> bool:
    """Whether a file name stays inside the folder it is written to, on every operating system."""
    windows, parts = PureWindowsPath(name), PurePosixPath(name).parts
    plain = not (windows.drive or windows.root or "\\" in name or "\0" in name)
    short = all(len(part.encode("utf-8", "replace")) < 256 for part in parts)
    return plain and short and bool(parts) and ".." not in parts


def _check(archive: Path, members: list[zipfile.ZipInfo], limit: int) -> None:
    """Check names, types and sizes that the archive states, before anything is written."""
    if len(members) > MEMBERS:
        raise _refused(archive, f"it contains {len(members):,} files, and at most {MEMBERS:,} are allowed")
    seen: set[str] = set()
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)
        if not is_safe_name(member.orig_filename):
            raise _refused(archive, f"the name {member.orig_filename!r} would be written outside the folder")
        if kind not in REGULAR:
            raise _refused(archive, f"{member.filename!r} is a link or a device, not a file")
        if member.flag_bits & 1:
            raise _refused(archive, f"{member.filename!r} is encrypted")
        name = PurePosixPath(member.filename).as_posix()
        if name in seen and not member.is_dir():
            raise _refused(archive, f"{member.filename!r} is in it twice")
        seen.add(name)
    _check_size(archive, sum(member.file_size for member in members), limit)


def _check_size(archive: Path, size: int, limit: int) -> None:
    if size > limit:
        raise _refused(archive, f"it contains {size:,} bytes, and at most {limit:,} were expected")


def _check_room(archive: Path, folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free - RESERVE:
        raise GoldfoldError(
            "disk_full",
            f"{archive} needs {size:,} bytes and the disk has {free:,} free: make room, then run the command again",
        )


def _write(archive: Path, packed: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, limit: int) -> str:
    """Write one file and count its bytes, since the sizes that an archive states need not be true."""
    path = folder / member.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with packed.open(member) as source, path.open("xb") as target:
        while data := source.read(CHUNK):
            written += len(data)
            _check_size(archive, written, min(limit, member.file_size))
            target.write(data)
    if written != member.file_size:
        raise zipfile.BadZipFile(f"{member.filename} is truncated")
    return path.relative_to(folder).as_posix()


def _refused(archive: Path, reason: str) -> GoldfoldError:
    return GoldfoldError("archive_unsafe", f"{archive} was not unpacked: {reason}. Check where the archive came from")


def remove(path: Path) -> None:
    """Remove a file or a folder if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()

"""A submission in a zip, as Kaggle takes it: one CSV file, unpacked in memory; no name of it becomes a path."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib

from goldfold.errors import GoldfoldError

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # of a zip, and of an empty one
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def unpacked(data: bytes, largest: int) -> bytes:
    """Return the file in a zip, of at most `largest` bytes; other data is returned as it is.

    Raises:
        GoldfoldError: `submission_zip_invalid`.
    """
    if not data.startswith(MAGIC):
        return data
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            member = _only(packed.infolist(), largest)
            with packed.open(member) as file:
                found = file.read(largest + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise _invalid(f"it is damaged ({error})") from error
    if len(found) > largest:
        raise _invalid(f"its file is larger than it says, and than {largest:,} bytes")
    return found


def _only(members: list[zipfile.ZipInfo], largest: int) -> zipfile.ZipInfo:
    """The one member, if it is a plain file without a path, a password, or more than `largest` bytes."""
    if len(members) != 1:
        raise _invalid(f"it has {len(members):,} members")
    member = members[0]
    name, mode = member.orig_filename, member.external_attr >> 16
    if any(sign in name for sign in "/\\:\0") or name in ("", ".", ".."):
        raise _invalid(f"its member {name[:100]!r} has a path")
    if member.is_dir() or stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise _invalid(f"its member {name[:100]!r} is no plain file")
    if member.flag_bits & 0x1:
        raise _invalid("it has a password")
    if member.compress_type not in METHODS:
        raise _invalid(f"its compression method {member.compress_type} is not deflate")
    if member.file_size > largest:
        raise _invalid(f"its file has {member.file_size:,} bytes, more than {largest:,}")
    return member


def _invalid(fault: str) -> GoldfoldError:
    return GoldfoldError(
        "submission_zip_invalid", f"the zip must hold one CSV file and nothing else, but {fault}: send the CSV itself"
    )

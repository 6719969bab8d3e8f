"""Zips of a submission: one plain CSV file is unpacked in memory, and nothing else."""

from __future__ import annotations

import io
import stat
import tracemalloc
import zipfile

import pytest
from error_codes import raises_code

from goldfold.submission.zipped import unpacked

LARGEST = 10**6
CSV = b"id,p\n1,0.5\n"


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, mode: int = 0, flag: int = 0) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as file:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = method, mode << 16
            file.writestr(info, data)
        for info in file.infolist():
            info.flag_bits |= flag
    return made.getvalue()


GOOD = zipped(("a.csv", CSV))
WRONG = {
    "nothing": (zipped(), "0 members"),
    "two files": (zipped(("a.csv", CSV), ("b.csv", CSV)), "2 members"),
    "a path": (zipped(("deep/a.csv", CSV)), "has a path"),
    "the folder above": (zipped(("../a.csv", CSV)), "has a path"),
    "dots": (zipped(("..", CSV)), "has a path"),
    "an absolute path": (zipped(("/etc/passwd", CSV)), "has a path"),
    "a path of Windows": (zipped(("C:\\a.csv", CSV)), "has a path"),
    "a name that ends early": (GOOD.replace(b"a.csv", b"a\0csv"), "has a path"),
    "a folder": (zipped(("deep/", b"")), "has a path"),
    "a link": (zipped(("a.csv", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777), "no plain file"),
    "a device": (zipped(("a.csv", b""), mode=stat.S_IFCHR), "no plain file"),
    "a password": (zipped(("a.csv", CSV), flag=1), "password"),
    "lzma": (zipped(("a.csv", CSV), method=zipfile.ZIP_LZMA), "compression method 14"),
    "a bomb": (zipped(("a.csv", bytes(10**8))), "100,000,000 bytes"),
    "a bomb that says it is small": (
        zipped(("a.csv", bytes(10**8))).replace((10**8).to_bytes(4, "little"), (10**3).to_bytes(4, "little")),
        "damaged",
    ),
    "another sum": (zipped(("a.csv", CSV), method=zipfile.ZIP_STORED).replace(b"0.5", b"0.6"), "damaged"),
    "half of it": (GOOD[: len(GOOD) // 2], "damaged"),
    "another size": (GOOD[:-2], "damaged"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_another_zip_is_refused_in_a_sentence(fault):
    data, told = WRONG[fault]
    tracemalloc.start()
    with raises_code("submission_zip_invalid", told):
        unpacked(data, LARGEST)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * LARGEST


def test_one_file_is_unpacked_whatever_its_name():
    for name in ("a.csv", "数.csv", "a b", "x" * 1000):
        assert unpacked(zipped((name, CSV)), LARGEST) == CSV
    assert unpacked(zipped(("a.csv", CSV), method=zipfile.ZIP_STORED), LARGEST) == CSV
    assert unpacked(zipped(("a.csv", CSV), mode=stat.S_IFREG | 0o644), LARGEST) == CSV


def test_what_is_no_zip_stays_as_it_is():
    for data in (b"", CSV, CSV + GOOD, b"PK"):
        assert unpacked(data, LARGEST) == data

"""Downloads through the real client from the real board, and zips that mean harm."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import served_board

from goldfold.errors import GoldfoldError
from goldfold.kaggle import archives, downloads, leaderboards, service

MEGABYTE = 1 << 20


def packed(path: Path, files: dict[str, bytes], **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


# --- zips --------------------------------------------------------------------------------------------------------


def test_an_honest_zip_is_unpacked_whole(tmp_path):
    files = {"train/图 1.png": b"1" * 3 * MEGABYTE, "test.csv": b"id\n1\n", "empty.txt": b"", "./a/b..c/d": b"2"}
    path = packed(tmp_path / "x.zip", files)
    with zipfile.ZipFile(path, "a") as file:
        file.mkdir("a folder")
    names = archives.unpack(path, tmp_path / "out", 4 * MEGABYTE)
    assert sorted(names) == ["a/b..c/d", "empty.txt", "test.csv", "train/图 1.png"]
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files} == files


def kind(mode: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo("link")
    member.create_system, member.external_attr = 3, mode << 16
    return member


HOSTILE = {
    "above": ("../evil", "would be written outside the folder"),
    "above, later": ("a/../../evil", "would be written outside the folder"),
    "absolute": ("/tmp/evil", "would be written outside the folder"),
    "Windows, above": ("..\\evil", "would be written outside the folder"),
    "Windows, drive": ("C:/evil", "would be written outside the folder"),
    "Windows, share": ("//host/share/evil", "would be written outside the folder"),
    "endless name": ("a" * 300, "would be written outside the folder"),
    "link": (kind(stat.S_IFLNK | 0o777), "is a link or a device"),
    "pipe": (kind(stat.S_IFIFO | 0o666), "is a link or a device"),
    "block device": (kind(stat.S_IFBLK | 0o666), "is a link or a device"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_leads_out_or_is_no_file_is_refused(name, tmp_path):
    member, complaint = HOSTILE[name]
    path = tmp_path / "deep" / "x.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("good.csv", "id\n")
        file.writestr(member, "/etc/passwd")
    with pytest.raises(GoldfoldError, match=complaint):
        archives.unpack(path, tmp_path / "deep" / "out", MEGABYTE)
    assert [each.name for each in tmp_path.rglob("*")] == ["deep", "x.zip"]


def test_names_that_come_twice_and_secrets_are_refused(tmp_path):
    path = packed(tmp_path / "x.zip", {"a": b"1"})
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("a", b"2")
    with pytest.raises(GoldfoldError, match="is in it twice"):
        archives.unpack(path, tmp_path / "out", MEGABYTE)
    with pytest.raises(GoldfoldError, match="cannot be unpacked"):
        archives.unpack(packed(tmp_path / "y.zip", {"a": b"1", "a/b": b"2"}), tmp_path / "out", MEGABYTE)
    data = bytearray(packed(tmp_path / "z.zip", {"a": b"1"}).read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "z.zip").write_bytes(data)
    with pytest.raises(GoldfoldError, match="is encrypted"):
        archives.unpack(tmp_path / "z.zip", tmp_path / "out", MEGABYTE)
    assert not (tmp_path / "out").exists()


def test_a_bomb_is_refused_by_what_it_says_and_by_what_it_holds(tmp_path):
    path = packed(tmp_path / "x.zip", {"zeros": bytes(20 * MEGABYTE)}, compresslevel=9)
    assert path.stat().st_size < 100_000
    with pytest.raises(GoldfoldError, match="contains 20,971,520 bytes, and at most 1,048,576"):
        archives.unpack(path, tmp_path / "out", MEGABYTE)
    data = path.read_bytes()
    size = (20 * MEGABYTE).to_bytes(4, "little")
    assert data.count(size) == 2
    path.write_bytes(data.replace(size, (1000).to_bytes(4, "little")))  # it lies about its size
    with pytest.raises(GoldfoldError, match="cannot be unpacked"):
        archives.unpack(path, tmp_path / "out", MEGABYTE)
    assert not (tmp_path / "out").exists()


def test_what_is_cut_off_or_no_zip_is_refused(tmp_path):
    path = packed(tmp_path / "x.zip", {"a": os.urandom(1000)})
    data = path.read_bytes()
    path.write_bytes(data[:300] + bytes(8) + data[308:])
    for each in (path, Path(__file__)):
        with pytest.raises(GoldfoldError, match="cannot be unpacked"):
            archives.unpack(each, tmp_path / "out", MEGABYTE)
        assert not (tmp_path / "out").exists()


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "RESERVE", shutil.disk_usage(tmp_path).free)
    with pytest.raises(GoldfoldError, match="make room"):
        archives.unpack(packed(tmp_path / "x.zip", {"a": b"1"}), tmp_path / "out", MEGABYTE)


# --- from the board ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    folder = served_board.make_project(tmp_path_factory.mktemp("served"))
    served_board.goldfold(folder, "host-add", "--comp", "sums")
    files = folder / "board" / "competitions" / served_board.SLUG / "public"
    images = {f"{number}.png": bytes([number]) * 100 for number in range(5)}
    packed(files / "stage1_train.zip", images)  # as Kaggle packs folders: bare, or with their own name again
    packed(files / "masks.zip", {f"masks/{name}": data for name, data in images.items()})
    packed(files / "labels.csv.zip", {"labels.csv": b"id,y\n1,2\n"})
    with served_board.served(folder) as served:
        yield served


def download_files(board: served_board.Served, folder: Path, slug: str = served_board.SLUG) -> tuple[bool, list[str]]:
    said: list[str] = []
    return downloads.download_files(service.local(board.project / "board"), slug, folder, said.append), said


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


IMAGES = {f"{folder}/{number}.png" for folder in ("stage1_train", "masks") for number in range(5)}
ALL = {"train.csv", "test.csv", "sample_submission.csv", "deep/note 1.txt", "labels.csv"} | IMAGES


def test_everything_listed_arrives_unpacked_and_only_once(board, tmp_path):
    new, said = download_files(board, tmp_path / "raw")
    assert new
    assert names(tmp_path / "raw") == ALL
    assert (tmp_path / "raw" / "labels.csv").read_bytes() == b"id,y\n1,2\n"
    source = board.project / "data" / "sums" / "public" / "train.csv"
    assert (tmp_path / "raw" / "train.csv").read_bytes() == source.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw", "raw.json"]
    assert said[0].startswith("7 files, ")
    assert sum(" of 7" in line for line in said) == 7
    new, said = download_files(board, tmp_path / "raw")
    assert not new
    assert len(said) == 1
    (tmp_path / "raw" / "test.csv").unlink()  # no longer as listed
    assert download_files(board, tmp_path / "raw")[0]
    assert names(tmp_path / "raw") == ALL


def test_many_files_come_in_one_archive(board, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "ONE_BY_ONE", 2)
    new, said = download_files(board, tmp_path / "raw")
    assert new
    assert names(tmp_path / "raw") == ALL
    assert any(f"{served_board.SLUG}.zip" in line for line in said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw", "raw.json"]


@pytest.mark.slow
def test_finished_files_are_not_fetched_again(board, tmp_path):
    """What is marked as finished comes through unread: its bytes are ours, not the board's."""
    finished = tmp_path / "raw.partial" / "files" / "train.csv"
    finished.parent.mkdir(parents=True)
    size = (board.project / "data" / "sums" / "public" / "train.csv").stat().st_size
    finished.write_bytes(b"x" * size)
    (finished.parent / "test.csv").write_bytes(b"broken off")  # not as long as listed
    said = download_files(board, tmp_path / "raw")[1]
    assert said[1] == "1 of them were downloaded before"
    assert not any(line.startswith("train.csv") for line in said)
    assert (tmp_path / "raw" / "train.csv").read_bytes() == b"x" * size
    assert (tmp_path / "raw" / "test.csv").read_bytes() != b"broken off"


@pytest.mark.slow
def test_a_kill_in_the_middle_is_made_good(board, tmp_path):
    """The child ends itself when the second file is there; the next start fetches the others alone."""
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom goldfold.kaggle import downloads, service\n"
        "def report(line):\n    if ' 2 of ' in line: os.kill(os.getpid(), 9)\n"
        "downloads.download_files(service.local(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3]), report)\n"
    )
    command = [sys.executable, "-c", script, board.project / "board", served_board.SLUG, tmp_path / "raw"]
    assert subprocess.run(command, check=False).returncode == -9
    assert not (tmp_path / "raw").exists()
    assert len(names(tmp_path / "raw.partial" / "files")) == 2
    said = download_files(board, tmp_path / "raw")[1]
    assert said[1] == "2 of them were downloaded before"
    assert sum(" of 5" in line for line in said) == 5
    assert names(tmp_path / "raw") == ALL


def test_files_of_the_user_are_left_alone(board, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "mine.csv").write_text("mine")
    with pytest.raises(GoldfoldError, match="not downloaded: move it away"):
        download_files(board, tmp_path / "raw")
    assert names(tmp_path) == {"raw/mine.csv"}


def test_a_bomb_among_the_files_leaves_nothing_behind(board, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "SMALL", 100)
    monkeypatch.setattr(downloads, "TIMES_LARGER", 0.1)
    with pytest.raises(GoldfoldError, match=r"zip was not unpacked: it contains 500 bytes"):
        download_files(board, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_refusals_say_what_to_do(board, tmp_path, monkeypatch):
    with pytest.raises(GoldfoldError, match="check that the slug is spelled"):
        download_files(board, tmp_path / "raw", "sums-of-too")
    empty = tmp_path / "empty"
    empty.mkdir()
    # nobody to be: the client must not even try to reach a host, so every way out leads nowhere
    for name in [name for name in os.environ if name.lower().startswith("kaggle")]:
        monkeypatch.delenv(name)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("HOME", str(empty))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(empty))
    with pytest.raises(GoldfoldError, match=r"no Kaggle credentials: .*kaggle\.json"):
        downloads.download_files(service.kaggle(), served_board.SLUG, tmp_path / "raw", print)
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("name", ["../evil.csv", "/etc/evil.csv", "C:\\evil.csv"])
def test_a_listing_cannot_name_files_outside(name, monkeypatch):
    monkeypatch.setattr(downloads, "call", lambda *_, **__: {"files": [{"name": name, "totalBytes": 1}]})
    with pytest.raises(GoldfoldError, match="outside its folder"):
        downloads.list_files(None, "x")


def test_what_is_not_as_listed_is_not_kept(tmp_path):
    came = tmp_path / "incoming" / "0" / "a.csv"
    came.parent.mkdir(parents=True)
    came.write_bytes(b"123")
    with pytest.raises(GoldfoldError, match="has 3 bytes, but 4 are listed"):
        downloads._accept(came, downloads.ListedFile("a.csv", 4), tmp_path / "files")
    assert not came.exists()
    zipped = packed(tmp_path / "incoming" / "1" / "a.csv.zip", {"a.csv": b"1234"})  # Kaggle packs some on the way
    downloads._accept(zipped, downloads.ListedFile("deep/a.csv", 4), tmp_path / "files")
    assert (tmp_path / "files" / "deep" / "a.csv").read_bytes() == b"1234"
    other = packed(tmp_path / "incoming" / "2" / "a.csv.zip", {"b.csv": b"1234"})
    with pytest.raises(GoldfoldError, match=r"should contain only a\.csv, found b\.csv"):
        downloads._accept(other, downloads.ListedFile("a.csv", 4), tmp_path / "files")


def test_the_command_downloads_prepares_and_brings_the_board(board):
    board.scored(board.submit(served_board.rows(31337.0)))
    said = served_board.goldfold(board.project, "download", "--comp", "sums", "--to", "local")
    assert "raw: download complete" in said
    assert "public: 80 train rows, 80 test rows" in said
    public = leaderboards.read(board.project / "data" / "sums" / "leaderboard", higher_is_better=False)
    assert public[0].name == "public"
    assert len(public[0].scores) == 1
    said = served_board.goldfold(board.project, "download", "--comp", "sums", "--to", "local")
    assert "raw: already complete" in said

"""All files below a folder, through linked folders."""

from __future__ import annotations

from pathlib import Path

from error_codes import raises_code

from goldfold.io.files import files_below


def test_linked_folders_are_followed_in_the_order_of_paths(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    for path in (folder / "b.txt", folder / "a.txt", folder / "z" / "c.txt", other / "d.txt"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (folder / "linked").symlink_to(other)
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    found = [path.relative_to(folder).as_posix() for path in files_below(folder)]
    assert found == ["a.txt", "b.txt", "linked/d.txt", "z/c.txt"]


def test_a_link_to_a_folder_that_holds_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "again").symlink_to(tmp_path)
    with raises_code("link_loop", tmp_path / "inside" / "again", "remove the link"):
        list(files_below(tmp_path))

"""Files are replaced whole."""

import os
import stat

import pytest

from seqlab.files import files_below, write_atomically


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch):
    target = tmp_path / "file"
    write_atomically(target, b"old")

    def fail(*paths: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_file_has_the_mode_that_the_umask_gives(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


def test_a_link_keeps_pointing_at_its_file(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "file")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "file").read_bytes() == b"new"


def test_the_files_below_a_folder_are_those_that_can_be_read_to_their_end(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("a")
    (tmp_path / "b").symlink_to(tmp_path / "sub" / "a")
    (tmp_path / "c").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "d")
    assert [path.name for path in files_below(tmp_path)] == ["b", "a"]
    assert [path.name for path in files_below(tmp_path, regular=False)] == ["b", "c", "d", "a"]

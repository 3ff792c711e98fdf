"""An output is whole or absent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from diaphane.core.errors import OutputError
from diaphane.core.files import replacing, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    write_text(target, "old")

    def fail_half_way() -> None:
        with replacing(target) as beside:
            beside.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_swapped_whole(tmp_path: Path) -> None:
    target = tmp_path / "result"
    for content in ("one", "two"):
        with replacing(target) as beside:
            beside.mkdir()
            (beside / content).write_text(content)
    assert [p.name for p in target.iterdir()] == ["two"]
    assert list(tmp_path.iterdir()) == [target]


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        write_text(tmp_path / "file" / "out.txt", "x")


def test_an_error_of_reading_stays_what_it_is(tmp_path: Path) -> None:
    def read_inside() -> None:
        with replacing(tmp_path / "out" / "copy.txt"):
            (tmp_path / "absent").read_text()

    with pytest.raises(FileNotFoundError, match="absent"):
        read_inside()


@pytest.mark.skipif(sys.platform == "win32", reason="file-size limits are POSIX")
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys\n"
        "from diaphane.core.errors import OutputError\n"
        "from diaphane.core.files import write_bytes\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    write_bytes(sys.argv[1], b'x' * 100000)\n"
        "except OutputError as error:\n"
        "    print(error)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "big.bin")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "disk is full" in out.stdout
    assert list(tmp_path.iterdir()) == []

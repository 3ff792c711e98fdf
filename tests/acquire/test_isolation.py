"""Codecs that break down, hang or take all memory refuse one file; the program goes on."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pydicom
import pytest
from pydicom.data import get_testdata_file

import misbehaving
from diaphane.acquire import read
from diaphane.acquire.isolation import Budget, isolated
from diaphane.core.errors import OverLimit, UnreadableFile

ROOM = Budget(512 * 2**20, 60.0, 60.0)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="bounds that only Linux keeps")


def pids(count=1):
    return {
        facts["pid"] for facts, _ in isolated(misbehaving.answers, Path("x"), ROOM, count=count)
    }


def test_answers_come_in_order_with_their_facts_from_another_process():
    found = list(isolated(misbehaving.answers, Path("x"), ROOM))
    assert [facts["number"] for facts, _ in found] == [0, 1, 2]
    assert [array.tolist() for _, array in found] == [[], [[1, 1]], [[2, 2], [2, 2]]]
    assert all(facts["pid"] != os.getpid() for facts, _ in found)


def test_a_worker_is_used_again():
    assert pids() == pids()


def test_a_crash_refuses_the_file_and_no_other():
    with pytest.raises(UnreadableFile, match=r"x\.dcm.*broke down"):
        list(isolated(misbehaving.crashes, Path("x.dcm"), ROOM))
    assert pids()


@pytest.mark.parametrize(
    ("task", "budget"),
    [
        (misbehaving.hangs, Budget(2**29, 60.0, 0.5)),
        pytest.param(misbehaving.spins, Budget(2**29, 0.2, 60.0), marks=LINUX),
        pytest.param(misbehaving.hogs, Budget(2**29, 60.0, 60.0), marks=LINUX),
    ],
)
def test_too_slow_or_too_large_is_refused(task, budget):
    with pytest.raises(OverLimit, match=r"x\.dcm"):
        list(isolated(task, Path("x.dcm"), budget))
    assert pids()


def test_what_codecs_print_does_not_disturb():
    ((_, array),) = isolated(misbehaving.chatters, Path("x"), ROOM)
    assert array.tolist() == [0, 0, 0]


@LINUX
def test_a_worker_writes_no_file(tmp_path):
    with pytest.raises(UnreadableFile):
        list(isolated(misbehaving.writes, tmp_path / "x", ROOM))
    assert not (tmp_path / "x").exists() or not (tmp_path / "x").read_bytes()


def test_an_answer_that_is_not_heard_to_its_end_does_not_reach_the_next():
    first = isolated(misbehaving.answers, Path("x"), ROOM, count=50)
    next(first)
    first.close()
    assert [f["number"] for f, _ in isolated(misbehaving.answers, Path("x"), ROOM)] == [0, 1, 2]


def test_threads_have_a_worker_each():
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(
                lambda n: list(isolated(misbehaving.answers, Path("x"), ROOM, count=n)), range(30)
            )
        )
    assert [len(one) for one in found] == list(range(30))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_children_have_workers_of_their_own():
    before = pids()
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        theirs = pool.map(_pids, range(2))
    assert all(found.isdisjoint(before) for found in theirs)
    assert pids() == before


def _pids(_):
    return pids()


PROGRAM = """
import sys, diaphane
for path in sys.argv[1:]:
    print(diaphane.read(path).voxels.sum(), flush=True)
"""


def compressed():
    return get_testdata_file("MR_small_RLE.dcm")


def test_a_script_without_a_guard_reads_and_leaves_no_process(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    where = tmp_path / "data"
    where.mkdir()
    (where / "json.py").write_text("raise SystemExit('imported from the folder of data')")
    done = subprocess.run(
        [sys.executable, script, compressed()],
        cwd=where, env=os.environ | _mark(script), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == int(read(compressed()).voxels.sum())
    assert not _workers(script)


def test_workers_of_a_killed_program_end(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PROGRAM + "import time; time.sleep(60)\n")
    with subprocess.Popen(
        [sys.executable, script, compressed()],
        env=os.environ | _mark(script), stdout=subprocess.PIPE,
    ) as program:  # fmt: skip
        assert program.stdout.readline()
        assert _workers(script)
        program.kill()
    until = time.monotonic() + 20
    while _workers(script) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _workers(script)


def _mark(script):
    """By which the processes of a script are told from those of other tests."""
    return {"STARTED_BY": str(script)}


def _workers(script):
    """Worker processes that a script has started."""
    found = set()
    for process in psutil.process_iter(["cmdline", "status", "environ"]):
        told = process.info["environ"] or {}
        words = process.info["cmdline"] or []
        if "diaphane.acquire.worker" in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found |= {process.pid} if told.get("STARTED_BY") == str(script) else set()
    return found


def test_a_compressed_frame_reads_as_without_a_worker():
    path = compressed()
    stored = pydicom.dcmread(path)
    assert np.array_equal(read(path).voxels[0], stored.pixel_array)

"""``diaphane`` on the command line, each command a process of its own.

Importing the libraries takes longer than most commands, so a server imports them once and every
command is a fork of it; where a system has no such server, Python starts anew.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_LIBRARIES = (
    "diaphane.apps", "diaphane.cli", "diaphane.explain", "diaphane.learn", "diaphane.report",
    "diaphane.serve", "pynetdicom", "SimpleITK", "highdicom", "nibabel", "onnx", "onnxruntime", "pydicom", "scipy.ndimage",
    "scipy.optimize", "skimage.measure", "sklearn.metrics", "sklearn.model_selection",
    "torch._dynamo",
)  # fmt: skip
_HAS_SERVER = "forkserver" in multiprocessing.get_all_start_methods()


class Command:
    """A command at work; made once it has begun."""

    def __init__(self, *words: object, cwd: Path | None = None) -> None:
        system = multiprocessing.get_context("forkserver" if _HAS_SERVER else "spawn")
        if _HAS_SERVER:
            system.set_forkserver_preload(list(_LIBRARIES))
        self._room = tempfile.TemporaryDirectory()
        self._said = Path(self._room.name) / "out", Path(self._room.name) / "err"
        self.words = ["diaphane", *map(str, words)]
        self._process = system.Process(
            target=_main, args=(self.words, cwd or Path.cwd(), dict(os.environ), *self._said)
        )
        self._process.start()
        while self.running and not self._said[1].exists():
            time.sleep(0.005)

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.exitcode is None

    def send(self, number: int) -> None:
        """Send a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def done(self, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Wait for its end; exit code, and what it wrote to standard output and error."""
        self._process.join(timeout)
        if self.running:
            self._process.kill()
            self._process.join()
        code = self._process.exitcode
        out, err = (path.read_text() if path.exists() else "" for path in self._said)
        self._room.cleanup()
        return subprocess.CompletedProcess(self.words, code, out, err)


def diaphane(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return Command(*words, cwd=cwd).done()


def _main(argv: list[str], cwd: Path, environment: dict[str, str], out: Path, err: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = argv
    from diaphane.cli import main

    main()

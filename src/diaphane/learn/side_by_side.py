"""Networks side by side: each job in a process of its own, all on the one copy of the dataset.

Small networks gain nothing from a second core, two of them do. Jobs are forks: they share the
memory of what was read (copy on write), and what they learn is a function of their own seed, so
neither their number nor their order changes a result. Where forks are unsafe, or one job is at
work at a time, jobs run one after another in this process.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NoReturn

import torch

from diaphane.core import errors
from diaphane.core.errors import DiaphaneError

Message = dict[str, Any]
"""What a job tells while it works, and what it comes to: values that JSON can hold."""
Send = Callable[[Message], None]
Job = Callable[[Send], Message]
Heard = Callable[[str, Message], None]

_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG, prctl(2)


def can_fork(device: torch.device) -> bool:
    """Whether jobs may be forks of this process.

    Only Linux; and a process that has met a GPU cannot be forked, even to compute on the CPU.
    """
    return sys.platform == "linux" and device.type == "cpu" and not torch.cuda.is_available()


def side_by_side(
    jobs: Mapping[str, Job], at_once: int, heard: Heard, *, threads: int = 1
) -> dict[str, Message]:
    """Run jobs, ``at_once`` at a time, and return what each came to.

    Parameters
    ----------
    jobs:
        By name, begun in this order. A job tells by the function that it is handed.
    at_once:
        With 1 they run in this process.
    heard:
        Called in this process with a job's name and what it tells.
    threads:
        Compute threads of each forked job.

    Raises
    ------
    DiaphaneError
        What a job raised; the others are stopped, as a kill would.
    MemoryError
        A process was ended from outside, which is how a full memory shows.
    """
    if at_once <= 1:
        return {name: job(lambda said, n=name: heard(n, said)) for name, job in jobs.items()}  # type: ignore[misc]  # the default binds the name
    waiting, results = iter(jobs.items()), dict[str, Message]()
    running: dict[int, _Running] = {}
    try:
        with selectors.DefaultSelector() as inbox:
            while True:
                while len(running) < at_once and (begun := next(waiting, None)) is not None:
                    started = _Running(*begun, threads)
                    running[started.reads] = started
                    inbox.register(started.reads, selectors.EVENT_READ)
                if not running:
                    return results
                for key, _ in inbox.select():
                    at_work = running[key.fd]
                    for said in at_work.messages():
                        if "result" in said:
                            results[at_work.name] = said["result"]
                        elif "raised" in said:
                            raise _error(at_work.name, said["raised"])
                        else:
                            heard(at_work.name, said)
                    if at_work.ended:
                        inbox.unregister(key.fd)
                        del running[key.fd]
                        status = at_work.close()
                        if at_work.name not in results:
                            raise MemoryError(
                                f"The process of {at_work.name} was ended from outside ({status})."
                            )
    finally:
        for at_work in running.values():
            at_work.stop()


class _Running:
    """One forked job, as its parent sees it."""

    def __init__(self, name: str, job: Job, threads: int) -> None:
        self.name, self.ended, self._rest = name, False, b""
        self.reads, writes = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        self.process = os.fork()
        if self.process == 0:
            os.close(self.reads)
            _work(job, writes, threads, parent)
        os.close(writes)

    def messages(self) -> Iterator[Message]:
        """What came in since the last call, whole lines only."""
        came = os.read(self.reads, 1 << 16)
        self.ended = not came
        *lines, self._rest = (self._rest + came).split(b"\n")
        for line in lines:
            yield json.loads(line)

    def close(self) -> int:
        """Reap the process; its exit status."""
        os.close(self.reads)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])

    def stop(self) -> None:
        """End the process now, as a kill would; its saved state stays."""
        with suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)
        self.close()


def _work(job: Job, writes: int, threads: int, parent: int) -> NoReturn:
    """What the forked process does; it never returns to the code that it was forked from."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(code)
        torch.set_num_threads(threads)

        def send(said: Message) -> None:
            line = json.dumps(said).encode() + b"\n"
            while line:
                line = line[os.write(writes, line) :]

        try:
            send({"result": job(send)})
            code = 0
        except KeyboardInterrupt:
            code = 130  # the parent was interrupted as well, and says so
        except BaseException as error:  # noqa: BLE001 - handed to the parent, which raises it
            send({"raised": _told(error)})
    finally:
        os._exit(code)


def _told(error: BaseException) -> Message:
    if isinstance(error, DiaphaneError):
        return {
            "class": type(error).__name__, "problem": error.problem, "path": error.path,
            "remedy": error.remedy,
        }  # fmt: skip
    if isinstance(error, MemoryError):
        return {"class": "MemoryError", "problem": str(error)}
    return {"class": "", "problem": "".join(traceback.format_exception(error))}


def _error(name: str, told: Message) -> Exception:
    """The exception that a job raised, as far as it can be told."""
    kind = getattr(errors, told["class"], None) if told["class"] else None
    if kind is not None and issubclass(kind, DiaphaneError):
        made: Exception = kind(told["problem"], path=told["path"], remedy=told["remedy"])
        return made
    if told["class"] == "MemoryError":
        return MemoryError(told["problem"])
    return RuntimeError(f"{name} failed:\n{told['problem']}")

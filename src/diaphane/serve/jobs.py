"""The durable queue: one small file a job, written whole before anything is done about it.

::

    OUT/queue/NAME.json          to do
    OUT/queue/done/NAME.json     done
    OUT/queue/failed/NAME.json   given up, with the reason; moved back up it is tried again

NAME is that of the study's folder, or of a storage commitment to be reported.
"""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from diaphane.core.files import write_bytes
from diaphane.serve.slots import synchronise


@dataclass(frozen=True)
class Job:
    """What is to be done, and how far it has come.

    Attributes
    ----------
    name:
        Of the file, without its ending.
    stage:
        "arrived" (to be audited), "analyze", "deliver", "report" (storage commitment), or "done".
    study:
        Study Instance UID.
    results:
        DICOM results to deliver, relative to ``OUT``.
    sent:
        Those that the peer has.
    transaction, objects, peer:
        Of a storage commitment: its UID, ``(class, instance)`` pairs, and AE@HOST:PORT.
    since:
        Seconds since 1970 at which the stage began.
    problem:
        Why it was given up.
    """

    name: str
    stage: str
    study: str = ""
    results: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()
    transaction: str = ""
    objects: tuple[tuple[str, str], ...] = ()
    peer: str = ""
    since: float = field(default_factory=time.time)
    problem: str = ""

    def at(self, stage: str, **changes: Any) -> Job:
        """The job at another stage."""
        return replace(self, stage=stage, since=time.time(), **changes)


@dataclass
class _Turn:
    """When a job's turn comes again, and how often it failed."""

    failures: int = 0
    after: float = 0.0


class Queue:
    """The jobs of one receiver; safe for its threads.

    Parameters
    ----------
    folder:
        ``OUT/queue``.
    retry, longest:
        Seconds until the first try again, doubled at each failure up to the longest.
    """

    def __init__(self, folder: Path, retry: float, longest: float = 600.0) -> None:
        self._folder, self._retry, self._longest = folder, retry, longest
        self._done, self._failed = folder / "done", folder / "failed"
        self._news = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._turns: dict[str, _Turn] = {}
        for place in (folder, self._done, self._failed):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            for left in place.glob(".*"):  # of a write that a kill cut off
                shutil.rmtree(left, ignore_errors=True)
        for path in sorted(folder.glob("*.json")):
            job = _read(path)
            self._jobs[job.name] = job

    def jobs(self) -> list[Job]:
        """All that is to do."""
        with self._news:
            return list(self._jobs.values())

    def put(self, job: Job, *, held: bool = False) -> None:
        """Add a job or note how far it has come; on the disk on return.

        A held one has no turn until it is released, or until the next start.
        """
        text = json.dumps(asdict(job), indent=1)
        write_bytes(self._folder / f"{job.name}.json", text.encode(), durable=True)
        with self._news:
            self._jobs[job.name] = job
            self._turns.setdefault(job.name, _Turn(after=math.inf if held else 0.0))
            self._news.notify_all()

    def release(self, job: Job) -> None:
        """Give a held job its turn."""
        with self._news:
            self._turns[job.name] = _Turn()
            self._news.notify_all()

    def drop(self, job: Job) -> None:
        """Forget a job that never began."""
        with self._news:
            self._jobs.pop(job.name, None)
            self._turns.pop(job.name, None)
        (self._folder / f"{job.name}.json").unlink(missing_ok=True)

    def finish(self, job: Job, problem: str = "") -> None:
        """Put a job away as done, or as given up because of ``problem``."""
        self.put(job.at("done" if not problem else job.stage, problem=problem))
        place = self._failed if problem else self._done
        (self._folder / f"{job.name}.json").replace(place / f"{job.name}.json")
        synchronise(place)
        synchronise(self._folder)
        with self._news:
            self._jobs.pop(job.name, None)
            self._turns.pop(job.name, None)

    def again(self, job: Job) -> int:
        """Let a job wait, longer each time; how often it has failed since the start."""
        with self._news:
            turn = self._turns.setdefault(job.name, _Turn())
            turn.failures += 1
            wait = min(self._retry * 2 ** (turn.failures - 1), self._longest)
            turn.after = time.monotonic() + wait
            return turn.failures

    def next(self, stages: frozenset[str], wait: float) -> Job | None:
        """The oldest job of these stages whose turn it is, waiting at most ``wait`` seconds."""
        with self._news:
            found = self._ready(stages)
            if found is None:
                self._news.wait(wait)
                found = self._ready(stages)
            return found

    def finished(self, before: float) -> list[Job]:
        """Jobs done before a time (seconds since 1970)."""
        old = [_read(path) for path in self._done.glob("*.json")]
        return [job for job in old if job.since < before]

    def forget(self, job: Job) -> None:
        """Remove the record of a job that is done."""
        (self._done / f"{job.name}.json").unlink(missing_ok=True)

    def _ready(self, stages: frozenset[str]) -> Job | None:
        now = time.monotonic()
        ready = [
            job
            for job in self._jobs.values()
            if job.stage in stages and self._turns.get(job.name, _Turn()).after <= now
        ]
        return min(ready, key=lambda job: job.since, default=None)


def _read(path: Path) -> Job:
    known = json.loads(path.read_text(encoding="utf-8"))
    known["objects"] = tuple((c, i) for c, i in known["objects"])
    known["results"], known["sent"] = tuple(known["results"]), tuple(known["sent"])
    return Job(**known)

"""What is done with a study once it is whole: audited, analysed, its results delivered."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from diaphane.acquire.network import Delivery, Line, Peer, as_word, outgoing, send
from diaphane.core.errors import DiaphaneError, NetworkError
from diaphane.privacy import Pseudonymiser
from diaphane.privacy.audit import AuditChain
from diaphane.privacy.events import Event
from diaphane.serve.commitment import Commitment, Request, send_report
from diaphane.serve.jobs import Job, Queue
from diaphane.serve.slots import synchronise
from diaphane.serve.store import Store

_LOG = logging.getLogger("diaphane.serve")
Analyze = Callable[[Path, Path], Sequence[Path]]
_TRIES = 3
_DELIVERIES = frozenset(("deliver", "report"))
_ANALYSES = frozenset(("analyze",))
_ARRIVALS = frozenset(("arrived",))


@dataclass(frozen=True)
class Plan:
    """What a receiver does with studies.

    Attributes
    ----------
    analyze:
        From a study's folder to DICOM results in another folder. A ``DiaphaneError`` is final;
        after another exception it is tried three times.
    send_to:
        Who gets the results.
    line:
        Own title and TLS for reports of storage commitment.
    keep_seconds:
        How long studies stay after the last thing was done with them; ``None``: for good.
    """

    line: Line
    analyze: Analyze | None = None
    send_to: Line | None = None
    keep_seconds: float | None = None


class Work:
    """The threads behind the receiver.

    Parameters
    ----------
    folder:
        ``OUT``.
    store, queue:
        Of this folder.
    plan:
        What to do.
    """

    def __init__(self, folder: Path, store: Store, queue: Queue, plan: Plan) -> None:
        self._folder, self._store, self._queue, self._plan = folder, store, queue, plan
        self._results, self._bench = folder / "results", folder / "work"
        self._audit = AuditChain()
        self._names = Pseudonymiser.load()
        self._over = threading.Event()
        shutil.rmtree(self._bench, ignore_errors=True)
        for job in queue.jobs():
            if job.stage == "arrived" and not (store.studies / job.name).is_dir():
                queue.drop(job)  # a kill came between announcing the move and making it
        self._threads = [
            threading.Thread(target=self._turns, args=arguments, daemon=True)
            for arguments in (
                (_ARRIVALS, self._arrived),
                (_ANALYSES, self._analyzed),
                (_DELIVERIES, self._delivered),
            )
        ]

    def start(self) -> None:
        """Begin, also with what an earlier process left."""
        for thread in self._threads:
            thread.start()

    def stop(self, wait: float) -> None:
        """Begin nothing new; what is under way is done again at the next start."""
        self._over.set()
        until = time.monotonic() + wait
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def announce(self, uid: str, name: str) -> Callable[[], None]:
        """Note that a study is about to be handed on under a name; call the answer once it is."""
        job = Job(name, "arrived", study=uid)
        self._queue.put(job, held=True)
        return lambda: self._queue.release(job)

    def commit_later(self, request: Request, peer: Peer) -> None:
        """Note that a storage commitment is to be reported to a peer."""
        self._queue.put(
            Job(
                f"commitment-{request.transaction}", "report", transaction=request.transaction,
                objects=request.objects, peer=str(peer),
            )
        )  # fmt: skip

    def clear_old(self) -> None:
        """Delete what was kept for as long as it was to be."""
        if self._plan.keep_seconds is None:
            return
        for job in self._queue.finished(time.time() - self._plan.keep_seconds):
            if job.study:
                for place in (self._store.studies, self._results):
                    shutil.rmtree(place / job.name, ignore_errors=True)
                self._record("delete", job, {})
            self._queue.forget(job)

    def pseudonym(self, uid: str) -> str:
        """What a study is called in logs and in the audit."""
        return self._names.pseudonym(uid, "study")

    # -- turns -------------------------------------------------------------------------------

    def _turns(self, stages: frozenset[str], step: Callable[[Job], None]) -> None:
        while not self._over.is_set():
            job = self._queue.next(stages, 0.5)
            if job is None or self._over.is_set():
                continue
            try:
                step(job)
            except NetworkError as error:
                _LOG.warning("%s (waiting)", error)
                self._queue.again(job)
            except DiaphaneError as error:
                _LOG.error("%s given up: %s", self._called(job), error.code)
                self._queue.finish(job, f"{error.code}: {error.problem}")
            except Exception as error:  # noqa: BLE001  # a thread that ends would stop all others
                kind = type(error).__name__
                _LOG.error("%s failed: %s", self._called(job), kind)
                if self._queue.again(job) >= _TRIES and job.stage == "analyze":
                    self._queue.finish(job, f"{kind}, {_TRIES} times")

    def _arrived(self, job: Job) -> None:
        folder = self._store.studies / job.name
        files = [entry.path for entry in os.scandir(folder)]
        self._record("receive", job, {"files": len(files)})
        _LOG.info("%s handed on: %d objects", self._called(job), len(files))
        if self._plan.analyze is None:
            self._queue.finish(job)
        elif not any(_is_image(path) for path in files):
            _LOG.info("%s has no new image: not analysed", self._called(job))
            self._queue.finish(job)
        else:
            self._queue.put(job.at("analyze"))

    def _analyzed(self, job: Job) -> None:
        if self._plan.analyze is None:
            raise DiaphaneError("There is no app to analyse with any more.")
        bench = self._bench / f"{job.name}-{time.monotonic_ns()}"
        bench.mkdir(parents=True, mode=0o700)
        try:
            made = self._plan.analyze(self._whole(job, bench), bench / "results")
            names = [path.relative_to(bench / "results") for path in made]
            final = self._results / job.name
            self._results.mkdir(exist_ok=True, mode=0o700)
            shutil.rmtree(final, ignore_errors=True)
            _synchronise_tree(bench / "results")
            (bench / "results").rename(final)
            synchronise(self._results)
        finally:
            shutil.rmtree(bench, ignore_errors=True)
        self._record("analyze", job, {"results": len(names)})
        _LOG.info("%s analysed: %d DICOM results", self._called(job), len(names))
        results = tuple(str((final / name).relative_to(self._folder)) for name in names)
        if self._plan.send_to is None or not results:
            self._queue.finish(replace(job, results=results))
        else:
            self._queue.put(job.at("deliver", results=results))

    def _whole(self, job: Job, bench: Path) -> Path:
        """The study's folder; with what came before it, where it is an addition."""
        parts = self._store.parts(job.study)
        mine = self._store.studies / job.name
        earlier = [part for part in parts if part == mine or _before(part, mine)]
        if len(earlier) < 2:
            return mine
        union = bench / "study"
        union.mkdir(mode=0o700)
        for part in earlier:
            for entry in os.scandir(part):
                with contextlib.suppress(FileExistsError):
                    _link(Path(entry.path), union / entry.name)
        return union

    def _delivered(self, job: Job) -> None:
        if job.stage == "report":
            self._report(job)
            return
        line = self._plan.send_to
        if line is None:
            raise DiaphaneError("There is nobody to send results to any more.")
        sent = list(job.sent)

        def note(delivery: Delivery) -> None:
            if delivery.problem is None:
                sent.append(str(delivery.file.path.relative_to(self._folder)))
                self._queue.put(replace(job, sent=tuple(sent)))
            else:
                _LOG.warning("%s: %s", self._called(job), delivery.problem)

        left = [outgoing(self._folder / name) for name in job.results if name not in job.sent]
        send(left, line, note)
        if len(sent) < len(job.results):
            raise NetworkError(f"{line.peer}: not all results were taken.")
        self._record("send", job, {"files": len(sent), "to": as_word(line.peer)})
        _LOG.info("%s: %d results are with %s", self._called(job), len(sent), line.peer)
        self._queue.finish(replace(job, sent=tuple(sent)))

    def _report(self, job: Job) -> None:
        request = Request(job.transaction, job.objects)
        report = Commitment(self._store, self.commit_later).report(request)
        own = self._plan.line
        line = Line(Peer.parse(job.peer), own.title, own.tls, own.timeout)
        send_report(line, report)
        self._queue.finish(job)

    def _record(self, action: str, job: Job, detail: dict[str, str | int | float]) -> None:
        self._audit.append(Event(action, self.pseudonym(job.study), detail))

    def _called(self, job: Job) -> str:
        return f"study {self.pseudonym(job.study)}" if job.study else "storage commitment"


def _is_image(path: str) -> bool:
    """Whether a received file is an image, not a mask, a report or another thing about one."""
    from pydicom.filereader import read_file_meta_info

    return "Image Storage" in read_file_meta_info(path).MediaStorageSOPClassUID.name


def _before(part: Path, mine: Path) -> bool:
    return (len(part.name), part.name) < (len(mine.name), mine.name)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a drive without hard links
        shutil.copyfile(source, target)


def _synchronise_tree(folder: Path) -> None:
    """Have what an analysis wrote on the disk before the queue speaks of it."""
    for place, _, names in os.walk(folder):
        for name in names:
            with (Path(place) / name).open("rb+") as file:
                os.fsync(file.fileno())
        synchronise(Path(place))

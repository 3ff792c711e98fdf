"""The receiver: it listens, and what it acknowledges is kept."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from diaphane.acquire.network import Line, Peer, Tls, require_pynetdicom
from diaphane.core.errors import NetworkError, OutputError, UsageError
from diaphane.serve.access import Access, Limits, is_loopback
from diaphane.serve.answers import Answer
from diaphane.serve.association import Conversation, Node
from diaphane.serve.commitment import Commitment
from diaphane.serve.jobs import Queue
from diaphane.serve.offered import contexts
from diaphane.serve.store import Room, Store
from diaphane.serve.wire import Wire
from diaphane.serve.work import Analyze, Plan, Work

_LOG = logging.getLogger("diaphane.serve")
_SPARE = 32  # connections beyond the associations, only to be told that there are too many


@dataclass(frozen=True)
class Service:
    """What a receiver is told.

    Attributes
    ----------
    folder:
        ``OUT``.
    access:
        Own title and who may call.
    host, port:
        Where to listen; port 0 takes a free one.
    limits, room:
        Bounds of the line and of the store.
    quiet:
        Seconds without news after which a study is handed on.
    tls:
        Both sides show certificates, when given.
    analyze, send_to:
        What to do with a study, and who gets its results.
    retry:
        Seconds until a delivery that failed is tried again; doubled up to ten minutes.
    keep_days:
        How long finished studies stay; ``None``: for good.
    """

    folder: Path
    access: Access
    host: str = "127.0.0.1"
    port: int = 11112
    limits: Limits = field(default_factory=Limits)
    room: Room = field(default_factory=Room)
    quiet: float = 30.0
    tls: Tls | None = None
    analyze: Analyze | None = None
    send_to: Line | None = None
    retry: float = 5.0
    keep_days: float | None = None


class Receiver:
    """A receiver that listens from its making on; :meth:`run` serves until :meth:`stop`.

    Parameters
    ----------
    service:
        What it is told.

    Raises
    ------
    MissingExtra
        pynetdicom is not installed.
    UsageError
        Nobody could call, the port is taken, or another receiver has the folder.
    OutputError
        The folder cannot be written.
    """

    def __init__(self, service: Service) -> None:
        require_pynetdicom("Receiving")
        service.access.check()
        if not service.access.peers and not is_loopback(service.host):
            raise UsageError(
                "Without --peer only this machine may call, so it would listen to others in vain.",
                remedy="Name who may call: --peer AE@HOST, once each.",
            )
        self._service = service
        self._tls = None if service.tls is None else service.tls.context(server=True)
        folder = service.folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._held = _hold(folder)
            self._store = Store(folder, service.room)
            queue = Queue(folder / "queue", service.retry)
        except OSError as error:
            raise OutputError(
                f"Cannot be written: {error.strerror or error}.", path=folder
            ) from error
        keep = None if service.keep_days is None else service.keep_days * 86_400
        own = Line(Peer(service.access.title, service.host), service.access.title, service.tls)
        self._work = Work(
            folder, self._store, queue, Plan(own, service.analyze, service.send_to, keep)
        )
        self._lines: set[Wire] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.counts: Counter[str] = Counter()
        self._node = Node(
            service.access,
            service.limits,
            self._store,
            Commitment(self._store, self._work.commit_later),
            contexts(),
            lambda: len(self._lines) > service.limits.associations,
            self._count,
        )
        self._socket = _listen(service.host, service.port)
        self.port = int(self._socket.getsockname()[1])

    def run(self) -> None:
        """Serve until stopped; associations that are open then are closed."""
        self._work.start()
        keeper = threading.Thread(target=self._keep, daemon=True)
        keeper.start()
        self._socket.settimeout(0.5)
        try:
            while not self._over.is_set():
                try:
                    connection, address = self._socket.accept()
                except TimeoutError:
                    continue
                except OSError as error:
                    _LOG.error("a connection could not be accepted: %s", error.strerror)
                    time.sleep(0.1)  # out of file handles: some will be given back
                    continue
                self._admit(connection, str(address[0]))
        finally:
            self._socket.close()
            with self._lock:
                for line in self._lines:
                    line.close()
            keeper.join(5)
            self._work.stop(5)
            self._held.close()

    def stop(self) -> None:
        """Have :meth:`run` return soon; may be called from a signal handler."""
        self._over.set()

    def _admit(self, connection: socket.socket, address: str) -> None:
        full = len(self._lines) >= self._service.limits.associations + _SPARE
        if full or not self._service.access.reachable(address):
            if not full:
                _LOG.warning("connection from %s closed: nobody may call from there", address)
            connection.close()
            return
        threading.Thread(target=self._serve, args=(connection, address), daemon=True).start()

    def _serve(self, connection: socket.socket, address: str) -> None:
        line = None
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(self._service.limits.request_seconds)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            line = Wire(connection, self._service.limits.pdu_bytes)
            with self._lock:
                self._lines.add(line)
            Conversation(line, address, self._node).hold()
        except (ssl.SSLError, OSError) as error:
            reason = getattr(error, "reason", None) or error.strerror
            _LOG.warning("connection from %s ended: %s", address, reason)
        except Exception as error:  # noqa: BLE001  # one peer's oddity must not end the others
            _LOG.error("association with %s failed: %s", address, type(error).__name__)
        finally:
            with self._lock:
                if line is not None:
                    self._lines.discard(line)
            with contextlib.suppress(OSError):
                connection.close()
            if line is not None:
                line.close()

    def _keep(self) -> None:
        """Hand quiet studies on, and clear old ones."""
        pause = min(max(self._service.quiet / 4, 0.05), 1.0)
        cleared = 0.0
        while not self._over.wait(pause):
            try:
                self._store.hand_on(self._service.quiet, self._work.announce)
                if time.monotonic() - cleared > 600:
                    cleared = time.monotonic()
                    self._work.clear_old()
            except (OSError, OutputError, NetworkError) as error:
                _LOG.error("a study could not be handed on: %s", type(error).__name__)

    def _count(self, answer: Answer) -> None:
        with self._lock:
            self.counts[answer.code] += 1


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return socket.create_server(found[0][4][:2], family=found[0][0], backlog=128)
    except OSError as error:
        raise UsageError(
            f"Nobody can listen on {host}:{port}: {error.strerror or error}.",
            remedy="Give another --port, or end what listens there.",
        ) from error


class _Hold:
    """A folder that only one process has; the system lets go when the process ends."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(self._handle, msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Let go."""
        os.close(self._handle)


def _hold(folder: Path) -> _Hold:
    try:
        return _Hold(folder / "receiver.lock")
    except (BlockingIOError, PermissionError) as error:
        raise UsageError(
            "Another receiver has this folder.", path=folder, remedy="Give another --out folder."
        ) from error

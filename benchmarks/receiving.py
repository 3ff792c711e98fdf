"""How fast the receiver takes objects, and whether a kill ever costs one.

The same sender (DCMTK's ``storescu``) with the same small objects to ``diaphane receive`` and to
Orthanc, which synchronise every object to the disk (Orthanc's SyncStorageArea is on unless switched
off), and to DCMTK's ``storescp --fork``, which does not; with one and with eight associations,
turns interleaved, once with ``TCP_NODELAY=1`` at both ends and once with the programs' defaults.
Then 2,000 objects over ten associations while the receiver is killed five times.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "receiving.json"
SETTINGS = (("TCP_NODELAY=1", 1, 16), ("TCP_NODELAY=1, 512 x 512", 2, 512), ("defaults", 4, 16))
"""What is said of the sockets, one of how many objects are sent, and their rows and columns."""


def load_peers() -> Any:
    """The tests' makers of objects and starters of peers."""
    spec = importlib.util.spec_from_file_location("peers", ROOT / "tests" / "peers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["peers"] = module
    spec.loader.exec_module(module)
    return module


class Receiver:
    """``diaphane receive`` as a process."""

    def __init__(self, peers: Any, out: Path, quiet: float, environment: dict[str, str]) -> None:
        self.out, self.port, self._peers = out, peers.free_port(), peers
        words = ["receive", "--out", str(out), "--port", str(self.port), "--quiet"]
        self._words = [sys.executable, "-m", "diaphane", *words, "--quiet-for", str(quiet)]
        self._environment = {**environment, "DIAPHANE_HOME": str(out.parent / "home")}
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        self._process = subprocess.Popen(self._words, env=self._environment)
        self._peers.until(lambda: self._peers.listens(self.port), 120)

    def end(self, number: int) -> None:
        """End it by a signal."""
        self._process.send_signal(number)
        self._process.wait()


def seconds(peers: Any, place: str, files: list[Path], senders: int, env: dict[str, str]) -> float:
    """Until all senders are through; every object must be taken."""
    called, _, port = place.rpartition(":")
    began = time.perf_counter()
    running = [
        subprocess.Popen(
            [peers.program("storescu"), "-aec", called, "127.0.0.1", port, *files[k::senders]],
            env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for k in range(senders)
    ]  # fmt: skip
    if any(process.wait() for process in running):
        raise SystemExit("a sender was refused")
    return time.perf_counter() - began


def rates(
    peers: Any, room: Path, turns: int, count: int, *, side: int, env: dict[str, str]
) -> dict[str, Any]:
    """Objects a second by receiver and number of associations, one figure a turn."""
    kept = room / "storescp"
    kept.mkdir(parents=True)
    ours = Receiver(peers, room / "out", 600, env)
    port = peers.free_port()
    theirs = subprocess.Popen(
        [peers.program("storescp"), "--fork", "-od", str(kept), str(port)],
        env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(env)
    archive = peers.Orthanc(room / "orthanc") if peers.program("Orthanc") else None
    os.environ.update(before)
    peers.until(lambda: peers.listens(port))
    places = {"diaphane": f"DIAPHANE:{ours.port}", "storescp --fork": f"ANY:{port}"}
    if archive is not None:
        places["Orthanc"] = f"ORTHANC:{archive.dicom}"
    found: dict[str, Any] = {f"{name}, {n}": [] for n in (1, 8) for name in places}
    try:
        for turn in range(turns):
            for senders in (1, 8):
                files = peers.objects(room / f"{turn}-{senders}", count, side=side)
                first = turn % len(places)
                order = [*list(places)[first:], *list(places)[:first]]
                for name in order:
                    took = seconds(peers, places[name], files, senders, env)
                    found[f"{name}, {senders}"].append(count / took)
    finally:
        ours.end(signal.SIGTERM)
        theirs.terminate()
        theirs.wait()
        if archive is not None:
            archive.stop()
    return found


def storm(peers: Any, room: Path, count: int, kills: int) -> dict[str, Any]:
    """Send while the receiver is killed; what became of every acknowledged object."""
    files = peers.objects(room / "sent", count, studies=20)
    ours = Receiver(peers, room / "out", 2, dict(os.environ))
    began = time.perf_counter()
    sending = peers.Storm(ours.port, files, senders=10)
    at = []
    for number in range(kills):
        sending.wait((number + 1) * count // (kills + 2))
        at.append(len(sending.acknowledged))
        ours.end(signal.SIGKILL)
        ours.start()
    sending.join()
    studies = ours.out / "studies"
    peers.until(lambda: len(list(studies.glob("*/*.dcm"))) >= count, 120)
    took = time.perf_counter() - began
    ours.end(signal.SIGTERM)
    expected = {peers.instance(path): peers.data_set(path) for path in files}
    kept = list(studies.glob("*/*.dcm"))
    places = Counter(path.stem for path in kept)
    return {
        "objects": count,
        "acknowledged": len(set(sending.acknowledged)),
        "killed when so many were acknowledged": at,
        "lost": len(set(expected) - set(places)),
        "twice": sum(n > 1 for n in places.values()),
        "changed": sum(peers.data_set(path) != expected.get(path.stem) for path in kept),
        "seconds": took,
    }


def main() -> int:
    """Measure, print and write."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--turns", type=int, default=5)
    ask.add_argument("--objects", type=int, default=500)
    ask.add_argument("--storm", type=int, default=2000)
    given = ask.parse_args()
    peers = load_peers()
    if not (peers.program("storescu") and peers.program("storescp")):
        print("left out: DCMTK's storescu and storescp are not here")
        return 0
    told: dict[str, Any] = {
        "machine": f"{platform.system()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}",
        "turns": given.turns, "objects a turn": given.objects,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        for setting, share, side in SETTINGS:
            env = {k: v for k, v in os.environ.items() if k != "TCP_NODELAY"}
            if setting != "defaults":
                env["TCP_NODELAY"] = "1"
            room = Path(name) / setting
            found = rates(peers, room, given.turns, given.objects // share, side=side, env=env)
            shutil.rmtree(room)
            told[setting] = found
            print(f"\n| {setting} | objects a second, median (range) | diaphane's against it |")
            print("|---|---|---|")
            for what, values in found.items():
                mine = found[f"diaphane, {what.rpartition(', ')[2]}"]
                ratio = statistics.median(a / b for a, b in zip(mine, values, strict=True))
                middle = statistics.median(values)
                print(
                    f"| {what} | {middle:.0f} ({min(values):.0f} to {max(values):.0f}) | {ratio:.2f} |"
                )
        told["storm"] = storm(peers, Path(name) / "storm", given.storm, 5)
    for what, value in told["storm"].items():
        print(f"{what}: {value}")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    print(f"written: {RESULT}")
    bad = told["storm"]
    return int(bool(bad["lost"] or bad["twice"] or bad["changed"]))


if __name__ == "__main__":
    sys.exit(main())

"""Damaged files, many: none may crash, hang, take a lot of memory, or write anything.

    python benchmarks/hostile.py [--files 10000] [--start 0] [--out benchmarks/results]

Files are made by number (``tests/malformed.py``), so that any of them can be made again. A child
process describes and reads each, as ``diaphane info`` and ``diaphane.read`` do; this one watches
it. A fault is any exception that is no ``DiaphaneError``, a death of the child, more than 10 s of
processor time for one file (other programs may run beside) or five minutes by the clock, more than
1 GiB of all its processes together, or a file that appears anywhere.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 10.0
BYTES = 2**30


def work(start: int, stop: int, folder: Path) -> None:
    """Read files by number; a line of JSON each."""
    sys.path.insert(0, str(ROOT / "tests"))
    from diaphane.acquire import describe, read
    from diaphane.core.errors import DiaphaneError
    from malformed import Corpus  # type: ignore[import-not-found]

    corpus = Corpus(folder / "seeds")
    inputs = folder / "in"
    inputs.mkdir()
    for number in range(start, stop):
        path = corpus.write(number, inputs)
        tell(begin=number)
        told: dict[str, Any] = {"number": number, "name": path.name}
        began = spent()
        for action in (describe, read):
            try:
                action(path)
                told[action.__name__] = "read"
            except DiaphaneError as error:
                told[action.__name__] = error.code
                text = str(error)
                if not text.isprintable() and "\n  " not in text:
                    told["fault"] = f"unprintable message: {text!a}"
            except BaseException as error:  # noqa: BLE001 - that is what is looked for
                told[action.__name__] = type(error).__name__
                told["fault"] = "".join(traceback.format_exception(error)[-6:])
        told["seconds"] = spent() - began
        path.unlink()
        tell(**told)


def spent() -> float:
    """Processor time of this process, its workers, and those that have ended."""
    total = sum(os.times()[:4])
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            total += sum(child.cpu_times()[:2])
    return total


def tell(**message: Any) -> None:
    """One line to the watching process."""
    print(json.dumps(message), flush=True)


class Watch:
    """Memory of a process and its children together, sampled while it works."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._process = psutil.Process(pid)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._end.wait(0.1):
            total = 0
            try:
                for process in (self._process, *self._process.children(recursive=True)):
                    total += process.memory_info().rss
            except psutil.Error:
                continue
            self.peak = max(self.peak, total)

    def stop(self) -> int:
        """End, and give the peak in bytes."""
        self._end.set()
        self._thread.join()
        return self.peak


def batch(start: int, stop: int, found: Counter[str], faults: list[str]) -> tuple[int, float, int]:
    """Files of one child: the next number, the longest time in seconds and the peak in bytes."""
    longest, last = 0.0, start
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for inner in ("home", "tmp", "cwd"):
            (folder / inner).mkdir()
        private = {
            "HOME": folder / "home",
            "DIAPHANE_HOME": folder / "home",
            "TMPDIR": folder / "tmp",
        }
        child = subprocess.Popen(
            [sys.executable, __file__, "--work", str(start), str(stop), name],
            stdout=subprocess.PIPE, text=True, cwd=folder / "cwd",
            env=os.environ | {key: str(value) for key, value in private.items()},
        )  # fmt: skip
        watch = Watch(child.pid)
        alarm = threading.Timer(3600, child.kill)
        assert child.stdout is not None
        for line in child.stdout:
            told = json.loads(line)
            alarm.cancel()
            if "begin" in told:
                last = told["begin"]
                alarm = threading.Timer(30 * SECONDS, child.kill)
                alarm.start()
                continue
            found[f"info: {told['describe']}"] += 1
            found[f"read: {told['read']}"] += 1
            longest = max(longest, told["seconds"])
            if "fault" in told:
                faults.append(f"{told['number']} {told['name']}: {told['fault']}")
            if told["seconds"] > SECONDS:
                faults.append(f"{told['number']} {told['name']}: {told['seconds']:.1f} s")
        alarm.cancel()
        code = child.wait()
        peak = watch.stop()
        if code:
            faults.append(f"{last}: the process ended with {code}")
        if peak > BYTES:
            faults.append(f"{start} to {stop}: {peak / 2**20:.0f} MiB")
        allowed = {folder / "home" / "pseudonym.key"}
        left = [p for d in ("home", "tmp", "cwd", "in") for p in (folder / d).rglob("*")]
        faults += [f"{start} to {stop}: left {p.name}" for p in left if p not in allowed]
    return (last + 1 if code else stop), longest, peak


def main() -> None:
    """Run batches; print and write the outcome."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(int(given.work[0]), int(given.work[1]), Path(given.work[2]))
        return
    found: Counter[str] = Counter()
    faults: list[str] = []
    longest, peak, at, shown, began = 0.0, 0, given.start, 0, time.perf_counter()
    end = given.start + given.files
    while at < end:
        at, slow, high = batch(at, min(at + 500, end), found, faults)
        longest, peak = max(longest, slow), max(peak, high)
        told = f"{at - given.start} files, {len(faults)} faults, {longest:.1f} s, {peak >> 20} MiB"
        print("\n".join([*faults[shown:], told]), flush=True)
        shown = len(faults)
    outcome = {
        "files": given.files, "start": given.start, "faults": faults,
        "longest_seconds": round(longest, 2), "peak_mib": peak >> 20,
        "minutes": round((time.perf_counter() - began) / 60, 1), "outcomes": dict(sorted(found.items())),
    }  # fmt: skip
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "hostile.json").write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(outcome, indent=1))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()

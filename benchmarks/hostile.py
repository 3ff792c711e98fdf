"""Damaged files, many: none may crash, hang, take a lot of memory, or write anything.

    python benchmarks/hostile.py [--files 10000] [--start 0] [--out benchmarks/results]

Files are made by number (``tests/malformed.py``), so that any of them can be made again; one in ten is
a zip archive, one a tar archive, one a DICOMDIR. A child process describes and reads each, as
``diaphane info`` and ``diaphane.read`` do, draws masks from and on it, converts and indexes it, and
gives it to the shipped bundles and apps (these by turns); this one watches it. A fault is any
exception that is no ``DiaphaneError``, a death of the child, an action of more than 10 s of processor
time (other programs may run beside) or five minutes by the clock, more than 1 GiB of all its
processes together, or a file that appears anywhere but where it was asked for.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 10.0
BUNDLES = {"breastmnist-28": 4, "lung-nodule": 8, "hippocampus": 32}
"""Of how many files one is given to it; ``analyze`` gets a quarter of those."""
HOME = ("pseudonym.key", "audit.jsonl", "audit.jsonl.seal", "audit.jsonl.lock")
TABLES = ("labels.csv", "unmatched.csv", "rejected.csv")
BYTES = 2**30


class Actions:
    """What is done with a file: described and read always, the rest by its number.

    Every action gets the file and a folder of its own to write to.
    """

    def __init__(self, corpus: Any, room: Path) -> None:
        from diaphane.acquire import find_series
        from diaphane.bundle import load_bundle

        self.bundles = {name: load_bundle(name, threads=1) for name in BUNDLES}
        room.mkdir()
        for index in range(3):
            (room / f"{index}.dcm").write_bytes(corpus.image(index))
        self.masks = [room / f"{name}.dcm" for name in ("seg", "rtstruct")]
        for path in self.masks:
            path.write_bytes(corpus.seeds[path.name])
        self.grid = find_series([room / f"{index}.dcm" for index in range(3)]).series[0]

    def of(self, number: int, path: Path) -> list[tuple[str, Callable[[Path, Path], object]]]:
        """Names and functions."""
        from diaphane.acquire import describe, read

        found: list[tuple[str, Callable[[Path, Path], object]]] = [
            ("info", lambda file, _: describe(file)),
            ("read", lambda file, _: read(file)),
        ]
        if "seg" in path.name or "rtstruct" in path.name:
            found.append(("draw", self.draw))
        if number % 4 == 0:
            found.append(("drawn on", self.drawn_on))
        if number % 4 == 1:
            found.append(("convert", self.convert))
        if number % 4 == 2:
            found.append(("index", self.index))
        for name, every in BUNDLES.items():
            if number % every == 3 % every:
                found.append((f"predict {name}", partial(self.predict, name)))
            if number % (4 * every) == 5 % (4 * every):
                found.append((f"analyze {name}", partial(self.analyze, name)))
        if number % 8 == 4:
            found.append(("analyze lung-ct", partial(self.analyze, "lung-ct")))
        return found

    def draw(self, file: Path, _: Path) -> object:
        """A damaged mask on whole images."""
        from diaphane.acquire import read_mask, read_segments

        read_segments(file, self.grid)
        return read_mask(file, self.grid, overlap="first")

    def drawn_on(self, file: Path, _: Path) -> object:
        """Whole masks on damaged images."""
        from diaphane.acquire import find_series, read_mask

        return [read_mask(m, s) for s in find_series(file).series[:2] for m in self.masks]

    def convert(self, file: Path, out: Path) -> object:
        """To one of the formats."""
        from diaphane.batch.converting import convert_images

        form = ("a.nii.gz", "a.dcm", "a.nrrd", "a.png", "all")[len(file.read_bytes()) % 5]
        source = file if file.name != "DICOMDIR" else file.parent
        return convert_images(source, out / form)

    def index(self, file: Path, out: Path) -> object:
        """The folder of the file; the table stands at its top."""
        from diaphane.batch.indexing import index

        return index(file.parent, out.parent / "labels.csv")

    def predict(self, bundle: str, file: Path, out: Path) -> object:
        """By a shipped bundle."""
        from diaphane import batch

        return batch.predict(self.bundles[bundle], [file], out / "a.csv")

    def analyze(self, app: str, file: Path, out: Path) -> object:
        """By a shipped bundle or app, with all that it writes."""
        from diaphane.apps.running import analyze

        return analyze(file, app, out / "result", threads=1)


def work(start: int, stop: int, folder: Path) -> None:
    """Do it with files by number; a line of JSON each."""
    sys.path.insert(0, str(ROOT / "tests"))
    from diaphane.core.errors import DiaphaneError
    from malformed import Corpus  # type: ignore[import-not-found]

    corpus = Corpus(folder / "seeds")
    actions = Actions(corpus, folder / "whole")
    inputs, out = folder / "in", folder / "in" / "out"
    inputs.mkdir()
    for number in range(start, stop):
        path = corpus.write(number, inputs)
        tell(begin=number)
        told: dict[str, Any] = {"number": number, "name": path.name, "outcomes": {}, "seconds": 0.0}
        for name, action in actions.of(number, path):
            out.mkdir()
            began = spent()
            try:
                action(path, out)
                told["outcomes"][name] = "done"
            except DiaphaneError as error:
                told["outcomes"][name] = error.code
                text = str(error)
                if not text.isprintable() and "\n  " not in text:
                    told["fault"] = f"{name}: unprintable message: {text!a}"
            except BaseException as error:  # noqa: BLE001 - that is what is looked for
                told["outcomes"][name] = type(error).__name__
                told["fault"] = f"{name}: " + "".join(traceback.format_exception(error)[-6:])
            told["seconds"] = max(told["seconds"], spent() - began)
            shutil.rmtree(out)
            for table in TABLES:
                (inputs / table).unlink(missing_ok=True)
        corpus.remove(path)
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
            found.update(f"{name}: {code}" for name, code in told["outcomes"].items())
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
        allowed = {folder / "home" / name for name in HOME}
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

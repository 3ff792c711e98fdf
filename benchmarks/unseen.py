"""What default settings make of data that nobody tuned for: train, then evaluate the test part.

Four generated sets (``unseen_sets``), each by two commands as a user would type them::

    diaphane train SET --out RUN --time-budget 4m
    diaphane evaluate RUN SET --split test --out RUN/test

The wall time stands beside the budget. ``unseen.py MINUTES [SET ...]``; four minutes by default.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from unseen_sets import SETS

RESULT = Path(__file__).parent / "results" / "unseen.json"
SHOWN = ("auc", "accuracy", "brier", "ece", "dice")


def main(arguments: list[str]) -> int:
    """Run, print a table and write ``results/unseen.json``; sets already there stay in it."""
    minutes = float(arguments[0]) if arguments else 4.0
    chosen = arguments[1:] or list(SETS)
    rows: dict[str, Any] = json.loads(RESULT.read_text())["sets"] if RESULT.is_file() else {}
    with tempfile.TemporaryDirectory() as room:
        for name in chosen:
            dataset = SETS[name](Path(room))
            rows[name] = _one(dataset, Path(room) / f"{name}-run", minutes)
            print(_line(name, rows[name]), flush=True)
    RESULT.parent.mkdir(exist_ok=True)
    about = {"seed": 0, "python": platform.python_version(), "machine": platform.machine()}
    RESULT.write_text(json.dumps({"sets": rows, **about}, indent=2) + "\n")
    return 0


def _one(dataset: Path, run: Path, minutes: float) -> dict[str, Any]:
    """Train and evaluate one set."""
    program = [sys.executable, "-m", "diaphane"]
    began = time.perf_counter()
    budget = ["--time-budget", f"{minutes:g}m", "--quiet"]
    subprocess.run([*program, "train", str(dataset), "--out", str(run), *budget], check=True)
    seconds = time.perf_counter() - began
    out = run.parent / f"{run.name}-test"
    scored = ["evaluate", str(run), str(dataset), "--split", "test", "--out", str(out)]
    subprocess.run([*program, *scored, "--quiet"], check=True)
    found = json.loads((out / "metrics.json").read_text())
    metrics = {name: found["metrics"][name] for name in SHOWN if name in found["metrics"]}
    return {
        "budget_seconds": minutes * 60,
        "train_seconds": round(seconds, 1),
        "n": found["n"],
        "metrics": metrics,
    }


def _line(name: str, row: dict[str, Any]) -> str:
    figures = ", ".join(
        f"{key} {figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
        for key, figure in row["metrics"].items()
        if figure["value"] is not None and figure["low"] is not None
    )
    used = f"{row['train_seconds']:.0f} of {row['budget_seconds']:.0f} s"
    return f"{name:<8} n={row['n']:<5} {used:<16} {figures}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

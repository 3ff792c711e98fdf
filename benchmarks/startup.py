"""How long a person waits before anything happens, as whole processes, interleaved.

``diaphane --help`` and ``import diaphane`` beside ``import numpy``, ``import torch`` and
``import monai`` (where installed); median of the runs, and the bare interpreter for scale.
"""

from __future__ import annotations

import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 9
RESULT = Path(__file__).parent / "results" / "startup.json"


def main() -> None:
    """Measure, print a table and write ``results/startup.json``."""
    commands = {
        "python (nothing)": ["-c", "pass"],
        "import diaphane": ["-c", "import diaphane"],
        "diaphane --help": ["-m", "diaphane", "--help"],
        "import numpy": ["-c", "import numpy"],
    } | {
        f"import {name}": ["-c", f"import {name}"]
        for name in ("torch", "monai")
        if importlib.util.find_spec(name)
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(RUNS + 1):
        for name, arguments in commands.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            if turn:  # the first turn warms the file cache
                seconds[name].append(time.perf_counter() - began)
    medians = {name: round(statistics.median(values), 3) for name, values in seconds.items()}
    for name, value in medians.items():
        print(f"{name:<20} {value:6.3f} s")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(
        json.dumps(
            {"median_seconds": medians, "runs": RUNS, "python": platform.python_version()},
            indent=2,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()

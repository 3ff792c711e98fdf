"""Wall time and peak memory of ``diaphane analyze SERIES --with lung-ct``, as a whole process."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

RUNS = 3
RESULT = Path(__file__).parent / "results" / "analyze.json"


def once(series: str) -> tuple[float, float]:
    """Seconds and peak resident MiB (sampled every 20 ms, children included) of one run."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        out = str(Path(folder) / "result")
        process = psutil.Popen(
            [
                *(sys.executable, "-m", "diaphane", "analyze", series),
                *("--with", "lung-ct", "--out", out, "--quiet"),
            ]
        )
        peak = 0
        while process.poll() is None:
            try:
                family = [process, *process.children(recursive=True)]
                peak = max(peak, sum(p.memory_info().rss for p in family))
            except psutil.NoSuchProcess:
                break
            time.sleep(0.02)
        code = process.wait()
        if code != 0:
            raise SystemExit(f"analyze ended with exit code {code}")
        return time.perf_counter() - began, peak / 2**20


def main(series: str) -> None:
    """Measure, print and write ``results/analyze.json``."""
    once(series)  # warms the file cache
    seconds, memory = zip(*(once(series) for _ in range(RUNS)), strict=True)
    figures = {
        "median_seconds": round(statistics.median(seconds), 2),
        "peak_mib": round(max(memory)),
        "runs": RUNS,
        "cores": psutil.cpu_count(),
    }
    print(figures)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

"""Run the benchmarks: ``make bench``, or ``make bench ARGS='startup resample'``.

Each is a script of its own that prints a table and writes ``benchmarks/results/NAME.json``. Those
that need real data look for it under DIAPHANE_SHARED_DATA and are left out, by name, without it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
DATA = Path(os.environ.get("DIAPHANE_SHARED_DATA", HERE.parents[1] / "shared" / "data"))

BENCHES: dict[str, tuple[list[str], str | None]] = {
    # name: (arguments, data set that it needs)
    "startup": ([], None),
    "loading": ([], None),
    "reading": ([], None),
    "readers": ([str(DATA)], "dicom_zoo"),
    "resample": ([], None),
    "sliding": ([], None),
    "segments": ([], None),
    "deidentification": ([], None),
    "receiving": ([], None),
    "burned_in": (["--data", str(DATA)], "busi_256"),
    "analyze": ([str(DATA / "lung_pet_ct_dx" / "A0001_L")], "lung_pet_ct_dx"),
    "froc": ([str(DATA / "lung_pet_ct_dx" / "A0001_L")], "lung_pet_ct_dx"),
    "unseen": ([], None),
    "hippocampus": ([str(DATA / "msd_hippocampus")], "msd_hippocampus"),
    "kinds": ([str(DATA / "msd_hippocampus")], "msd_hippocampus"),
    "pretraining": (
        [str(DATA / "breastmnist"), str(HERE / "results" / "pretraining"), "--select"],
        "breastmnist",
    ),
    "anomaly": ([str(DATA / "busi_256"), str(HERE / "results" / "anomaly")], "busi_256"),
    "hostile": (["--files", "10000"], None),
    "lidc": ([str(DATA / "lidc_nodules")], "lidc_nodules"),
}


def main(chosen: list[str]) -> int:
    """Run the chosen benchmarks, all of them by default; the worst exit code is returned."""
    unknown = set(chosen) - set(BENCHES)
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
        return 2
    worst = 0
    for name in chosen or BENCHES:
        arguments, needs = BENCHES[name]
        if needs is not None and not (DATA / needs).exists():
            print(f"## {name}: left out, the data set '{needs}' is not in {DATA}")
            continue
        print(f"## {name}", flush=True)
        script = str(HERE / f"{name}.py")
        worst = max(
            worst, subprocess.run([sys.executable, script, *arguments], check=False).returncode
        )
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Identities planted in DICOM files: right actions, leaks, and files a second, by profile.

Score as the MIDI-B challenge does: every planted value has one right action. The maker of the
files and the judge are the tests' (``tests/planted.py``), which follow Table E.1-1 by themselves.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

FILES = 16
SEED = 11
RESULT = Path(__file__).parent / "results" / "deidentification.json"
PROFILES: dict[str, tuple[list[str], list[str]]] = {
    "basic": ([], []),
    "modified dates, descriptors and report content cleaned": (
        ["modified-dates"],
        ["descriptors", "structured-content"],
    ),
    "all that can be combined": (
        ["modified-dates", "device", "institution", "patient-characteristics", "safe-private"],
        ["descriptors", "structured-content", "graphics"],
    ),
    "full dates and UIDs kept": (["full-dates", "uids"], []),
}


def main() -> None:
    """Plant, de-identify, judge, search; print and write ``results/deidentification.json``."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    planted: Any = importlib.import_module("planted")
    judge = importlib.import_module("plant_score").score
    from diaphane.privacy.dicom.checking import check_folder
    from diaphane.privacy.dicom.folder import Order, deidentify_folder
    from diaphane.privacy.dicom.profile import Profile

    rows = []
    with tempfile.TemporaryDirectory() as room:
        os.environ["DIAPHANE_HOME"] = str(Path(room, "home"))
        corpus = planted.plant(Path(room, "in"), FILES, seed=SEED)
        for number, (name, (retain, clean)) in enumerate(PROFILES.items()):
            out = Path(room, f"out{number}")
            profile = Profile(frozenset(retain), frozenset(clean))
            began = time.perf_counter()
            outcome = deidentify_folder(Order(corpus.folder, out, profile))
            seconds = time.perf_counter() - began
            score = judge(corpus, out, set(retain), set(clean))
            left = check_folder(out, corpus.folder).left
            row: dict[str, Any] = {
                "profile": name,
                "planted": score.total,
                "right": sum(score.right.values()),
                "share": round(score.share, 6),
                "leaks": len(score.leaks),
                "found by --check": len(left),
                "refused": len(outcome.refused),
                "seconds": round(seconds, 1),
                "actions": dict(score.right),
            }
            rows.append(row)
            print(row)
            for line in [*score.wrong, *score.leaks][:20]:
                print("   ", line)
    wrong = Counter(row["profile"] for row in rows if row["leaks"] or row["share"] < 0.999)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"files": FILES, "seed": SEED, "profiles": rows}, indent=2) + "\n")
    if wrong:
        raise SystemExit(f"below the aim: {', '.join(wrong)}")


if __name__ == "__main__":
    main()

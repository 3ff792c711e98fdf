"""Normal against lesion, learned from normal images alone.

    python benchmarks/anomaly.py DATASET OUT [--normal normal] [--encoder ENCODER]

A memory is made of DATASET's train cases labelled normal. Reported: the area under the ROC curve of
the train part (normals out of fold, lesions against the whole memory, which makes them look a
little more normal), on which the features were chosen, and of the val part, which was not looked at
before; stratified bootstrap intervals; and how many held-out cases lie above the limit. Writes
``anomaly.json`` in OUT.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire import Entry, open_dataset
from diaphane.core.files import write_text
from diaphane.learn.anomaly import FitOptions, Fitted, fit_anomaly

Floats = NDArray[np.float64]


def main() -> None:
    """Fit, score, sum up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--normal", default="normal")
    parser.add_argument("--encoder", type=Path, default=None)
    options = parser.parse_args()
    entries = open_dataset(options.dataset).entries
    normals = [e for e in entries if e.split == "train" and e.labels["label"] == options.normal]
    began = time.process_time()
    fitted = _fit(options.dataset, normals, options.encoder)
    seconds = time.process_time() - began
    rows = []
    for split in ("train", "val"):
        own = [e for e in entries if e.split == split]
        lesions = [e for e in own if e.labels["label"] != options.normal]
        calm = fitted.scores.astype(np.float64)
        if split != "train":
            calm = _scores(fitted, [e for e in own if e.labels["label"] == options.normal])
        rows.append(_row(fitted, split, calm, _scores(fitted, lesions)))
        print(json.dumps(rows[-1]), flush=True)
    found = {
        "dataset": options.dataset.name,
        "features": fitted.detector.facts.features,
        "memory": len(fitted.detector.memory.memory),
        "fit_cpu_seconds": round(seconds, 1),
        "rows": rows,
    }
    name = "anomaly.json" if options.encoder is None else "anomaly-encoder.json"
    write_text(options.out / name, json.dumps(found, indent=1) + "\n")


def _fit(dataset: Path, normals: list[Entry], encoder: Path | None) -> Fitted:
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / "normals"
        folder.mkdir()
        for number, entry in enumerate(normals):
            picture = (dataset / entry.name).resolve()
            (folder / f"{number:04d}{picture.suffix}").symlink_to(picture)
        return fit_anomaly(folder, Path(room) / "memory", FitOptions(encoder=encoder, threads=1))


def _scores(fitted: Fitted, entries: list[Entry]) -> Floats:
    return np.array([fitted.detector.look(entry.load()).score for entry in entries])


def _row(fitted: Fitted, split: str, calm: Floats, lesions: Floats) -> dict[str, Any]:
    random = np.random.default_rng(0)
    drawn = [
        _auc(random.choice(calm, len(calm)), random.choice(lesions, len(lesions)))
        for _ in range(2000)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    memory = fitted.detector.memory

    def above(scores: Floats) -> float:
        return float(np.mean([memory.quantile(float(s)) >= memory.limit for s in scores]))

    return {
        "split": split,
        "normal": len(calm),
        "lesion": len(lesions),
        "auroc": round(_auc(calm, lesions), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "normal_flagged": round(above(calm), 4),
        "lesion_flagged": round(above(lesions), 4),
    }


def _auc(calm: Floats, lesions: Floats) -> float:
    """Chance that a lesion scores above a normal case."""
    order = np.sort(calm)
    below = np.searchsorted(order, lesions, "left") + np.searchsorted(order, lesions, "right")
    return float(below.mean() / (2 * len(order)))


if __name__ == "__main__":
    main()

"""How many nodules the candidates find, and at how many false ones a scan.

    python benchmarks/froc.py PATH_OF_A_CHEST_CT --scans 8 --each 6 --seed 0
    python benchmarks/froc.py --phantoms 20

The first plants solid nodules of 4 to 20 mm at random places of a real scan's lungs,
away from every large lesion it already has, and segments and searches the scan anew
each time. Real small nodules of that scan count as false. The second uses the
synthetic chest. A candidate hits when its centre is within the nodule's radius or
3 mm, whichever is larger. Writes ``results/froc.json`` and prints a table.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire import read
from diaphane.acquire.phantom import chest_phantom, insert_nodule
from diaphane.anatomy import Candidate, Lungs, propose_candidates, segment_lungs
from diaphane.anatomy.candidates import SHOWN
from diaphane.core.volume import Volume

RESULTS = Path(__file__).parent / "results" / "froc.json"
LARGE_MM = 20.0  # a lesion of the scan itself, near which nothing is planted or counted
RATES = (0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Planted:
    """A true nodule: (x, y, z) LPS in mm, diameter in mm, and what it touches."""

    centre: tuple[float, float, float]
    diameter_mm: float
    kind: str


@dataclass(frozen=True)
class Read:
    """One scan searched: its true nodules, what was proposed, and seconds taken."""

    truth: tuple[Planted, ...]
    candidates: tuple[Candidate, ...]
    seconds: float

    def hits(self) -> list[float | None]:
        """Best score on each true nodule; ``None`` where it was missed."""
        return [
            max((c.score for c in self.candidates if _on(c, n)), default=None) for n in self.truth
        ]

    def false(self) -> list[float]:
        """Scores of the candidates that lie on no true nodule."""
        return [c.score for c in self.candidates if not any(_on(c, n) for n in self.truth)]


def _on(candidate: Candidate, nodule: Planted) -> bool:
    gap = np.linalg.norm(np.subtract(candidate.centre, nodule.centre))
    return bool(gap <= max(3.0, 0.5 * nodule.diameter_mm))


def real_scans(volume: Volume, scans: int, each: int, seed: int) -> Iterator[Read]:
    """``scans`` copies of a real scan with ``each`` nodules planted in every one."""
    lungs = segment_lungs(volume)
    large = [c for c in propose_candidates(volume, lungs, limit=300) if c.radius_mm > LARGE_MM / 2]
    places = _places(volume, lungs, large)
    random = np.random.default_rng(seed)
    for copy in range(scans):
        changed, truth = volume, list[Planted]()
        while len(truth) < each:
            place = places[int(random.integers(len(places)))]
            if any(np.linalg.norm(place - np.asarray(n.centre)) < 40.0 for n in truth):
                continue
            size = float(np.exp(random.uniform(np.log(4.0), np.log(20.0))))
            changed = insert_nodule(
                changed,
                place,
                size,
                seed=seed * 1000 + copy * 100 + len(truth),
                density=float(random.uniform(0.0, 60.0)),
                spiculated=bool(size > 8.0 and random.random() < 0.4),
            )
            x, y, z = (float(v) for v in place)
            truth.append(Planted((x, y, z), size, "anywhere"))
        found = _search(changed)
        kept = tuple(c for c in found[0] if not _near(c.centre, large))
        yield Read(tuple(truth), kept, found[1])


def phantom_scans(count: int, seed: int) -> Iterator[Read]:
    """Synthetic chests with six nodules each."""
    for number in range(seed, seed + count):
        phantom = chest_phantom(number)
        found = _search(phantom.volume)
        truth = tuple(Planted(n.centre, n.diameter_mm, n.kind) for n in phantom.nodules)
        yield Read(truth, found[0], found[1])


def _search(volume: Volume) -> tuple[tuple[Candidate, ...], float]:
    start = time.perf_counter()
    candidates = propose_candidates(volume, segment_lungs(volume), limit=200)
    return tuple(candidates), time.perf_counter() - start


def _places(volume: Volume, lungs: Lungs, large: Sequence[Candidate]) -> NDArray[np.float64]:
    """Patient points in aerated lung, away from the scan's own large lesions."""
    aerated = (lungs.mask > 0) & (np.asarray(volume.voxels) < -700.0)
    points = volume.geometry.to_patient(np.argwhere(aerated)[::97])
    return np.asarray([p for p in points if not _near(p, large)])


def _near(point: Sequence[float] | NDArray[np.float64], large: Sequence[Candidate]) -> bool:
    return any(
        np.linalg.norm(np.subtract(point, c.centre)) < 2.0 * c.radius_mm + 15.0 for c in large
    )


def summary(reads: Sequence[Read]) -> dict[str, Any]:
    """Sensitivity by size at the cut that the app shows, and the FROC curve."""
    hits = [h for r in reads for h in r.hits()]
    sizes = np.array([n.diameter_mm for r in reads for n in r.truth])
    scores = np.array([-1.0 if h is None else h for h in hits])
    false = np.sort([s for r in reads for s in r.false()])[::-1]
    curve = {}
    for rate in RATES:
        allowed = int(rate * len(reads))
        cut = float(false[allowed]) if allowed < len(false) else 0.0
        curve[str(rate)] = round(float((scores > cut).mean()), 3)
    shown = scores >= SHOWN
    parts = {"4-6": sizes < 6.0, "6-10": (sizes >= 6.0) & (sizes < 10.0), "10-20": sizes >= 10.0}
    return {
        "scans": len(reads),
        "nodules": len(sizes),
        "seconds_per_scan": round(float(np.median([r.seconds for r in reads])), 2),
        "sensitivity_shown": round(float(shown.mean()), 3),
        "mm_of_missed": sorted(round(float(v), 1) for v in sizes[~shown]),
        "by_size": {k: [int(shown[m].sum()), int(m.sum())] for k, m in parts.items()},
        "missed_of_6_mm_or_more": int((~shown & (sizes >= 6.0)).sum()),
        "false_per_scan_shown": round(float((false >= SHOWN).sum()) / len(reads), 2),
        "froc": curve,
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scan", nargs="?", type=Path, help="a chest CT: a folder or a file")
    parser.add_argument("--scans", type=int, default=8)
    parser.add_argument("--each", type=int, default=6)
    parser.add_argument("--phantoms", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    new: dict[str, Any] = {}
    if chosen.scan is not None:
        volume = read(chosen.scan)
        reads = list(real_scans(volume, chosen.scans, chosen.each, chosen.seed))
        new["inserted"] = {"seed": chosen.seed, "source": chosen.scan.name} | summary(reads)
    if chosen.phantoms:
        reads = list(phantom_scans(chosen.phantoms, chosen.seed))
        new["phantoms"] = {"seed": chosen.seed} | summary(reads)
    result: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    result |= new
    result["machine"] = f"{platform.machine()}, one thread"
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    for name in ("inserted", "phantoms"):
        if name in result:
            part = result[name]
            row = " | ".join(f"{part['froc'][str(r)]:.2f}" for r in RATES)
            print(f"| {name} | {part['scans']} | {part['nodules']} | {row} |")


if __name__ == "__main__":
    main()

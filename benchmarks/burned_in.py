"""Burned-in text: share of planted lines that are found, and false boxes in clean pictures.

    python benchmarks/burned_in.py --data ../shared/data [--pictures 40] [--seed 5]

Two lines of text are planted in each picture (half planes, so that they never meet), in letters
of 8 to 40 pixels of families that the training did not see. A line counts as found when the
boxes cover at least 80 % of its place. The threshold is chosen on one half of the pictures
(even numbers) and judged on the other half. Pictures: breast ultrasound (BUSI) as it is and
doubled, CT slices with a lung or a soft-tissue window, and generated ones. "Clean" ones are
searched as they come; ultrasound may hold true marks, which then count as false.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diaphane.privacy.pixels.finder import Place, likelihood, lines, scaled
from planting import Picture, background, fonts, plant, words

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
RESULT = Path(__file__).parent / "results" / "burned_in.json"
COVERED = 0.8


def pictures(kind: str, data: Path, count: int, rng: np.random.Generator) -> Iterator[Picture]:
    """Clean pictures of a kind, 0 to 1."""
    if kind == "generated":
        for _ in range(count):
            yield background(rng, 384)
        return
    if kind.startswith("ultrasound"):
        paths = sorted((data / "busi_256").rglob("*.png"))
        for path in rng.choice(np.array(paths), count, replace=False):
            image = Image.open(path).convert("L")
            if kind == "ultrasound doubled":
                image = image.resize((512, 512), Image.Resampling.BILINEAR)
            yield np.asarray(np.asarray(image) / 255, np.float32)
        return
    from pydicom import dcmread

    paths = sorted((data / "lung_pet_ct_dx" / "A0001_L").rglob("*.dcm"))
    for number, path in enumerate(rng.choice(np.array(paths), count, replace=False)):
        slice_ = dcmread(path)
        values = slice_.pixel_array * float(slice_.RescaleSlope) + float(slice_.RescaleIntercept)
        level, width = ((40, 400), (-600, 1500))[number // 2 % 2]
        yield np.clip((values - level) / width + 0.5, 0, 1).astype(np.float32)


def covered(place: tuple[int, int, int, int], boxes: list[Place], shape: tuple[int, ...]) -> bool:
    """Whether the boxes together cover a planted line."""
    mask = painted(boxes, shape)[place[0] : place[2], place[1] : place[3]]
    return bool(mask.mean() >= COVERED)


def painted(boxes: list[Place], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Mask of the boxes."""
    mask = np.zeros(shape[:2], bool)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share."""
    z = 1.96
    share = hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / 4 / count**2)
    return round(float(middle - half), 3), round(float(middle + half), 3)


def one_look(picture: Picture) -> dict[float, list[Place]]:
    """What the finder sees at each threshold in its first look (it looks up to three times)."""
    found: dict[float, set[Place]] = {sure: set() for sure in THRESHOLDS}
    for grey in scaled(picture):
        likely = likelihood(grey)
        for sure in THRESHOLDS:
            found[sure] |= set(lines(likely, grey.shape, sure))
    return {sure: sorted(places) for sure, places in found.items()}


def look(kind: str, data: Path, count: int, seed: int) -> list[dict[str, Any]]:
    """Each planted line and each clean picture, at each threshold."""
    rng = np.random.default_rng([seed, len(kind)])
    faces: list[Path | None] = [*fonts(held_out=True), None]
    rows: list[dict[str, Any]] = []
    for number, clean in enumerate(pictures(kind, data, count, rng)):
        marked = clean.copy()
        planted = []
        for part in (0, 1):
            top = part * len(marked) // 2
            half = marked[top : top + len(marked) // 2]
            size = int(np.exp(rng.uniform(np.log(8), np.log(40))))
            for _ in range(10):
                done = plant(rng, half, words(rng), faces[rng.integers(len(faces))], size)
                if done is not None:
                    a, b, c, d = done.box
                    planted.append((done, (a + top, b, c + top, d)))
                    break
        marked = np.asarray(np.clip(marked, 0, 1) * 255, np.uint8).astype(np.float32)
        seen, unmarked = one_look(marked), one_look(clean)
        for sure in THRESHOLDS:
            boxes = seen[sure]
            row = {"kind": kind, "half": number % 2, "threshold": sure}
            for done, place in planted:
                hit = covered(place, boxes, marked.shape)
                size, contrast = done.size, round(abs(float(done.contrast)), 2)
                rows.append({**row, "what": "line", "hit": hit, "size": size, "contrast": contrast})
            false = unmarked[sure]
            area = float(painted(false, clean.shape).mean())
            rows.append({**row, "what": "clean", "boxes": len(false), "area": area})
    return rows


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By kind, half and threshold, with intervals of 95 %."""
    found = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        for half in (0, 1):
            for sure in THRESHOLDS:
                key = (kind, half, sure)
                mine = [r for r in rows if (r["kind"], r["half"], r["threshold"]) == key]
                asked = [r for r in mine if r["what"] == "line"]
                clean = [r for r in mine if r["what"] == "clean"]
                hits = sum(r["hit"] for r in asked)
                boxes = np.array([r["boxes"] for r in clean])
                again = np.random.default_rng(0).choice(boxes, (2000, len(boxes))).mean(1)
                found.append(
                    {
                        "kind": kind,
                        "half": ("choosing", "judging")[half],
                        "threshold": sure,
                        "lines": len(asked),
                        "recall": round(hits / len(asked), 3),
                        "recall_95": wilson(hits, len(asked)),
                        "clean": len(clean),
                        "false_boxes": round(float(boxes.mean()), 3),
                        "false_boxes_95": [
                            round(float(v), 3) for v in np.percentile(again, (2.5, 97.5))
                        ],
                        "false_area": round(float(np.mean([r["area"] for r in clean])), 4),
                    }
                )
    return found


def by_size(rows: list[dict[str, Any]], sure: float) -> dict[str, tuple[int, float]]:
    """Lines and recall of the judging half by size of letters and by contrast."""
    asked = [r for r in rows if r["what"] == "line" and r["half"] == 1 and r["threshold"] == sure]
    found = {}
    for name, low, high in (("size", 8, 12), ("size", 12, 20), ("size", 20, 41),
                            ("contrast", 0, 0.4), ("contrast", 0.4, 0.7), ("contrast", 0.7, 1.1)):  # fmt: skip
        part = [r["hit"] for r in asked if low <= r[name] < high]
        if part:
            found[f"{name} {low} to {high}"] = len(part), round(sum(part) / len(part), 3)
    return found


def main() -> None:
    """Plant, look, print and write ``results/burned_in.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=40, help="Of each kind.")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for kind in ("ultrasound", "ultrasound doubled", "generated", "CT"):
        rows += look(kind, given.data, given.pictures, given.seed)
        print(kind, flush=True)
    result = {
        "seed": given.seed,
        "by_kind": summary(rows),
        "judging_half_by_letters": {str(s): by_size(rows, s) for s in THRESHOLDS},
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result["by_kind"]))


if __name__ == "__main__":
    main()

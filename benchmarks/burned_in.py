"""Burned-in text: share of planted lines that are found, and false boxes in clean pictures.

    python benchmarks/burned_in.py --data ../shared/data --fonts /usr/share/fonts
        [--part judging] [--pictures 80] [--seed 2026]

Two lines of text are planted in each picture (half planes, so that they never meet), in letters
of 8 to 40 pixels. A line counts as found when the boxes cover at least 80 % of its place. What is
chosen, by hand or by threshold, is chosen with ``--part choosing``; the figures are those of
``--part judging``, on other pictures, other families of fonts and other seeds; training saw
neither. Pictures: breast ultrasound (BUSI; the train part to choose, the val part to judge) as it is and
doubled, CT slices of one patient (the lower three eighths to choose, the rest to judge) with a lung or a
soft-tissue window or with the stored values as the program sees them, and generated ones.

Of all planted lines some cannot be told by anyone (hair lines, grey on grey); figures are given
for all and for those of which four fifths are legible (``planting.told_apart``).
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diaphane.privacy.pixels.finder import Place, text_places
from grounds import background
from planting import FONTS, Part, Picture, Planted, fonts, plant

KINDS = ("ultrasound", "ultrasound doubled", "generated", "CT", "CT as stored")
RESULT = Path(__file__).parent / "results" / "burned_in.json"
MARKS = Path(__file__).parent / "results" / "real_marks.csv"
COVERED = 0.8


def pictures(
    kind: str, data: Path, part: Part, rng: np.random.Generator
) -> Iterator[tuple[str, Picture]]:
    """Names and pictures of a kind in an order of chance; values of any range."""
    if kind == "generated":
        while True:
            yield "", background(rng, 384)
    if kind.startswith("ultrasound"):
        with (data / "busi_256" / "labels.csv").open(encoding="utf-8") as file:
            rows = ["busi_256/" + r["file"] for r in csv.DictReader(file) if (r["split"] == "train") == (part == "choosing")]  # fmt: skip
        for name in rng.permutation(rows):
            image = Image.open(data / name).convert("L")
            if kind == "ultrasound doubled":
                image = image.resize((512, 512), Image.Resampling.BILINEAR)
            yield str(name), np.asarray(image, np.float32)
        return
    from pydicom import dcmread

    slices = [dcmread(path) for path in sorted((data / "lung_pet_ct_dx").rglob("A0001_[LB]/*.dcm"))]
    cut = np.quantile([float(s.ImagePositionPatient[2]) for s in slices], 3 / 8)
    mine = [s for s in slices if (s.ImagePositionPatient[2] < cut) == (part == "choosing")]
    windows = (None,) if kind == "CT as stored" else ((40, 400), (-600, 1500))
    looks = [(one, window) for one in mine for window in windows]
    for at in rng.permutation(len(looks)):
        one, window = looks[at]
        values = one.pixel_array.astype(np.float32)
        if window is not None:
            values = values * float(one.RescaleSlope) + float(one.RescaleIntercept)
            values = np.clip((values - window[0]) / window[1] + 0.5, 0, 1) * 255
        yield "", values


def covered(place: Place, boxes: list[Place], shape: tuple[int, ...]) -> bool:
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


def planted_lines(
    rng: np.random.Generator, picture: Picture, faces: list[list[Path]]
) -> tuple[Picture, list[tuple[Planted, Place]]]:
    """The picture with a line in its upper and one in its lower half, over its own range."""
    low, high = float(picture.min()), float(picture.max())
    high = high if high > low else low + 1
    marked = (picture - low) / (high - low)
    lines = []
    for top in (0, len(marked) // 2):
        half = marked[top : top + len(marked) // 2]
        size = int(np.exp(rng.uniform(np.log(8), np.log(40))))
        for _ in range(20):
            folder = faces[rng.integers(len(faces))]
            done = plant(rng, half, folder[rng.integers(len(folder))], size)
            if done is not None:
                a, b, c, d = done.box
                lines.append((done, (a + top, b, c + top, d)))
                break
    back = np.clip(marked, 0, 1) * (high - low) + low
    return np.round(back).astype(np.float32) if high > 1 else back, lines


def look(kind: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Each planted line and each clean picture."""
    rng = np.random.default_rng([given.seed, len(kind)])
    faces = fonts(given.part, tuple(given.fonts))
    marks = real_marks() if kind.startswith("ultrasound") else {}
    rows: list[dict[str, Any]] = []
    for number, (name, clean) in enumerate(pictures(kind, given.data, given.part, rng)):
        if number == given.pictures:
            break
        marked, planted = planted_lines(rng, clean, faces)
        boxes = text_places(marked)
        row = {"kind": kind}
        for done, place in planted:
            rows.append(
                {
                    **row,
                    "what": "line",
                    "hit": covered(place, boxes, marked.shape),
                    "legible": float(np.mean(done.legible)) >= 0.8,
                    "size": done.size,
                    "contrast": abs(float(done.contrast)),
                    "text": done.text,
                    "font": done.font,
                }
            )
        double = 2 if kind == "ultrasound doubled" else 1
        real = [
            (double * a, double * b, double * c, double * d) for a, b, c, d in marks.get(name, ())
        ]
        inside = painted(real, clean.shape)
        found = text_places(clean)
        false = [b for b in found if not inside[b[0] : b[2], b[1] : b[3]].any()]
        area = float(painted(false, clean.shape).mean())
        rows.append({**row, "what": "clean", "boxes": len(false), "area": area})
        hits = [covered(place, found, clean.shape) for place in real]
        rows += [{**row, "what": "real", "hit": hit} for hit in hits]
    return rows


def real_marks() -> dict[str, list[Place]]:
    """By file, the lines that were in real ultrasound pictures from the start, outlined by eye."""
    found: dict[str, list[Place]] = {}
    with MARKS.open(encoding="utf-8") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            top, left, bottom, right = (int(row[k]) for k in ("top", "left", "bottom", "right"))
            found.setdefault(row["file"], []).append((top, left, bottom, right))
    return found


def screens(data: Path) -> list[dict[str, Any]]:
    """Lines of whole ultrasound screens (the zoo and pydicom's test files), found or not."""
    from pydicom import dcmread
    from pydicom.data import get_testdata_file

    from diaphane.privacy.pixels.finding import frames

    rows: list[dict[str, Any]] = []
    for name, places in real_marks().items():
        if name.startswith("busi"):
            continue
        of_pydicom = name.startswith("pydicom/")
        path = get_testdata_file(name.split("/")[1]) if of_pydicom else data / name
        screen = next(frames(dcmread(str(path))))
        boxes = text_places(screen)
        rows += [{"hit": covered(place, boxes, screen.shape)} for place in places]
    return rows


def shares(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Lines, found ones, and their share with its interval."""
    hits = sum(row["hit"] for row in lines)
    if not lines:
        return {"lines": 0}
    return {
        "lines": len(lines),
        "found": hits,
        "recall": round(hits / len(lines), 3),
        "recall_95": wilson(hits, len(lines)),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of rows: recall of all, of the legible and of the real lines; false boxes with intervals."""
    lines = [r for r in rows if r["what"] == "line"]
    boxes = np.array([r["boxes"] for r in rows if r["what"] == "clean"])
    again = np.random.default_rng(0).choice(boxes, (2000, len(boxes))).mean(1)
    return {
        "all": shares(lines),
        "legible": shares([r for r in lines if r["legible"]]),
        "real": shares([r for r in rows if r["what"] == "real"]),
        "clean": len(boxes),
        "false_boxes": round(float(boxes.mean()), 3),
        "false_boxes_95": [round(float(v), 3) for v in np.percentile(again, (2.5, 97.5))],
        "pictures_with_one": round(float((boxes > 0).mean()), 3),
        "false_area": round(float(np.mean([r["area"] for r in rows if r["what"] == "clean"])), 5),
    }


def by_letters(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Recall by size of letters and by contrast, all kinds together."""
    found = {}
    for name, low, high in (("size", 0, 12), ("size", 12, 20), ("size", 20, 41),
                            ("contrast", 0, 0.4), ("contrast", 0.4, 0.7), ("contrast", 0.7, 1.1)):  # fmt: skip
        part = [r for r in rows if r["what"] == "line" and low <= r[name] < high]
        found[f"{name} {low} to {high}"] = {
            "all": shares(part),
            "legible": shares([r for r in part if r["legible"]]),
        }
    return found


def main() -> None:
    """Plant, look, print and write ``results/burned_in.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fonts", type=Path, nargs="+", default=[FONTS])
    parser.add_argument("--part", choices=("choosing", "judging"), default="judging")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--pictures", type=int, default=80, help="Of each kind, at most.")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    result: dict[str, Any] = {"part": given.part, "seed": given.seed, "by_kind": {}}
    for kind in given.kinds:
        mine = look(kind, given)
        result["by_kind"][kind] = summary(mine)
        print(kind, json.dumps(result["by_kind"][kind]), flush=True)
        rows += mine
    result["screens"] = shares(screens(given.data))
    print("screens", json.dumps(result["screens"]))
    result["by_letters"] = by_letters(rows)
    result["missed"] = [r for r in rows if r["what"] == "line" and r["legible"] and not r["hit"]]
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result["by_letters"]))


if __name__ == "__main__":
    main()

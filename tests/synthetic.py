"""A tiny dataset on disk: outlined balls, large and rough or small and smooth."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image


def write_balls(
    folder: Path,
    cases: int = 36,
    *,
    seed: int = 0,
    classes: tuple[str, ...] = ("calm", "suspicious"),
    splits: bool = False,
    per_group: int = 2,
    size: int = 24,
) -> Path:
    """Write a manifest of slice folders; class k has larger, rougher balls. Returns ``folder``."""
    random = np.random.default_rng(seed)
    rows = []
    grid = np.stack(np.meshgrid(*[np.arange(size) - size / 2 + 0.5] * 2, indexing="ij"))
    for number in range(cases):
        group = number // per_group
        kind = group % len(classes) if number % 5 else number % len(classes)
        radius = 4.0 + 2.2 * kind + random.normal(0, 0.7)
        slices = max(1, round(radius * 0.8))
        where = folder / "images" / f"case{number:03d}"
        where.mkdir(parents=True)
        for z in range(slices):
            depth = (z - (slices - 1) / 2) / max(slices, 2) * 1.6
            here = max(2.0, radius * np.sqrt(max(0.1, 1 - depth**2)))
            inside = np.hypot(*grid) < here
            values = 120 + 10 * kind + random.normal(0, 8 + 14 * kind, inside.shape)
            plane = np.where(inside, np.clip(values, 1, 255), 0).astype(np.uint8)
            Image.fromarray(plane).save(where / f"{z:02d}.png")
        row = {
            "file": f"images/case{number:03d}",
            "label": classes[kind],
            "group": f"patient {group}",
        }
        if splits:
            row["split"] = (
                "train" if group // 2 % 6 < 4 else "val" if group // 2 % 6 == 4 else "test"
            )
        rows.append(row)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def write_pictures(path: Path, cases: int = 60, *, seed: int = 0) -> Path:
    """Write a MedMNIST file of 28x28 pictures; the second class has a bright spot."""
    random = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {}
    for split, count in (("train", cases), ("val", cases // 3), ("test", cases // 3)):
        labels = (np.arange(count) % 2).astype(np.uint8)[:, None]
        images = random.integers(0, 90, (count, 28, 28)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            if label:
                y, x = random.integers(6, 18, 2)
                image[y : y + 5, x : x + 5] += 130
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = images, labels
    np.savez(path, **arrays)
    return path

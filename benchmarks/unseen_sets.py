"""Four labelled data sets made from numbers alone, to see what default settings do with new data.

They stand for kinds of data, not for any one set: grey pictures with faint patches, colour pictures of
cells in six classes, small volumes of tubes with and without a bulge, and colour fundus pictures with
their vessels. Everything is a function of the seed.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]


def grey_patches(folder: Path, seed: int = 0) -> Path:
    """28 x 28 grey, two classes 3 : 1, faint patches on lungs; 5 % of the labels are wrong."""
    random = np.random.default_rng([seed, 1])

    def one(label: int) -> NDArray[np.uint8]:
        y, x = np.mgrid[-1:1:28j, -1:1:28j]
        width, tilt = random.uniform(0.3, 0.42), random.normal(0, 0.05)
        image = 0.75 + 0.1 * _smooth(random, (28, 28), 6)
        for side in (-1, 1):
            lung = ((x - side * 0.45 - tilt * y) / width) ** 2 + (y / 0.8) ** 2
            image -= 0.45 * _step(1 - lung, 0.15)
        if label:
            for _ in range(random.integers(1, 4)):
                cy, cx = (
                    random.uniform(-0.5, 0.6),
                    random.choice([-1, 1]) * random.uniform(0.3, 0.6),
                )
                size = random.uniform(0.08, 0.25)
                blob = np.exp(-(((y - cy) ** 2 + (x - cx) ** 2) / size**2))
                image += random.uniform(0.1, 0.25) * blob * (1 + 0.4 * _smooth(random, (28, 28), 2))
        image += random.normal(0, 0.05, (28, 28))
        return _bytes(image * random.uniform(0.85, 1.15) + random.normal(0, 0.05))

    return _medmnist(
        folder / "grey.npz", one, [0.27, 0.73], (2400, 300, 600), wrong=0.05, random=random
    )


def colour_cells(folder: Path, seed: int = 0) -> Path:
    """28 x 28 colour, six classes of cells by nucleus, granules and stain; unequal counts."""
    random = np.random.default_rng([seed, 2])
    lobes = (1, 1, 2, 3, 1, 4)
    granules = (0.0, 0.25, 0.25, 0.1, 0.35, 0.0)

    def one(label: int) -> NDArray[np.uint8]:
        y, x = np.mgrid[-1:1:28j, -1:1:28j] + random.normal(0, 0.08, (2, 1, 1))
        angle = random.uniform(0, 2 * np.pi)
        cell = _step(random.uniform(0.5, 0.75) - np.hypot(y, x * random.uniform(0.85, 1.1)), 0.08)
        nucleus = np.zeros((28, 28))
        for k in range(lobes[label]):
            turn = angle + 2 * np.pi * k / max(lobes[label], 3)
            far = 0.0 if lobes[label] == 1 else 0.24
            size = random.uniform(0.3, 0.45) if lobes[label] == 1 else random.uniform(0.14, 0.2)
            at = np.hypot(y - far * np.sin(turn), x - far * np.cos(turn))
            nucleus = np.maximum(nucleus, _step(size - at, 0.06))
        if label == 4:
            nucleus *= 1 - _step(
                0.22 - np.hypot(y - 0.2 * np.sin(angle), x - 0.2 * np.cos(angle)), 0.05
            )
        spots = granules[label] * cell * (random.random((28, 28)) < 0.3)
        stain = random.normal(0, 0.04, 3)
        image = np.empty((28, 28, 3))
        for c, (ground, body, core, spot) in enumerate(
            zip(
                (0.95, 0.85, 0.8),
                (0.85, 0.7, 0.78),
                (0.45, 0.25, 0.6),
                (0.5, -0.3, -0.6),
                strict=True,
            )
        ):
            image[..., c] = ground + (body - ground) * cell + (core - body) * nucleus * cell
            image[..., c] += (spot if label in (1, 4) else -0.5) * spots + stain[c]
        return _bytes(image + random.normal(0, 0.03, image.shape))

    shares = [0.3, 0.22, 0.2, 0.14, 0.1, 0.04]
    return _medmnist(
        folder / "colour.npz", one, shares, (3000, 400, 800), wrong=0.02, random=random
    )


def volume_tubes(folder: Path, seed: int = 0) -> Path:
    """28 x 28 x 28 binary shapes, tubes with a bulge or without, 1 : 6."""
    random = np.random.default_rng([seed, 3])

    def one(label: int) -> NDArray[np.uint8]:
        line = _path(random, 3, steps=60)
        radius = random.uniform(1.4, 2.2)
        volume = np.zeros((28, 28, 28), dtype=bool)
        grid = np.moveaxis(np.mgrid[:28, :28, :28], 0, -1)
        for i, point in enumerate(line):
            r = radius * (1 + 0.15 * np.sin(i / 9))
            volume |= ((grid - point) ** 2).sum(-1) < r * r
        if label:
            at = line[random.integers(15, 45)] + _unit(random, 3) * radius
            volume |= ((grid - at) ** 2).sum(-1) < random.uniform(2.2, 3.6) ** 2
        elif random.random() < 0.5:  # a branch, which is no bulge
            start = line[random.integers(15, 45)]
            way = _unit(random, 3)
            for far in np.arange(0, 8, 0.5):
                volume |= ((grid - start - far * way) ** 2).sum(-1) < (0.75 * radius) ** 2
        return volume.astype(np.uint8) * 255

    return _medmnist(
        folder / "volume.npz", one, [0.86, 0.14], (1000, 150, 300), wrong=0.0, random=random
    )


def fundus_vessels(folder: Path, seed: int = 0) -> Path:
    """560 x 576 colour, 20 to learn from and 10 to test: branching vessels, uneven light, lesions."""
    random = np.random.default_rng([seed, 4])
    root = folder / "fundus"
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "masks").mkdir(exist_ok=True)
    with (root / "labels.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "mask", "split"])
        for number in range(30):
            image, mask = _fundus(random)
            name = f"{number:02d}.png"
            _save(image, root / "images" / name)
            _save(mask, root / "masks" / name)
            table.writerow([f"images/{name}", f"masks/{name}", "train" if number < 20 else "test"])
    return root


SETS = {
    "grey": grey_patches, "colour": colour_cells, "volume": volume_tubes, "fundus": fundus_vessels,
}  # fmt: skip


def _fundus(random: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    height, width = 560, 576
    y, x = np.mgrid[:height, :width].astype(np.float64)
    disc = np.array([height / 2 + random.normal(0, 20), width * random.choice([0.28, 0.72])])
    depth = np.zeros((height, width))
    ways = [(disc, random.uniform(0, 2 * np.pi), random.uniform(3.0, 4.5), 0) for _ in range(7)]
    while ways:
        at, heading, radius, order = ways.pop()
        at = at.copy()
        for _ in range(int(random.uniform(50, 110))):
            heading += random.normal(0, 0.09)
            at += 2.0 * np.array([np.sin(heading), np.cos(heading)])
            radius *= 0.994
            if radius < 0.7 or np.hypot(at[0] - height / 2, at[1] - width / 2) > 262:
                break
            _stamp(depth, at, radius)
        else:
            if order < 5:
                for side in (-1, 1):
                    bend = side * random.uniform(0.25, 0.7)
                    ways.append((at, heading + bend, radius * random.uniform(0.6, 0.95), order + 1))
    inside = np.hypot(y - height / 2, x - width / 2) < 268
    light = (
        0.75 + 0.25 * np.cos((y - height / 2) / 300) + 0.12 * _smooth(random, (height, width), 80)
    )
    image = np.stack([0.75 * light, 0.36 * light, 0.18 * light], axis=-1)
    glow = np.exp(-(((y - disc[0]) ** 2 + (x - disc[1]) ** 2) / 34**2))
    image += glow[..., None] * np.array([0.3, 0.35, 0.2])
    for _ in range(random.integers(0, 25)):
        cy, cx = random.uniform(60, 500, 2)
        spot = np.exp(-(((y - cy) ** 2 + (x - cx) ** 2) / random.uniform(2, 7) ** 2))
        tone = (
            np.array([0.2, 0.25, 0.1]) if random.random() < 0.5 else np.array([-0.15, -0.15, -0.05])
        )
        image += spot[..., None] * tone
    soft = ndimage.gaussian_filter(np.minimum(depth, 1.0), 0.8)
    image -= soft[..., None] * np.array([0.2, 0.16, 0.06]) * random.uniform(0.6, 1.1)
    image *= inside[..., None]
    image += random.normal(0, 0.025, image.shape) * inside[..., None]
    return _bytes(image), ((depth > 0.5) & inside).astype(np.uint8) * 255


def _stamp(depth: Floats, at: Floats, radius: float) -> None:
    """Draw one disc of a vessel."""
    low = np.maximum(np.floor(at - radius - 2), 0).astype(int)
    high = np.minimum(np.ceil(at + radius + 2).astype(int), depth.shape)
    if (high <= low).any():
        return
    y, x = np.mgrid[low[0] : high[0], low[1] : high[1]]
    part = depth[low[0] : high[0], low[1] : high[1]]
    np.maximum(part, _step(radius - np.hypot(y - at[0], x - at[1]), 0.4), out=part)


def _medmnist(
    path: Path,
    one: Callable[[int], NDArray[np.uint8]],
    shares: list[float],
    counts: tuple[int, int, int],
    *,
    wrong: float,
    random: np.random.Generator,
) -> Path:
    """Write train, val and test arrays; ``wrong`` is the share of labels drawn anew."""
    arrays: dict[str, NDArray[Any]] = {}
    for split, count in zip(("train", "val", "test"), counts, strict=True):
        truth = random.choice(len(shares), count, p=shares)
        arrays[f"{split}_images"] = np.stack([one(int(label)) for label in truth])
        noisy = random.random(count) < wrong
        said = np.where(noisy, random.integers(0, len(shares), count), truth)
        arrays[f"{split}_labels"] = said[:, None].astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # the stub knows no ** of arrays
    return path


def _path(random: np.random.Generator, axes: int, steps: int) -> Floats:
    """A smooth walk across a 28-voxel cube."""
    ends = np.stack([14 - 11 * (way := _unit(random, axes)), 14 + 11 * way])
    share = np.linspace(0, 1, steps)[:, None]
    bend = np.sin(np.pi * share) * random.normal(0, 3, axes)
    wave = np.sin(2 * np.pi * share) * random.normal(0, 2, axes)
    return np.asarray(ends[0] * (1 - share) + ends[1] * share + bend + wave, dtype=np.float64)


def _unit(random: np.random.Generator, axes: int) -> Floats:
    way = random.normal(size=axes)
    return np.asarray(way / np.linalg.norm(way), dtype=np.float64)


def _smooth(random: np.random.Generator, shape: tuple[int, int], sigma: float) -> Floats:
    """Smooth noise of unit standard deviation."""
    noise = ndimage.gaussian_filter(random.normal(size=shape), sigma)
    return np.asarray(noise / noise.std(), dtype=np.float64)


def _step(value: Floats, soft: float) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(value / soft * 4, -30, 30))), dtype=np.float64)


def _bytes(image: Floats) -> NDArray[np.uint8]:
    return np.asarray(np.round(np.clip(image, 0, 1) * 255), dtype=np.uint8)


def _save(image: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    Image.fromarray(image).save(path)

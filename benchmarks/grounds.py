"""Pictures without text, made here or cut from openly licensed ones, to train and judge the finder.

Generated: tissue-like noise, ultrasound fans, slices of ellipses, ribs, vessels, islands and
contours, with the graphics that are no text (rulers, callipers, curves, grids, grey bars).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Picture = NDArray[np.float32]
_WINDOWS = ((40, 400), (-600, 1500), (300, 1500), (40, 80), (0, 3000), (-100, 2400), (60, 160))
"""Level and width, HU."""


class Cuttings:
    """Cuttings of real pictures, looked at in ways of chance.

    Parameters
    ----------
    store:
        A ``.npz`` of ``benchmarks/text_grounds.py``: arrays ``(slices, rows, columns)``; those
        named ``ct...`` are in HU (int16), the others bytes.
    """

    def __init__(self, store: Path) -> None:
        with np.load(store) as kept:
            self._stacks = {name: kept[name] for name in kept.files}
        self._names = sorted(self._stacks)

    def cut(self, rng: np.random.Generator, side: int) -> Picture:
        """A picture ``(side, side)``, 0 to 1."""
        name = self._names[rng.integers(len(self._names))]
        stack = self._stacks[name]
        turned = name.endswith("volume") and rng.random() < 0.5
        plane = (
            stack[:, rng.integers(stack.shape[1])] if turned else stack[rng.integers(len(stack))]
        ).astype(np.float32)
        if name.startswith("ct"):
            level, width = _WINDOWS[rng.integers(len(_WINDOWS))]
            shifted, wide = level + rng.normal(0, 30), width * rng.uniform(0.7, 1.4)
            plane = (plane - shifted) / wide + 0.5
        else:
            plane = plane / 255 * rng.uniform(0.7, 1.5)
        large = min(plane.shape) > 300
        zoom = float(np.exp(rng.uniform(*np.log((0.8, 1.6) if large else (1.5, 4.5)))))
        need = int(np.ceil(side / zoom)) + 2
        rows, columns = (min(need, n) for n in plane.shape)
        top = int(rng.integers(0, plane.shape[0] - rows + 1))
        left = int(rng.integers(0, plane.shape[1] - columns + 1))
        part = plane[top : top + rows, left : left + columns]
        part = ndimage.zoom(part, zoom, order=int(rng.choice([1, 3])))[:side, :side]
        missing = [(0, side - n) for n in part.shape]
        part = np.pad(part, missing, mode=("edge", "constant", "reflect")[rng.integers(3)])
        if rng.random() < 0.6:
            grain = ndimage.gaussian_filter(rng.normal(size=part.shape), rng.uniform(0, 1.2))
            strong = np.exp(rng.uniform(np.log(0.005), np.log(0.3)))
            part = part + strong * grain / (grain.std() + 1e-6)
        if rng.random() < 0.5:  # a sharp kernel
            part = part + rng.uniform(0.3, 2) * (part - ndimage.gaussian_filter(part, 1.2))
        made = np.clip(part, 0, 1)
        return _graphics(rng, _single(made)) if rng.random() < 0.3 else _single(made)


def background(rng: np.random.Generator, side: int) -> Picture:
    """A picture without text, ``(side, side)``, 0 to 1."""
    kind = rng.integers(10)
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    if kind == 0:
        made = np.full((side, side), rng.uniform(0, 0.8), np.float32)
    elif kind == 1:
        made = noise_field(rng, side, rng.uniform(0.8, 2.6))
    elif kind == 2:
        made = _fan(rng, x, y)
    elif kind == 3:
        made = _ellipses(rng, x, y)
    elif kind == 4:
        made = _ribs(rng, x, y)
    elif kind == 5:
        made = 0.5 * _ellipses(rng, x, y) + 0.5 * noise_field(rng, side, 1.8)
    elif kind == 6:
        made = _tissue(rng, side)
    elif kind == 7:
        made = _vessels(rng, side)
    else:
        made = _islands(rng, side)
    made = _single(made + rng.normal(0, rng.choice([0, 0.005, 0.02, 0.05]), made.shape))
    if rng.random() < 0.35:
        top = int(rng.integers(0, side // 2))
        made[:top] = rng.choice([0.0, 0.1, 0.2, 0.7])
    made = np.clip(made, 0, 1)
    return _graphics(rng, made.astype(np.float32))


def _single(values: NDArray[Any]) -> Picture:
    return np.asarray(values, np.float32)


def noise_field(rng: np.random.Generator, side: int, power: float) -> Picture:
    """Noise whose spectrum falls with the frequency to ``power``, 0 to 1."""
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]
    radius = np.hypot(fy, fx)
    radius[0, 0] = 1
    shape = rng.normal(size=radius.shape) + 1j * rng.normal(size=radius.shape)
    field = np.fft.irfft2(shape / radius**power, (side, side))
    low, high = np.percentile(field, (1, 99))
    return _single(np.clip((field - low) / (high - low + 1e-9), 0, 1))


def _speckle(rng: np.random.Generator, side: int) -> Picture:
    real, imaginary = rng.normal(size=(2, side, side))
    spread = (rng.uniform(0.6, 2.5), rng.uniform(0.6, 3.5))
    amplitude = np.hypot(
        ndimage.gaussian_filter(real, spread), ndimage.gaussian_filter(imaginary, spread)
    )
    return _single(np.clip(amplitude / (3 * amplitude.mean()), 0, 1))


def _tissue(rng: np.random.Generator, side: int) -> Picture:
    layers = noise_field(rng, side, rng.uniform(1.5, 3))
    layers = ndimage.gaussian_filter(layers, (0, rng.uniform(1, 12)))
    made: Picture = (_speckle(rng, side) ** rng.uniform(0.5, 1.5)) * (0.2 + layers)
    return made


def _fan(rng: np.random.Generator, x: Picture, y: Picture) -> Picture:
    apex = rng.uniform(0.2, 0.8), rng.uniform(-0.6, 0.05)
    radius = np.hypot(x - apex[0], y - apex[1])
    angle = np.abs(np.arctan2(x - apex[0], y - apex[1]))
    near = rng.uniform(0.05, 0.3)
    inside = (
        (radius > near) & (radius < near + rng.uniform(0.5, 1.2)) & (angle < rng.uniform(0.4, 0.9))
    )
    made: Picture = np.where(
        inside, _tissue(rng, len(x)) * rng.uniform(0.7, 1.6), rng.choice([0, 0.05])
    )
    return made.astype(np.float32)


def _ellipses(rng: np.random.Generator, x: Picture, y: Picture) -> Picture:
    made = np.zeros_like(x)
    for _ in range(rng.integers(3, 40)):
        cx, cy = rng.uniform(0, 1, 2)
        a, b = rng.uniform(0.01, 0.4, 2) * rng.uniform(0.2, 1)
        turn = rng.uniform(0, np.pi)
        u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        v = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        made = np.where((u / a) ** 2 + (v / b) ** 2 < 1, rng.uniform(0, 1), made)
    return np.asarray(ndimage.gaussian_filter(made, rng.uniform(0, 1.5)), np.float32)


def _ribs(rng: np.random.Generator, x: Picture, y: Picture) -> Picture:
    bend = rng.uniform(-2, 2) * (x - rng.uniform(0, 1)) ** 2
    bands = np.sin(2 * np.pi * (y + bend) * rng.uniform(3, 14))
    slope = rng.uniform(-0.5, 0.5) * x + rng.uniform(-0.5, 0.5) * y
    made = 0.5 + slope + rng.uniform(0.02, 0.25) * np.tanh(rng.uniform(1, 8) * bands)
    made = made + 0.2 * (noise_field(rng, len(x), 2.2) - 0.5)
    return np.asarray(np.where(x < rng.uniform(-0.3, 0.3), 0, np.clip(made, 0, 1)), np.float32)


def _vessels(rng: np.random.Generator, side: int) -> Picture:
    """Bright trees and cut branches on a darker ground, as in lungs."""
    image = Image.new("F", (side, side), 0.0)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 60))):
        at, way = rng.uniform(0, side, 2), rng.uniform(0, 2 * np.pi)
        wide = float(np.exp(rng.uniform(np.log(0.8), np.log(7))))
        bright = float(rng.uniform(0.2, 1))
        for _ in range(int(rng.integers(1, 30))):
            to = at + rng.uniform(2, 8) * np.array([np.cos(way), np.sin(way)])
            draw.line((*at, *to), fill=bright, width=max(1, round(wide)))
            at, way, wide = to, way + rng.normal(0, 0.35), wide * 0.96
    trees = ndimage.gaussian_filter(np.asarray(image, np.float32), rng.uniform(0.4, 1.5))
    ground = rng.uniform(0, 0.4) + rng.uniform(0, 0.3) * noise_field(rng, side, 2)
    return _single(ground + trees * rng.uniform(0.3, 1))


def _islands(rng: np.random.Generator, side: int) -> Picture:
    """Islands and contours of the size of letters, in no line: bone, calcium, bowel."""
    fine = float(np.exp(rng.uniform(np.log(1), np.log(8))))
    field = ndimage.gaussian_filter(
        rng.normal(size=(side, side)), (fine, fine * rng.uniform(0.7, 2))
    )
    field /= field.std()
    level = rng.uniform(-0.5, 2)
    shape = field > level
    if rng.random() < 0.5:
        shape = shape & (field < level + rng.uniform(0.2, 1))
    shape = shape & (noise_field(rng, side, 3) > rng.uniform(0, 0.8))
    ground = rng.uniform(0, 0.6) + rng.uniform(0, 0.5) * (noise_field(rng, side, 2) - 0.5)
    made = ground + shape * rng.uniform(0.2, 1) * rng.choice([-1, 1])
    return _single(ndimage.gaussian_filter(made, rng.uniform(0.3, 1.3)))


def _graphics(rng: np.random.Generator, picture: Picture) -> Picture:
    """What devices draw that is no text."""
    side = len(picture)
    image = Image.fromarray((picture * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    ink = int(rng.choice([255, 200, 140, 0]))
    for kind in rng.choice(10, rng.integers(0, 4), replace=False):
        a, b, c, d = (int(v) for v in rng.integers(0, side, 4))
        if kind == 0:  # ruler
            step, long = int(rng.integers(3, 25)), int(rng.integers(2, 9))
            for k, at in enumerate(range(0, side, step)):
                draw.line((a, at, a + long * (2 if k % 5 == 0 else 1), at), fill=ink)
        elif kind == 1:  # callipers
            for px, py in ((a, b), (c, d), (b, c)):
                arm = int(rng.integers(3, 9))
                draw.line((px - arm, py, px + arm, py), fill=ink)
                draw.line((px, py - arm, px, py + arm), fill=ink)
        elif kind == 2:  # dotted line
            for k in range(int(rng.integers(5, 60))):
                px, py = a + (c - a) * k // 60, b + (d - b) * k // 60
                draw.rectangle((px, py, px + 1, py + 1), fill=ink)
        elif kind == 3:  # trace
            wave = ndimage.gaussian_filter1d(rng.normal(size=side), rng.uniform(0.7, 6))
            points = [(k, b + float(w) * rng.uniform(4, 30)) for k, w in enumerate(wave)]
            draw.line(points, fill=ink, width=int(rng.integers(1, 3)))
        elif kind == 4:  # grid
            step = int(rng.integers(6, 60))
            for at in range(0, side, step):
                draw.line((at, 0, at, side), fill=ink)
                draw.line((0, at, side, at), fill=ink)
        elif kind == 5:  # box, circle
            shape = draw.rectangle if rng.random() < 0.5 else draw.ellipse
            shape((min(a, c), min(b, d), max(a, c), max(b, d)), outline=ink)
        elif kind == 6:  # grey bar
            wide = int(rng.integers(6, 24))
            for at in range(min(b, d), max(b, d)):
                shade = int(255 * (at - min(b, d)) / (abs(b - d) + 1))
                draw.line((a, at, a + wide, at), fill=shade)
        elif kind == 7:  # arrows, vessels
            for _ in range(int(rng.integers(1, 12))):
                p = rng.integers(0, side, 4)
                draw.line(
                    [int(v) for v in p],
                    fill=int(rng.integers(0, 256)),
                    width=int(rng.integers(1, 6)),
                )
        elif kind == 8:  # plates, as blanking leaves them
            for px, py in rng.integers(0, side, (int(rng.integers(1, 7)), 2)):
                width, height = rng.integers(12, 160), rng.integers(6, 40)
                shade = int(rng.choice([0, 0, 255, 128]))
                draw.rectangle((int(px), int(py), int(px + width), int(py + height)), fill=shade)
        else:  # spots
            for _ in range(int(rng.integers(1, 60))):
                px, py = (int(v) for v in rng.integers(0, side, 2))
                r = int(rng.integers(1, 7))
                draw.ellipse((px - r, py - r, px + r, py + r), fill=int(rng.integers(0, 256)))
    return _single(np.asarray(image) / 255)

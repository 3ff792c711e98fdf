"""Pictures made here with text planted in them, to train and to judge the finder of burned-in text.

Backgrounds are generated (tissue-like noise, ultrasound fans, slices of ellipses, ribs), with the
graphics that are no text (rulers, callipers, curves, grids, grey bars); fonts are those of the
system. No picture of a patient is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Picture = NDArray[np.float32]
FONTS = Path("/usr/share/fonts")
HELD_OUT = ("Free", "Lato")
"""Families that only the judging uses."""

_FIRST = [
    "ANNA",
    "BERNHARD",
    "CHEN",
    "Dmitri",
    "Elena",
    "FATIMA",
    "Giovanni",
    "Hannah",
    "Ibrahim",
    "JOHN",
    "Katarzyna",
    "Li",
    "Maria",
]
_LAST = [
    "MUELLER",
    "Smith",
    "García",
    "O'NEIL",
    "Nguyen",
    "WANG",
    "Kowalski",
    "Jørgensen",
    "IVANOV",
    "Nightingale",
    "Okafor",
]
_WORDS = [
    "ID",
    "DOB",
    "Acc:",
    "Dr.",
    "Hospital",
    "Name",
    "St.Mary",
    "Univ",
    "Clinic",
    "M",
    "F",
    "45Y",
    "Tech:",
    "GA=",
    "MI",
    "0.9",
    "TIS",
    "0.1",
    "LT",
    "RT",
    "LOGIQ",
    "DEPTH",
    "12cm",
    "Abd",
    "Thyroid",
    "Im:",
    "Se:",
    "PORTABLE",
    "SUPINE",
    "AP",
    "kV",
    "mAs",
    "WL:",
    "40",
    "WW:",
    "400",
    "kg",
    "Age",
    "Sex",
]
_OTHER = "王小明李华张伟患者姓名出生日期医院山田太郎Иванова Анна ПетровΜαρία Ελένη"


@dataclass(frozen=True)
class Planted:
    """A line of text in a picture.

    Attributes
    ----------
    box:
        Top, left, bottom, right of its ink, half open, in pixels.
    size:
        Of the font, pixels.
    contrast:
        Against the mean of what is under it, share of the picture's range, signed.
    """

    text: str
    font: str
    size: int
    contrast: float
    box: tuple[int, int, int, int]


def fonts(*, held_out: bool) -> list[Path]:
    """Font files of this machine, of the training's or of the judging's families."""
    found = sorted(
        path for path in FONTS.rglob("*") if path.suffix in {".ttf", ".ttc", ".otf", ".otb"}
    )
    plain = [p for p in found if "Math" not in p.name and "Symbol" not in p.name]
    return [p for p in plain if p.name.startswith(HELD_OUT) is held_out]


def words(rng: np.random.Generator) -> str:
    """A line as devices burn it in: a name, a number, a date, settings, or another script."""
    kind = rng.integers(6)
    if kind == 0:
        sep = rng.choice([" ", "^", ", "])
        return f"{rng.choice(_LAST)}{sep}{rng.choice(_FIRST)}"
    if kind == 1:
        return f"{rng.integers(1, 32):02d}{rng.choice(list('./-'))}{rng.integers(1, 13):02d}.{rng.integers(1920, 2026)}"
    if kind == 2:
        return f"{rng.choice(['ID', 'MRN:', 'Acc', ''])} {rng.integers(10**4, 10**9)}".strip()
    if kind == 3:
        return " ".join(rng.choice(_WORDS, rng.integers(1, 5)))
    if kind == 4:
        return f"{rng.integers(24):02d}:{rng.integers(60):02d}:{rng.integers(60):02d} {rng.choice(_WORDS)}"
    at = int(rng.integers(0, len(_OTHER) - 4))
    return _OTHER[at : at + int(rng.integers(3, 10))].strip()


def background(rng: np.random.Generator, side: int) -> Picture:
    """A picture without text, ``(side, side)``, 0 to 1."""
    kind = rng.integers(7)
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
    else:
        made = _tissue(rng, side)
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


def load_font(path: Path, size: int) -> Any:
    """The font at this size; its own where it has only some sizes."""
    try:
        return ImageFont.truetype(str(path), size)
    except OSError:
        return ImageFont.load_default(size)


def ink_of(text: str, font: Any, *, crisp: bool, turned: bool = False) -> Picture:
    """The text alone, 0 to 1, cut to its ink."""
    left, top, right, bottom = font.getbbox(text)
    canvas = Image.new("L", (int(right - left) + 6, int(bottom - top) + 6))
    draw = ImageDraw.Draw(canvas)
    draw.fontmode = "1" if crisp else "L"
    draw.text((3 - left, 3 - top), text, fill=255, font=font)
    ink = _single(np.asarray(canvas) / 255)
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if not len(rows):
        return ink[:0, :0]
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.ascontiguousarray(np.rot90(ink)) if turned else ink


def plant(
    rng: np.random.Generator, picture: Picture, text: str, font: Path | None, size: int
) -> Planted | None:
    """Write ``text`` into ``picture`` (0 to 1, changed) at a place of chance.

    Returns ``None`` where it does not fit. ``font`` ``None`` is Pillow's own.
    """
    face = ImageFont.load_default(size) if font is None else load_font(font, size)
    doubled = size >= 16 and rng.random() < 0.15
    if doubled:  # letters of a coarse screen font
        face = ImageFont.load_default(size // 2) if font is None else load_font(font, size // 2)
    ink = ink_of(
        text, face, crisp=doubled or bool(rng.random() < 0.3), turned=bool(rng.random() < 0.07)
    )
    if doubled:
        ink = np.kron(ink, np.ones((2, 2), np.float32))
    h, w = ink.shape
    if not h or h + 2 > picture.shape[0] or w + 2 > picture.shape[1]:
        return None
    top, left = (
        int(rng.integers(1, picture.shape[0] - h)),
        int(rng.integers(1, picture.shape[1] - w)),
    )
    under = picture[top : top + h, left : left + w]
    mean = float(under.mean())
    ways = [v for v in (rng.uniform(0.25, 0.6), rng.uniform(0.6, 1)) for v in (mean + v, mean - v)]
    shades = [v for v in ways if 0 <= v <= 1] or [0.0 if mean > 0.5 else 1.0]
    shade = float(rng.choice(shades))
    style = rng.random()
    if style < 0.12:  # in a box of its own
        plate = 0.0 if shade > 0.5 else 1.0
        picture[max(0, top - 2) : top + h + 2, max(0, left - 3) : left + w + 3] = plate
        mean = plate
    elif style < 0.24 and min(h, w) > 8:  # with a shadow
        picture[top + 1 : top + h + 1, left + 1 : left + w + 1] *= 1 - ink * (shade > mean)
    under = picture[top : top + h, left : left + w]
    under += ink * (shade - under)
    return Planted(
        text,
        "default" if font is None else font.name,
        size,
        shade - mean,
        (top, left, top + h, left + w),
    )

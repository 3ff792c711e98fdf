"""Lines of text as devices burn them in, planted into pictures to train and to judge the finder.

Fonts are those of the system, in three parts by family: one to train with, one to choose by, one
to judge by. No part knows a family of another.
"""

from __future__ import annotations

import contextlib
import functools
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Picture = NDArray[np.float32]
Part = Literal["training", "choosing", "judging"]
FONTS = Path("/usr/share/fonts")
CHOOSING = ("Free", "Lato")
JUDGING = (
    *("Cantarell", "Carlito", "Nimbus", "C059", "P052", "URW", "Nanum", "wqy", "Fira", "JetBrains"),
    *("helv", "tim"),
)
"""How the names of the files of a part's families begin; all others are to train with."""
_LEFT_OUT = ("Math", "Symbol", "DSEG", "D050000L", "symb", "ISO8859", "KOI8", "sample")
_OUTLINES, _PIXELS = (".ttf", ".ttc", ".otf"), (".otb", ".pcf.gz")

_FIRST = "ANNA BERNHARD CHEN Dmitri Elena FATIMA Giovanni Hannah Ibrahim JOHN Katarzyna Li Maria"
_LAST = "MUELLER Smith García O'NEIL Nguyen WANG Kowalski Jørgensen IVANOV Nightingale Okafor"
_WORDS = (
    "ID DOB Acc: Dr. Hospital Name St.Mary Univ Clinic M F 45Y Tech: GA= MI 0.9 TIS 0.1 LT RT LOGIQ "
    "DEPTH 12cm Abd Thyroid Im: Se: PORTABLE SUPINE AP kV mAs WL: 40 WW: 400 kg Age Sex"
)
_OTHER = (
    "王小明李华张伟患者姓名出生日期医院山田太郎",
    "Иванова Анна Петров",
    "Μαρία Ελένη",
    "김민수이영희박지훈환자병원",
    "محمد أحمد المستشفى",
    "סבתא ישראל כהן",
    "अमित कुमार",
    "สมชาย โรงพยาบาล",
)
_CAPITALS, _SMALL = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz0123456789"


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
    legible:
        For each piece as long as the line is high, along it: whether its ink can be told from
        its ground, see :func:`told_apart`.
    """

    text: str
    font: str
    size: int
    contrast: float
    box: tuple[int, int, int, int]
    legible: tuple[bool, ...]


def fonts(part: Part, roots: tuple[Path, ...] = (FONTS,)) -> list[list[Path]]:
    """Font files of a part, by folder, in the order of their names."""
    found = [
        path
        for root in roots
        for path in root.rglob("*")
        if path.name.endswith((*_OUTLINES, *_PIXELS))
    ]
    plain = [p for p in found if not any(no in p.name for no in _LEFT_OUT)]
    of = {"choosing": CHOOSING, "judging": JUDGING}
    if part == "training":
        mine = [p for p in plain if not p.name.startswith((*CHOOSING, *JUDGING))]
    else:
        mine = [p for p in plain if p.name.startswith(of[part])]
    folders: dict[str, list[Path]] = {}
    for path in sorted(mine, key=lambda path: path.name):
        folders.setdefault(path.parent.name, []).append(path)
    return [folders[name] for name in sorted(folders)]


def words(rng: np.random.Generator, face: Any = None) -> str:
    """A line as devices burn it in: a name, a number, a date, settings, or another script.

    With a ``face`` only of what it has letters for.
    """
    for _ in range(12):
        line = _line(rng)
        if line and (face is None or all(_has(face, letter) for letter in line)):
            return line
    return str(rng.integers(10, 10**9))


def _line(rng: np.random.Generator) -> str:
    kind = rng.integers(8)
    if kind == 0:
        sep = rng.choice([" ", "^", ", "])
        return f"{rng.choice(_LAST.split())}{sep}{rng.choice(_FIRST.split())}"
    if kind == 1:
        return f"{rng.integers(1, 32):02d}{rng.choice(list('./-'))}{rng.integers(1, 13):02d}.{rng.integers(1920, 2026)}"
    if kind == 2:
        return f"{rng.choice(['ID', 'MRN:', 'Acc', ''])} {rng.integers(10**4, 10**9)}".strip()
    if kind == 3:
        return " ".join(rng.choice(_WORDS.split(), rng.integers(1, 5)))
    if kind == 4:
        return f"{rng.integers(24):02d}:{rng.integers(60):02d}:{rng.integers(60):02d} {rng.choice(_WORDS.split())}"
    if kind == 5:
        letters = list(rng.choice([_CAPITALS, _SMALL]))
        return "".join(rng.choice(letters, rng.integers(2, 12)))
    if kind == 6:
        return "".join([rng.choice(list(_CAPITALS)), *rng.choice(list(_SMALL), rng.integers(2, 9))])
    script = _OTHER[rng.integers(len(_OTHER))]
    at = int(rng.integers(0, len(script) - 3))
    return script[at : at + int(rng.integers(2, 10))].strip()


@functools.lru_cache(maxsize=20_000)
def load_font(path: Path | None, size: int) -> Any:
    """The font at this size, or at its next smaller one; ``None`` is Pillow's own.

    ``None`` is returned for a file that has no size up to this one, or no Latin letters.
    """
    if path is None:
        return ImageFont.load_default(size)
    if path.name.endswith(_OUTLINES):
        face = ImageFont.truetype(str(path), size)
    else:
        sizes = [have for have in _strikes(path) if have <= size]
        if not sizes:
            return None
        face = ImageFont.truetype(io.BytesIO(path.read_bytes()), sizes[-1])
    return face if all(_has(face, letter) for letter in "AEae158") else None


@functools.lru_cache(maxsize=2_000)
def _strikes(path: Path) -> list[int]:
    """The sizes from 6 to 40 that a font of pixels has."""
    found, kept = [], path.read_bytes()
    for size in range(6, 41):
        with contextlib.suppress(OSError):
            ImageFont.truetype(io.BytesIO(kept), size)
            found.append(size)
    return found


@functools.lru_cache(maxsize=100_000)
def _has(face: Any, letter: str) -> bool:
    if letter == " ":
        return True
    mask = bytes(face.getmask(letter))
    return any(mask) and mask != bytes(face.getmask("\uffff"))


def ink_of(text: str, font: Any, *, crisp: bool, turned: bool = False) -> Picture:
    """The text alone, 0 to 1, cut to its ink."""
    left, top, right, bottom = font.getbbox(text)
    canvas = Image.new("L", (int(right - left) + 6, int(bottom - top) + 6))
    draw = ImageDraw.Draw(canvas)
    draw.fontmode = "1" if crisp else "L"
    draw.text((3 - left, 3 - top), text, fill=255, font=font)
    ink = np.asarray(np.asarray(canvas) / 255, np.float32)
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if not len(rows):
        return ink[:0, :0]
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.ascontiguousarray(np.rot90(ink)) if turned else ink


def plant(
    rng: np.random.Generator,
    picture: Picture,
    font: Path | None,
    size: int,
    at: tuple[int, int] | None = None,
) -> Planted | None:
    """Write a line into ``picture`` (0 to 1, changed) with its top left ``at`` or by chance.

    Returns ``None`` where it does not fit. ``font`` ``None`` is Pillow's own.
    """
    doubled = size >= 16 and rng.random() < 0.15  # letters of a coarse screen font
    face = load_font(font, size // 2 if doubled else size)
    if face is None:
        return None
    text = words(rng, face)
    crisp, turned = doubled or bool(rng.random() < 0.3), bool(rng.random() < 0.07)
    ink = ink_of(text, face, crisp=crisp, turned=turned)
    if doubled:
        ink = np.kron(ink, np.ones((2, 2), np.float32))
    h, w = ink.shape
    if not h or h + 2 > picture.shape[0] or w + 2 > picture.shape[1]:
        return None
    top, left = at or (
        int(rng.integers(1, picture.shape[0] - h)),
        int(rng.integers(1, picture.shape[1] - w)),
    )
    if top + h >= picture.shape[0] or left + w >= picture.shape[1]:
        return None
    place = slice(top, top + h), slice(left, left + w)
    mean = float(picture[place].mean())
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
    elif style < 0.3:  # with an outline
        edge = ndimage.grey_dilation(np.pad(ink, 1), size=3)
        around = picture[top - 1 : top + h + 1, left - 1 : left + w + 1]
        around += edge * ((0.0 if shade > mean else 1.0) - around)
    under = picture[place]
    before = under.copy()
    under += ink * (shade - under)
    box = (top, left, top + h, left + w)
    name = "default" if font is None else font.name
    return Planted(text, name, size, shade - mean, box, told_apart(before, under, ink))


def told_apart(before: Picture, after: Picture, ink: Picture) -> tuple[bool, ...]:
    """For each piece of a line, whether a person can tell its ink from its ground.

    A piece is as long as the line is high. The tenth of its pixels that the ink changed most must
    have changed by at least a tenth of the range, and by the spread of its ground. What has no
    ink counts as its neighbour.
    """
    if before.shape[0] > before.shape[1]:
        before, after, ink = before.T, after.T, ink.T
    high, long = before.shape
    said: list[bool] = []
    for start in range(0, long, high):
        piece = slice(start, max(start + high, start + 1))
        if ink[:, piece].max(initial=0) < 0.05 and said:
            said.append(said[-1])
            continue
        change = np.sort(np.abs(after[:, piece] - before[:, piece]), axis=None)
        most = float(change[-max(1, len(change) // 10) :].mean())
        said.append(most >= max(0.1, float(before[:, piece].std())))
    return tuple(said)

"""What the header of one DICOM file says, as far as reading its image needs it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diaphane.acquire.attributes import TAGS
from diaphane.acquire.bounds import LIMITS
from diaphane.acquire.elements import (
    DOUBLE_PIXELS,
    FLOAT_PIXELS,
    Elements,
    read_elements,
)
from diaphane.acquire.quiet import quiet
from diaphane.acquire.sop_classes import (
    CAPTURE_CLASS,
    DIRECTORY_CLASS,
    IMAGE_CLASSES,
    SECTION_CLASSES,
)
from diaphane.acquire.traits import TAGS as TRAIT_TAGS
from diaphane.acquire.traits import classic_traits
from diaphane.core.errors import UnreadableFile
from diaphane.core.options import Limits
from diaphane.privacy import without_switches

_NAMES = {tag: name for name, tag in (TAGS | TRAIT_TAGS).items()}

_SECTION_MODALITIES = frozenset({"CT", "MR", "PT", "NM"})
_PROJECTIONS = frozenset({"STATIC", "WHOLE BODY", "DYNAMIC", "GATED", "TOMO", "GATED TOMO"})
_OTHER_MODALITIES = frozenset(
    {"SR", "PR", "KO", "SEG", "REG", "FID", "DOC", "PLAN", "RWV", "ANN", "M3D", "OT_DOC", "AU"}
    | {"RTSTRUCT", "RTPLAN", "RTRECORD", "RTDOSE", "RTINTENT", "ECG", "HD", "STAIN", "TEXTUREMAP"}
)

Floats = tuple[float, ...]
_MILLIMETRES = frozenset({"position", "spacing", "imager_spacing", "thickness", "between"})
_DELIMITERS = {ord(mark) for mark in "\t\n\f\r^="}
FARTHEST, LARGEST = 1e6, 1e28  # mm, and any other number


@dataclass(frozen=True, slots=True)
class Header:
    """One DICOM file. Empty strings, ``None`` and empty tuples stand for what it leaves out.

    Attributes
    ----------
    patient, frame_of_reference, study_uid, series_uid, sop_uid:
        Identity; only ever compared or passed to a pseudonymiser. Of the patient: name, number and
        day of birth.
    spacing:
        PixelSpacing ``(dy, dx)`` in mm.
    position, orientation:
        ImagePositionPatient (3) and ImageOrientationPatient (6), LPS.
    slope, intercept:
        Rescale; 1 and 0 where absent.
    concatenation:
        UID shared by the parts of an object that was stored in several files.
    traits:
        What may tell volumes of one series apart, by name; see :mod:`~diaphane.acquire.traits`.
    limits:
        Within which it was read, and its pixels are to be.
    bytes_expected:
        Size of uncompressed pixels by rows, columns, frames, samples and bits.
    """

    path: Path
    elements: Elements
    sop_class: str
    sop_uid: str
    study_uid: str
    series_uid: str
    frame_of_reference: str
    patient: tuple[str, str, str]
    modality: str
    image_type: tuple[str, ...]
    manufacturer: str
    description: str
    body_part: str
    kernel: str
    thickness: float | None
    between: float | None
    series_number: int | None
    instance_number: int | None
    position: Floats
    orientation: Floats
    spacing: Floats
    imager_spacing: Floats
    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    planar: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    slope: float
    intercept: float
    rescaled: bool
    rescale_type: str
    units: str
    has_modality_lut: bool
    has_frame_groups: bool
    concatenation: str
    traits: Mapping[str, Any]
    limits: Limits = LIMITS

    def states(self, name: str) -> bool:
        """Whether the file holds the attribute of this name in ``TAGS``, be it empty."""
        return TAGS[name] in self.elements.values

    def words(self, name: str) -> tuple[str, ...]:
        """Text values of the attribute of this name in ``TAGS``; empty where absent."""
        return _words(self.elements.values.get(TAGS[name], b""))

    def numbers(self, name: str) -> Floats:
        """Numbers of the attribute of this name in ``TAGS``; empty unless all are numbers.

        For what only describes the image: what its geometry or values need is refused instead.
        """
        try:
            found = tuple(float(word) for word in self.words(name))
        except ValueError:
            return ()
        return found if all(math.isfinite(value) for value in found) else ()

    def stored(self, name: str) -> int | None:
        """Stored pixel value (US or SS) of this name, read by the sign of the pixels."""
        raw = self.elements.values.get(TAGS[name], b"")
        return int.from_bytes(raw[:2], "little", signed=self.signed) if len(raw) >= 2 else None

    def short(self, name: str) -> int | None:
        """Unsigned number (US) of this name; ``None`` where absent."""
        raw = self.elements.values.get(TAGS[name], b"")
        return int.from_bytes(raw[:2], "little") if len(raw) >= 2 else None

    @property
    def has_pixels(self) -> bool:
        """Whether the file holds an image."""
        return self.elements.pixel_tag != 0

    @property
    def is_float(self) -> bool:
        """Whether pixels are stored as floating point."""
        return self.elements.pixel_tag in (FLOAT_PIXELS, DOUBLE_PIXELS)

    @property
    def is_image(self) -> bool:
        """Whether the object is of a kind that is read here, not a report, mask or plan."""
        if self.modality in _OTHER_MODALITIES or self.sop_class == DIRECTORY_CLASS:
            return False
        return self.has_pixels or self.rows > 0 or self.sop_class in IMAGE_CLASSES

    @property
    def is_section(self) -> bool:
        """Whether the image is a section through the body, which needs its place in space."""
        if self.sop_class in SECTION_CLASSES:
            return not (self.modality == "NM" and self.is_planar_scan)
        return self.modality in _SECTION_MODALITIES and not self.sop_class.startswith(CAPTURE_CLASS)

    @property
    def is_planar_scan(self) -> bool:
        """Nuclear medicine that projects (static, whole body, dynamic), no reconstruction."""
        return bool(_PROJECTIONS & set(self.image_type))

    @property
    def is_mosaic(self) -> bool:
        """Whether slices are tiled in one image; newer scanners say so of what is none."""
        return "MOSAIC" in self.image_type and self.frames == 1 and not self.has_frame_groups

    @property
    def is_enhanced(self) -> bool:
        """Whether geometry is stated per frame, in functional groups."""
        return self.has_frame_groups

    @property
    def bytes_expected(self) -> int:
        """Bytes of uncompressed pixels that the header declares."""
        bits = self.rows * self.columns * self.frames * self.samples * self.bits_allocated
        if self.photometric == "YBR_FULL_422" and self.samples == 3:
            bits = bits // 3 * 2
        return (bits + 7) // 8


def read_header(path: Path, limits: Limits = LIMITS) -> Header:
    """Header of one file.

    Raises
    ------
    UnreadableFile
        When it is damaged, cut short, or states numbers that cannot be.
    OverLimit
        Beyond ``limits``.
    """
    elements = read_elements(path, _NAMES, limits)
    text = {_NAMES[tag]: value for tag, value in elements.values.items()}

    def words(name: str) -> tuple[str, ...]:
        return _words(text.get(name, b""))

    def word(name: str) -> str:
        return _plain("\\".join(words(name)))

    def decoded(name: str) -> str:
        return _decoded(text.get(name, b""), text.get("charset", b"")).strip("\0 ")

    def numbers(name: str, count: int) -> Floats:
        found = words(name)
        if len(found) < count or not all(found[:count]):
            return ()
        return tuple(_number(part, name, path) for part in found[:count])

    def number(name: str) -> float | None:
        found = numbers(name, 1)
        return found[0] if found else None

    def whole(name: str) -> int | None:
        found = number(name)
        return None if found is None else int(found)

    def short(name: str, default: int) -> int:
        raw = text.get(name, b"")
        return int.from_bytes(raw[:2], "little") if len(raw) >= 2 else default

    allocated = short("bits_allocated", 0)
    if elements.pixel_tag in (FLOAT_PIXELS, DOUBLE_PIXELS):
        allocated = allocated or (32 if elements.pixel_tag == FLOAT_PIXELS else 64)
    stored = short("bits_stored", allocated)
    slope, intercept = number("slope"), number("intercept")
    frames = whole("frames")
    return Header(
        path=path,
        elements=elements,
        sop_class=word("sop_class") or word("media_class"),
        sop_uid=word("sop_uid"),
        study_uid=word("study_uid"),
        series_uid=word("series_uid"),
        frame_of_reference=word("frame_of_reference"),
        patient=(
            decoded("patient_name").strip(" ^").upper(),
            decoded("patient_id"),
            decoded("birth_date"),
        ),
        modality=word("modality") or "OT",
        image_type=tuple(word for word in words("image_type") if word.isprintable()),
        manufacturer=word("manufacturer"),
        description=_plain(decoded("description")),
        body_part=word("body_part"),
        kernel=word("kernel"),
        thickness=number("thickness"),
        between=number("between"),
        series_number=whole("series_number"),
        instance_number=whole("instance_number"),
        position=numbers("position", 3),
        orientation=numbers("orientation", 6),
        spacing=numbers("spacing", 2),
        imager_spacing=numbers("imager_spacing", 2),
        rows=short("rows", 0),
        columns=short("columns", 0),
        frames=1 if frames is None else frames,
        samples=short("samples", 1),
        photometric=word("photometric"),
        planar=short("planar", 0),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=short("high_bit", stored - 1),
        signed=short("signed", 0) == 1,
        slope=1.0 if slope is None else slope,
        intercept=0.0 if intercept is None else intercept,
        rescaled=slope is not None or intercept is not None,
        rescale_type=word("rescale_type"),
        units=word("units"),
        has_modality_lut="modality_lut" in text,
        has_frame_groups="frame_groups" in text or "shared_groups" in text,
        concatenation=word("concatenation"),
        traits=classic_traits(text, word("manufacturer")),
        limits=limits,
    )


def _plain(text: str) -> str:
    """A text, or "": a damaged length makes it run into what follows, such as the patient's name."""
    return text if text.isprintable() and len(text) <= 256 else ""


def _decoded(value: bytes, charset: bytes) -> str:
    """Text in the character set that the file states; in Latin-1 where it states none that is known."""
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    from pydicom.charset import convert_encodings, decode_bytes

    try:
        with quiet():
            encodings = convert_encodings(list(_words(charset)))
            return without_switches(decode_bytes(value, encodings, _DELIMITERS))
    except (LookupError, ValueError):
        return value.decode("latin-1")


def _words(value: bytes) -> tuple[str, ...]:
    text = value.decode("latin-1").strip("\0 ")
    return tuple(part.strip("\0 ") for part in text.split("\\")) if text else ()


def _number(text: str, name: str, path: Path) -> float:
    try:
        value = float(text.replace("_", "?"))  # which Python would take
    except ValueError:
        value = float("nan")
    if not abs(value) <= (FARTHEST if name in _MILLIMETRES else LARGEST):  # also NaN
        what = name.replace("_", " ")
        raise UnreadableFile(
            f"The header states a {what} that is not a number, or too large.", path=path
        )
    return value

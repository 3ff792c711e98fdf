"""How an image is read where there is a choice: repaired or refused, and within which limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Repair = Literal["refuse", "resample"]
Units = Literal["stored", "suv", "suv-lbm", "suv-bsa"]


@dataclass(frozen=True)
class Limits:
    """Bounds of reading; what goes beyond is refused by name (``OverLimit``), never tried.

    Attributes
    ----------
    depth:
        Sequences inside sequences.
    element_bytes:
        Declared length of one element that is not pixel data.
    pixels:
        Voxels of one volume.
    archive_bytes, archive_files:
        Unpacked size of an archive, and its number of files.
    archive_ratio:
        Unpacked against packed size, of an archive and of any compressed image.
    memory_bytes, seconds:
        Of the worker process that decodes one file, and ``seconds`` also of parsing its header.
        ``None``: in proportion to the size of the file, with a floor, so that a small file takes
        little whatever it declares (:class:`diaphane.acquire.isolation.Budget`).
    """

    depth: int = 32
    element_bytes: int = 256 * 2**20
    pixels: int = 2**31
    archive_bytes: int = 64 * 2**30
    archive_ratio: float = 200.0
    archive_files: int = 1_000_000
    memory_bytes: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class ReadOptions:
    """What a person allows when reading.

    Attributes
    ----------
    tilt:
        Slices sheared against their normal (gantry tilt): refused, or resampled to an upright
        grid (linear; outside is the smallest value).
    spacing:
        Slices at uneven distances: refused, or resampled to the median distance (linear).
        A gap is never filled.
    suv:
        Whether PET values become SUV, by body weight ("bw", or ``True``), lean body mass ("lbm")
        or body surface ("bsa"), where the file states all that this needs.
    suv_or_refuse:
        Whether a PET series that does not is refused; else its values stay as they are.
    limits:
        Bounds of reading, for headers, pixels, codecs and archives alike.
    """

    tilt: Repair = "refuse"
    spacing: Repair = "refuse"
    suv: bool | Literal["bw", "lbm", "bsa"] = False
    suv_or_refuse: bool = False
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def of(
        cls, tilt: Repair = "refuse", spacing: Repair = "refuse", units: Units = "stored"
    ) -> ReadOptions:
        """As the verbs say it: SUV is asked for by its name, and refused where it cannot be."""
        kinds: dict[Units, bool | Literal["bw", "lbm", "bsa"]] = {
            "stored": False, "suv": "bw", "suv-lbm": "lbm", "suv-bsa": "bsa",
        }  # fmt: skip
        return cls(tilt, spacing, kinds[units], suv_or_refuse=units != "stored")

    @property
    def units(self) -> Units:
        """``suv`` as the verbs say it."""
        names: dict[bool | str, Units] = {False: "stored", "lbm": "suv-lbm", "bsa": "suv-bsa"}
        return names.get(self.suv, "suv")


AS_IS = ReadOptions()
"""Nothing is repaired."""

"""Technical facts of a series, none of which tells who the patient is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from diaphane.acquire.display import display_facts
from diaphane.acquire.headers import Header
from diaphane.acquire.overlays import overlay_facts
from diaphane.acquire.padding import padding_facts
from diaphane.acquire.planes import Plane
from diaphane.acquire.sop_classes import PARAMETRIC_MAP
from diaphane.acquire.stored import is_inverted, uses_modality_lut
from diaphane.acquire.suv import is_pet, pet_unit, uptake_facts
from diaphane.core.geometry import Geometry
from diaphane.privacy.dicom.words import (
    NOBODY,
    Identifiers,
    cleaned,
    identifiers_of,
    scrubbed,
    vocabulary,
)

_WORD = re.compile(r"[^\W_]+(?:[.+\-]+[^\W_]+)*[+\-]?")


def orientation_name(geometry: Geometry) -> str:
    """Name "axial", "coronal" or "sagittal" within 15 degrees, else "oblique"; "" if unplaced."""
    if geometry.direction is None:
        return ""
    normal = np.abs(np.asarray(geometry.direction)[:, 0])
    axis = int(normal.argmax())
    if normal[axis] < np.cos(np.radians(15)):
        return "oblique"
    return ("sagittal", "coronal", "axial")[axis]


def is_localizer(header: Header) -> bool:
    """Whether ImageType says that the image only plans others."""
    return any(word.upper() in ("LOCALIZER", "SCOUT") for word in header.image_type)


def description_terms(text: str, who: Identifiers = NOBODY) -> tuple[str, ...]:
    """The words of a description that privacy's technical vocabulary knows, or that are a measure.

    A word that tells one of ``who`` is none of them.
    """
    return tuple(dict.fromkeys(word.lower() for word in _WORD.findall(cleaned(text, who))))


def patient_words(header: Header) -> Identifiers:
    """Who the patient is, as far as the header tells it."""
    name, number, birth = header.patient
    return identifiers_of([name], [number], (), [birth])


def clean_kernel(text: str) -> str:
    """Reconstruction kernel, parts joined by ``/``."""
    return "/".join(dict.fromkeys(part for part in text.split("\\") if part))


def unit_of(plane: Plane) -> str:
    """Unit "HU" of CT, "Bq/ml" or "SUVbw" of PET, where the file says so; else "1"."""
    header = plane.header
    if is_pet(header):
        return pet_unit(header)
    if header.modality != "CT" or not header.is_section or header.sop_class == PARAMETRIC_MAP:
        return "1"
    rescaled = header.rescaled or "rescale_type" in plane.traits
    return "HU" if rescaled and _rescale_type(plane).upper() in ("", "HU") else "1"


def _rescale_type(plane: Plane) -> str:
    """RescaleType, which enhanced objects state frame by frame."""
    return str(plane.traits.get("rescale_type", plane.header.rescale_type))


def series_facts(planes: Sequence[Plane], geometry: Geometry) -> dict[str, Any]:
    """Facts of a series whose planes are in order."""
    first = planes[0].header
    facts: dict[str, Any] = {
        "modality": first.modality,
        "kernel": clean_kernel(first.kernel),
        "slice_thickness": planes[0].thickness,
        "orientation": orientation_name(geometry),
        "image_type": first.image_type,
        "localizer": is_localizer(first),
        "description_terms": description_terms(first.description, patient_words(first)),
        "body_part": first.body_part.lower() if first.body_part.lower() in vocabulary() else "",
        "manufacturer": first.manufacturer,
        "photometric": first.photometric,
        "inverted": is_inverted(first),
        "instance_numbers": tuple(
            p.header.instance_number if p.header.frames == 1 else p.frame + 1 for p in planes
        ),
    }
    facts |= uptake_facts(planes)
    facts |= padding_facts(first) | display_facts(planes[0]) | overlay_facts(first)
    if first.has_modality_lut:
        facts["modality_lut"] = "applied" if uses_modality_lut(first) else "not applied"
    if first.units:
        facts["units"] = first.units
    if kind := _rescale_type(planes[0]):
        facts["rescale_type"] = kind
    return facts


def scrubbed_description(header: Header) -> str:
    """SeriesDescription less the words that are part of who the patient is."""
    return scrubbed(header.description, patient_words(header))[:64]

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
from diaphane.acquire.stored import is_inverted, uses_modality_lut
from diaphane.acquire.suv import is_pet, pet_unit, uptake_facts
from diaphane.core.geometry import Geometry

# Words of series descriptions that may be kept: they tell of technique, never of a person.
_TERMS = """
abdomen abd adc ap angio arterial art axial ax body bone brain breast bravo bypass cap cardiac
cc chest contrast cor coronal ct cta ctac ce c+ c- delay delayed derived dixon dwi dyn dynamic
early ecg enhanced epi expiration fat flair fmri gated gre hd head hires hr hrct inspiration
iodine inphase kernel knee l lat lateral localizer loc low dose ldct lung mip minip mediastinum
mediastinal mlo mpr mr mra multi native nac ac neck noncontrast non oblique opp outphase pa
pelvis perfusion pet phase plain post pre portal prone recon reformat routine sag sagittal scan
scout sharp soft spine standard std stir stack supine surview t1 t1w t2 t2w t2star thin thick
thorax tissue topogram tof us venous volume vol wb whole whole-body wo w with without lungs
thoracic liver kidney prostate dce resting state anat func b0 fmap map swi
"""
VOCABULARY = frozenset(_TERMS.split())
_WORD = re.compile(r"[A-Za-z0-9+\-.]+")
_MEASURE = re.compile(r"^\d{1,3}(\.\d{1,3})?(mm|cm|kv|kev|s|%)$|^[a-z]{1,2}\d{2}[a-z]{0,2}$")


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


def description_terms(text: str) -> tuple[str, ...]:
    """The words of a description that are in a fixed technical vocabulary, or are a measure."""
    words = dict.fromkeys(word.lower() for word in _WORD.findall(text))
    return tuple(w for w in words if w in VOCABULARY or _MEASURE.match(w))


def clean_kernel(text: str) -> str:
    """Reconstruction kernel, parts joined by ``/``."""
    return "/".join(dict.fromkeys(part for part in text.split("\\") if part))


def unit_of(header: Header) -> str:
    """Unit "HU" of CT, "Bq/ml" or "SUVbw" of PET, where the file says so; else "1"."""
    if is_pet(header):
        return pet_unit(header)
    if header.modality != "CT" or not header.is_section:
        return "1"
    stated = header.rescale_type.upper()
    if stated in ("", "HU"):
        return "HU" if header.rescaled or header.is_enhanced else "1"
    return "1"


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
        "description_terms": description_terms(first.description),
        "body_part": first.body_part.lower() if first.body_part.lower() in VOCABULARY else "",
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
    if first.rescale_type:
        facts["rescale_type"] = first.rescale_type
    return facts


def scrubbed_description(header: Header) -> str:
    """SeriesDescription less the words that are part of who the patient is."""
    parts = {
        piece.lower()
        for raw in header.patient
        for piece in re.split(r"[\^=\s,_\-]+", raw.decode("latin-1"))
        if len(piece) > 1
    } | {raw.decode("latin-1").lower() for raw in header.patient if raw}
    words = header.description.split()
    return " ".join(w for w in words if not _tells(w.lower(), parts))[:64]


def _tells(word: str, parts: set[str]) -> bool:
    pieces = {word, *re.split(r"[\^=,_\-.]+", word)}
    return bool(pieces & parts) or any(len(p) > 3 and p in word for p in parts)

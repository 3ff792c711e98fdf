"""Structures and findings as a DICOM Segmentation beside their study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane import __version__
from diaphane.core.case import SourceRef
from diaphane.core.finding import Analysis, BundleRef
from diaphane.core.volume import Volume
from diaphane.report.masks import labels_of

# SNOMED CT: category, type; laterality where the body has two.
_ANATOMY = ("123037004", "SCT", "Anatomical Structure")
_MORPHOLOGY = ("49755003", "SCT", "Morphologically Abnormal Structure")
_STRUCTURES: dict[str, tuple[tuple[str, str, str], tuple[str, str, str]]] = {
    "right_lung": (_ANATOMY, ("3341006", "SCT", "Right lung")),
    "left_lung": (_ANATOMY, ("44029006", "SCT", "Left lung")),
}
_NODULE = (_MORPHOLOGY, ("27925004", "SCT", "Nodule"))
_MASS = (_MORPHOLOGY, ("4147007", "SCT", "Mass"))
_LUNGS = {"right": ("3341006", "SCT", "Right lung"), "left": ("44029006", "SCT", "Left lung")}
_TISSUE = ("85756007", "SCT", "Tissue")
_PALETTE = ((230, 110, 40), (60, 150, 200), (110, 180, 90), (190, 110, 190), (220, 180, 60))
_COLOURS = {"right_lung": (90, 160, 200), "left_lung": (90, 190, 170)}


def _of_label(name: str, number: int) -> dict[str, Any]:
    """Segment of a data set's label, which no vocabulary need know."""
    return {
        "category": _TISSUE,
        "type": _TISSUE,
        "label": name[:64],
        "tracking": name[:64],
        "colour": _PALETTE[number % len(_PALETTE)],
    }


@dataclass(frozen=True)
class _Maker:
    """Who outlined: a name and version for the file, and what it shows in a few words."""

    name: str
    version: str
    shows: str

    @classmethod
    def of(cls, analysis: Analysis) -> _Maker:
        """The app of an analysis."""
        return cls(f"diaphane {analysis.app}", analysis.app_version, "structures and findings")


def write_segmentation(analysis: Analysis, path: Path) -> bool:
    """Write the labels as a binary DICOM Segmentation, one segment each.

    The identity of the study is copied from its own objects, since a PACS files the result by
    it. Segments are numbered 1, 2, ... in the order of the label values.

    Returns
    -------
    bool
        Whether it was written: ``False`` for an input that is not DICOM or has no label.
    """
    labels = labels_of(analysis)
    known = {v: about for v, about in _described(analysis).items() if v and (labels == v).any()}
    return _write(labels, known, analysis.source, path, _Maker.of(analysis))


def write_label_segmentation(
    labels: Volume, names: Mapping[int, str], source: SourceRef | None, path: Path, maker: BundleRef
) -> bool:
    """Write a label map as a binary DICOM Segmentation, one segment a label, found or not.

    Parameters
    ----------
    labels:
        On the grid of the source's slices.
    names:
        Name by value.
    source:
        The study's files; the identity is copied from them.
    maker:
        Which bundle outlined it.

    Returns
    -------
    bool
        Whether it was written: ``False`` for an input that is not DICOM.
    """
    known = {
        value: _of_label(name, number) for number, (value, name) in enumerate(sorted(names.items()))
    }
    made = _Maker(f"diaphane {maker.name}", maker.version, maker.title or maker.name)
    return _write(np.asarray(labels.voxels), known, source, path, made)


def is_dicom(source: SourceRef | None) -> bool:
    """Whether a case was read from DICOM files."""
    from pydicom.misc import is_dicom as has_preamble

    files = () if source is None else source.open_for_dicom_writer()
    if not files:
        return False
    if has_preamble(files[0]):
        return True
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:  # old files lack the preamble
        return "SOPInstanceUID" in pydicom.dcmread(files[0], specific_tags=["SOPInstanceUID"])
    except (InvalidDicomError, OSError, ValueError):
        return False


def _write(
    labels: NDArray[Any],
    known: dict[int, dict[str, Any]],
    source: SourceRef | None,
    path: Path,
    maker: _Maker,
) -> bool:
    if source is None:
        return False
    files = source.open_for_dicom_writer()
    if not files or not known:
        return False
    import warnings

    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        sources = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    except (InvalidDicomError, OSError):
        return False
    if any("SOPInstanceUID" not in source for source in sources):
        return False
    # What highdicom and pydicom warn of is the source's own state, and would name the patient.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _segmentation(maker, sources, labels, known).save_as(path)
    return True


def _described(analysis: Analysis) -> dict[int, dict[str, Any]]:
    """Label value -> category, type, place, words and colour of its segment."""
    known: dict[int, dict[str, Any]] = {}
    for label, code in analysis.structures.items():
        if code in _STRUCTURES:
            category, kind = _STRUCTURES[code]
            known[int(label)] = {
                "category": category,
                "type": kind,
                "label": kind[2],
                "tracking": code,
                "colour": _COLOURS.get(code, (200, 200, 120)),
            }
    for finding in (*analysis.findings, *analysis.candidates):
        if finding.mask_label is None:
            continue
        name = finding.location.anatomy.get("label")
        if name is not None:
            known[int(finding.mask_label)] = _of_label(name, len(known))
            continue
        long = finding.measure("long_axis")
        mass = long is not None and long.unit == "mm" and long.value > 30
        category, kind = _MASS if mass else _NODULE
        side = finding.location.anatomy.get("side", "")
        known[int(finding.mask_label)] = {
            "category": category,
            "type": kind,
            "label": f"{kind[2]} {finding.id}"[:64],
            "tracking": finding.id,
            "region": _LUNGS.get(side),
            "colour": (230, 110, 40),
        }
    return known


def _segmentation(maker: _Maker, sources: list[Any], labels: Any, known: dict[int, Any]) -> Any:
    import highdicom as hd
    from highdicom.sr.coding import CodedConcept

    def coded(term: tuple[str, str, str]) -> CodedConcept:
        return CodedConcept(*term)

    algorithm = hd.AlgorithmIdentificationSequence(
        name=maker.name[:64],
        version=maker.version or __version__,
        family=CodedConcept("123110", "DCM", "Artificial Intelligence"),
    )
    values, descriptions = sorted(known), []
    for number, value in enumerate(values, start=1):
        about = known[value]
        region = about.get("region")
        descriptions.append(
            hd.seg.SegmentDescription(
                segment_number=number,
                segment_label=about["label"],
                segmented_property_category=coded(about["category"]),
                segmented_property_type=coded(about["type"]),
                algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
                tracking_uid=hd.UID(),
                tracking_id=about["tracking"],
                anatomic_regions=None if region is None else [coded(region)],
                display_color=hd.color.CIELabColor.from_rgb(*about["colour"]),
            )
        )
    numbers = np.zeros(
        max(int(labels.max()), *values) + 1, np.uint8 if len(values) < 256 else np.uint16
    )
    numbers[values] = np.arange(1, len(values) + 1)
    written = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=numbers[labels],
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        series_instance_uid=hd.UID(),
        series_number=9000,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="diaphane",
        manufacturer_model_name=maker.name[:64],
        software_versions=__version__,
        device_serial_number="0",
        series_description=f"diaphane: {maker.shows}"[:64],
        content_label="FINDINGS",
        content_description=f"Outlined by diaphane: {maker.shows}"[:64],
        omit_empty_frames=True,
    )
    # Some archives leave half a reference to the study behind; copied, it would be our error.
    references = written.get("ReferencedStudySequence", ())
    if any("ReferencedSOPClassUID" not in item for item in references):
        del written.ReferencedStudySequence
    return written

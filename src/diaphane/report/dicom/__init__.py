"""Results as DICOM: ``seg.dcm``, ``sr.dcm`` and ``rtstruct.dcm``, filed beside their study."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diaphane.core.case import SourceRef
from diaphane.core.errors import UsageError
from diaphane.core.finding import Analysis, BundleRef
from diaphane.core.volume import Volume
from diaphane.report.dicom import measured, segmentation, structures
from diaphane.report.dicom.segments import Maker, Outlined, described, of_labels
from diaphane.report.dicom.source import SourceImages, is_dicom
from diaphane.report.masks import labels_of

__all__ = ["DicomForms", "is_dicom", "write_dicom", "write_label_segmentation"]

NAMES = ("seg.dcm", "sr.dcm", "rtstruct.dcm")

_log = logging.getLogger(__name__)

# What highdicom raises for a source that it cannot refer to.
_UNFIT = (AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True)
class DicomForms:
    """Which DICOM results an analysis leaves.

    Attributes
    ----------
    seg:
        "binary" or "labelmap".
    rtstruct:
        Whether contours are written as well.

    Raises
    ------
    UsageError
        An unknown kind of Segmentation.
    """

    seg: str = "binary"
    rtstruct: bool = False

    def __post_init__(self) -> None:
        if self.seg not in segmentation.FORMS:
            raise UsageError(
                f"Segmentations are not written as '{self.seg}'.",
                remedy=f"Use one of: {', '.join(segmentation.FORMS)}",
            )


def write_dicom(
    analysis: Analysis, folder: Path, forms: DicomForms | None = None
) -> tuple[Path, ...]:
    """Write seg.dcm, sr.dcm and, where asked for, rtstruct.dcm.

    The identity of the study is copied from its own objects, since a PACS files results by it.
    Labels become segments 1, 2, ... in the order of their values; the SR refers to them.

    Returns
    -------
    tuple of Path
        What was written: nothing for an input that is not DICOM or that no result can refer to,
        no seg.dcm without a label, no sr.dcm without a finding.

    Raises
    ------
    OutputError
        A binary Segmentation would exceed 4 GiB.
    """
    wanted = forms or DicomForms()
    source = SourceImages.open(analysis.source, analysis.volume.geometry)
    if source is None:
        return ()
    maker, labels = Maker.of(analysis), labels_of(analysis)
    present = set(np.unique(labels).tolist())
    known = {v: s for v, s in described(analysis, source, maker).items() if v and v in present}
    outlined = Outlined(labels, known, source, maker)
    written, made = [], None
    # What highdicom and pydicom warn of is the source's own state, and would name the patient.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if known:
                path = folder / "seg.dcm"
                made = segmentation.write(outlined, path, wanted.seg)
                written.append(path)
            if analysis.findings:
                measured.write(analysis, outlined, folder / "sr.dcm", made)
                written.append(folder / "sr.dcm")
        except _UNFIT as error:  # its text may name the patient
            _log.warning("No DICOM results: the source is unfit (%s).", type(error).__name__)
            for name in NAMES:
                (folder / name).unlink(missing_ok=True)
            return ()
        path = folder / "rtstruct.dcm"
        if known and wanted.rtstruct and structures.write(outlined, path):
            written.append(path)
    return tuple(written)


def write_label_segmentation(
    labels: Volume,
    names: Mapping[int, str],
    source: SourceRef | None,
    path: Path,
    maker: BundleRef,
    *,
    form: str = "binary",
) -> bool:
    """Write a label map as a DICOM Segmentation, one segment a label, found or not.

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
    form:
        "binary" or "labelmap".

    Returns
    -------
    bool
        Whether it was written: ``False`` for an input that no Segmentation can refer to.

    Raises
    ------
    OutputError
        A binary Segmentation would exceed 4 GiB.
    """
    images = SourceImages.open(source, labels.geometry)
    if images is None or not names:
        return False
    by = Maker.of_bundle(maker)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            segments = of_labels(names, images, by)
            outlined = Outlined(np.asarray(labels.voxels), segments, images, by)
            segmentation.write(outlined, path, form)
        except _UNFIT as error:
            _log.warning("No Segmentation: the source is unfit (%s).", type(error).__name__)
            path.unlink(missing_ok=True)
            return False
    return True

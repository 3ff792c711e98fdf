"""Findings as an SR document after TID 1500, with their axes drawn on the source images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane import __version__
from diaphane.core.finding import Analysis, Finding
from diaphane.report.dicom import terms
from diaphane.report.dicom.contours import outlines, simplified
from diaphane.report.dicom.segments import (
    Maker,
    Outlined,
    coded_label,
    finding_code,
    new_uid,
    tracking,
)
from diaphane.report.dicom.source import CHARACTERS, SourceImages
from diaphane.report.dicom.terms import concept, knows

SERIES_NUMBER = 9001

_AXES = ("long_axis", "short_axis")


def write(analysis: Analysis, outlined: Outlined, path: Path, segmentation: Any | None) -> None:
    """Write the findings, each as one measurement group.

    A group with a segment follows TID 1411, any other TID 1410. Beside the segment stand the
    outline on the key image and, in the quantities of the axes, their end points: viewers that
    show no segments need coordinates to draw a finding. Without axes the other quantities have
    the place of the finding.

    Parameters
    ----------
    segmentation:
        The Segmentation as written, or ``None`` where there is none.

    Raises
    ------
    ValueError, AttributeError
        The source is of a kind that no report can refer to.
    """
    import highdicom as hd

    source, maker = outlined.source, outlined.maker
    groups = [_Group(finding, outlined, segmentation).made() for finding in analysis.findings]
    modality = str(source.first.get("Modality") or "")
    report = hd.sr.MeasurementReport(
        observation_context=_context(analysis, source, maker),
        procedure_reported=concept(
            "procedure", modality if knows("procedure", modality) else "other"
        ),
        imaging_measurements=groups,
        title=concept("document", "title"),
    )
    content = report[0].ContentSequence
    content.insert(len(content) - 1, _library(source))  # before the measurements
    kind = hd.sr.ComprehensiveSR if source.frames else hd.sr.Comprehensive3DSR
    evidence = list(source.images) + ([] if segmentation is None else [segmentation])
    made = kind(
        evidence=evidence,
        content=report[0],
        series_instance_uid=new_uid(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=new_uid(),
        instance_number=1,
        manufacturer="diaphane",
        manufacturer_model_name=maker.name,
        software_versions=__version__,
        device_serial_number="0",
        series_description=f"diaphane: {maker.shows}"[:64],
        is_complete=True,
        specific_character_set=CHARACTERS,
    )
    made.CodingSchemeIdentificationSequence = [terms.private_scheme()]
    made.save_as(path)


def _library(source: SourceImages) -> Any:
    """The images, as viewers look for them (TID 1600); their headers describe them."""
    import highdicom as hd

    def container(key: str, items: Sequence[Any]) -> Any:
        made = hd.sr.ContainerContentItem(
            concept("document", key), is_content_continuous=True, relationship_type="CONTAINS"
        )
        made.ContentSequence = hd.sr.ContentSequence(items)
        return made

    images = [
        hd.sr.ImageContentItem(
            concept("document", "source"),
            image.SOPClassUID,
            image.SOPInstanceUID,
            relationship_type="CONTAINS",
        )
        for image in source.images
    ]
    return container("library", [container("library_group", images)])


def _context(analysis: Analysis, source: SourceImages, maker: Maker) -> Any:
    import highdicom as hd

    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=maker.tracking_uid(source, "device"),
        name="diaphane",
        manufacturer_name="diaphane",
        model_name=f"{analysis.app} {analysis.app_version}",
        serial_number=__version__,
    )
    from pydicom.sr.codedict import codes

    observer = hd.sr.ObserverContext(
        observer_type=codes.DCM.Device, observer_identifying_attributes=device
    )
    return hd.sr.ObservationContext(observer_device_context=observer)


class _Group:
    """One finding as a measurement group."""

    def __init__(self, finding: Finding, outlined: Outlined, segmentation: Any | None) -> None:
        self.finding, self.outlined, self.segmentation = finding, outlined, segmentation
        self.source, self.maker = outlined.source, outlined.maker
        numbers = {value: n for n, value in enumerate(sorted(outlined.segments), start=1)}
        label = None if segmentation is None else finding.mask_label
        self.number = None if label is None else numbers.get(label)
        self.key = int(finding.location.key_slice)

    def made(self) -> Any:
        """The group; its quantities and judgements come last."""
        import highdicom as hd

        ident, uid = tracking(self.finding, self.source, self.maker)
        about = {
            "tracking_identifier": hd.sr.TrackingIdentifier(uid=uid, identifier=ident),
            "finding_type": self._type(),
            "finding_sites": self._sites(),
            "algorithm_id": hd.sr.AlgorithmIdentification(
                name=self.maker.name,
                version=self.maker.version or __version__,
                parameters=[f"{name}: {value}" for name, value in self.maker.parameters.items()]
                or None,
            ),
        }
        group: Any
        if self.number is not None:
            group = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
                referenced_segment=hd.sr.ReferencedSegment(
                    self.segmentation.SOPClassUID,  # type: ignore[union-attr]
                    self.segmentation.SOPInstanceUID,  # type: ignore[union-attr]
                    self.number,
                    source_series=hd.sr.SourceSeriesForSegmentation(
                        self.source.first.SeriesInstanceUID
                    ),
                ),
                **about,
            )
        else:
            group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                referenced_region=self._drawn(self._place(), region=True), **about
            )
        content = group[0].ContentSequence
        if self.number is not None:
            outline = self._drawn(self._place(), "outline")
            outline.RelationshipType = "CONTAINS"
            content.append(outline)
        for item in (*self._quantities(), *self._judgement()):
            content.append(item)
        return group

    def _type(self) -> Any:
        """What was found; in the lung with the same code of RadLex beside SNOMED's."""
        place = self.finding.location.anatomy
        code = finding_code(self.finding)
        if "label" in place:
            return concept(*coded_label(place["label"])[1])
        made = concept("finding", code)
        if place.get("organ") == "lung" and knows("same_in_lung", code):
            made.EquivalentCodeSequence = [concept("same_in_lung", code)]
        return made

    def _sites(self) -> list[Any] | None:
        import highdicom as hd

        place = self.finding.location.anatomy
        organ, side, third = (place.get(kind, "") for kind in ("organ", "side", "third"))
        if not knows("site", organ):
            return None
        return [
            hd.sr.FindingSite(
                concept("site", organ),
                laterality=concept("side", side) if knows("side", side) else None,
                topographical_modifier=concept("zone", third)
                if organ == "lung" and knows("zone", third)
                else None,
            )
        ]

    def _place(self) -> tuple[NDArray[np.float64], str]:
        """What is drawn for all but the axes: the outline on the key image, a point, the image.

        Points are ``(n, 3)`` as ``(z, y, x)``.
        """
        finding, z = self.finding, self.key
        if finding.mask_label is not None:
            mask = np.asarray(self.outlined.labels[z] == finding.mask_label)
            if mask.any():
                largest = max(outlines(mask), key=lambda o: float(np.ptp(o, axis=0).prod()))
                return _on(z, simplified(largest)), "POLYLINE"
        if finding.origin == "whole_image" or finding.mask_label is not None:
            _, rows, columns = self.source.geometry.shape
            low, high = -0.5, (rows - 0.5, columns - 0.5)
            corners = [(low, low), (low, high[1]), high, (high[0], low)]
            return _on(z, np.array(corners)), "POLYLINE"
        return np.array([finding.location.centre_index], dtype=np.float64), "POINT"

    def _drawn(
        self,
        place: tuple[NDArray[np.float64], str],
        purpose: str = "source",
        *,
        region: bool = False,
    ) -> Any:
        """Coordinates as an item: on the source image, else in the frame of reference.

        On an image they are (column, row) with the corner of the first pixel at 0, 0
        (PS3.3 C.18.6.1.1).
        """
        import highdicom as hd

        points, shape = place
        closed = shape == "POLYLINE" and len(points) > 2
        name = concept("document", purpose)
        if closed:
            points = np.concatenate([points, points[:1]])
        if self.source.frames:
            z = min(max(round(float(points[0, 0])), 0), len(self.source.frames) - 1)
            sop_class, uid, frames = self.source.reference(z)
            image = hd.sr.SourceImageForRegion(sop_class, uid, frames)
            flat = points[:, [2, 1]] + 0.5
            if region:
                return hd.sr.ImageRegion(shape, flat, source_image=image)
            return hd.sr.CoordinatesForMeasurement(shape, flat, image, name)
        frame_of_reference = self.source.first.FrameOfReferenceUID
        mm = self.source.patient(points)
        shape = "POLYGON" if closed else shape
        if region:
            return hd.sr.ImageRegion3D(shape, mm, frame_of_reference_uid=frame_of_reference)
        return hd.sr.CoordinatesForMeasurement3D(shape, mm, frame_of_reference, purpose=name)

    def _quantities(self) -> list[Any]:
        """Measurements in their order, which begins with the axes."""
        finding = self.finding
        axes = {"long_axis": finding.long_axis, "short_axis": finding.short_axis}
        ordered = sorted(finding.measurements, key=lambda m: m.code not in _AXES)
        made = []
        for measured in ordered:
            if not knows("measure", measured.code) or not np.isfinite(measured.value):
                continue
            axis = axes.get(measured.code)
            drawn = None if finding.long_axis is not None else self._place()
            if axis is not None:
                drawn = np.array([axis.start, axis.end], dtype=np.float64), "POLYLINE"
            extra = []
            if knows("derivation", measured.code):
                extra = [_code("121401", "Derivation", concept("derivation", measured.code))]
            unit = measured.unit if knows("unit", measured.unit) else "1"
            made.append(
                self._number(concept("measure", measured.code), measured.value, unit, drawn, extra)
            )
        return made

    def _number(
        self,
        name: Any,
        value: float,
        unit: str,
        place: tuple[NDArray[np.float64], str] | None,
        extra: Sequence[Any] = (),
    ) -> Any:
        """A quantity; its coordinates come first, since viewers look at the first item only."""
        import highdicom as hd

        item = hd.sr.NumContentItem(
            name, _rounded(value), concept("unit", unit), relationship_type="CONTAINS"
        )
        content = [] if place is None else [self._drawn(place)]
        if content or extra:
            item.ContentSequence = hd.sr.ContentSequence([*content, *extra])
        return item

    def _judgement(self) -> list[Any]:
        """Calibrated probabilities and prediction set, or the coded reasons for none; a comment."""
        import highdicom as hd

        said = self.finding.assessment
        place = None if self.finding.long_axis is not None else self._place()
        items: list[Any] = []
        for name, share in (said.probability or {}).items():
            of_class = hd.sr.TextContentItem(
                concept("judgement", "class"), name, relationship_type="HAS CONCEPT MOD"
            )
            items.append(
                self._number(concept("judgement", "probability"), share, "1", place, [of_class])
            )
        if said.probability is not None and said.set_level is not None:
            level = concept("judgement", "set_level")
            items.append(self._number(level, said.set_level, "1", place))
        items += [
            hd.sr.TextContentItem(
                concept("judgement", "prediction_set"), name, relationship_type="CONTAINS"
            )
            for name in said.prediction_set
        ]
        items += [
            hd.sr.CodeContentItem(
                concept("judgement", "no_probability"),
                concept("reason", code if knows("reason", code) else "other"),
                relationship_type="CONTAINS",
            )
            for code in (said.reasons if said.probability is None else ())
        ]
        items.append(
            hd.sr.TextContentItem(
                concept("document", "comment"), self._comment(), relationship_type="CONTAINS"
            )
        )
        return items

    def _comment(self) -> str:
        """The finding in a line: what viewers write beside it."""
        finding, said = self.finding, self.finding.assessment
        name = finding.location.anatomy.get("label") or terms.words(
            "finding", finding_code(finding)
        )
        if said.probability:
            known = said.probability
            best = said.positive or max(known, key=lambda c: known[c])
            return f"{finding.id} {name}: {best} {known[best]:.2f}"
        why = ", ".join(
            terms.words("reason", code) if knows("reason", code) else code for code in said.reasons
        )
        return f"{finding.id} {name}" + (f": no probability ({why})" if why else "")


def _on(z: int, points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([np.full(len(points), float(z)), points])


def _code(value: str, meaning: str, coded: Any) -> Any:
    import highdicom as hd

    return hd.sr.CodeContentItem(
        hd.sr.CodedConcept(value, "DCM", meaning), coded, relationship_type="HAS CONCEPT MOD"
    )


def _rounded(value: float) -> float:
    """To six significant digits, which a DS always holds."""
    return float(f"{value:.6g}")

"""Any segmentation bundle on any input that it takes: one finding for every label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diaphane.apps.generic import Note, one_case, shown_volume, spacing_notes
from diaphane.apps.stages import Stages
from diaphane.apps.study import Study
from diaphane.apps.versions import used_versions
from diaphane.core.case import Identified
from diaphane.core.finding import Analysis, Finding, Measurement
from diaphane.core.options import ReadOptions
from diaphane.core.protocols import Request
from diaphane.core.volume import Volume
from diaphane.diagnose import Region, diameters, location, measurements, withheld

if TYPE_CHECKING:
    from diaphane.bundle import Segmentation, Segmenter

UNSURE = 0.5
"""A voxel is uncertain from this share of the largest possible entropy on."""

EXPECTED = ((0.85, "outline_expected_good"), (0.7, "outline_expected_fair"))
"""Predicted Dice, at least, for each note; below them all the outline is expected to be poor."""


@dataclass(frozen=True, eq=False)
class Outlines:
    """The app that runs one segmentation bundle on one image, stack or series.

    Attributes
    ----------
    segmenter:
        Loaded.
    """

    segmenter: Segmenter
    name: str = "outlines"
    version: str = "1"

    @property
    def reading(self) -> ReadOptions:
        """How DICOM is read where nobody says it."""
        return self.segmenter.reading

    def analyze(self, request: Request) -> Analysis:
        """What the bundle outlines in the one case at ``request.path``; raises as ``Generic``."""
        return self.examine(request).value

    def examine(self, request: Request) -> Identified[Analysis]:
        """As :meth:`analyze`, with the identity of the patient for whoever files the result."""
        manifest = self.segmenter.manifest
        stages = Stages(request.progress)
        case, study = one_case(request, stages, sequences=manifest.patch.size[0] > 1)
        with stages("model", 0.1):
            found = self.segmenter.segment(
                case,
                uncertainty=True,
                progress=lambda _, share: request.progress("model", 0.1 + 0.7 * share),
            )
        with stages("measure", 0.8):
            labels = np.asarray(found.labels.voxels, dtype=np.uint16)
            findings = self._findings(case.volume, study, found, labels)
            drawn = {f.mask_label for f in findings}
            absent = [label.name for label in manifest.labels if label.value not in drawn]
        notes: tuple[Note, ...] = ()
        if not findings:
            notes = (("nothing_outlined", {}),)
        elif absent:
            notes = (("labels_absent", {"names": absent}),)
        analysis = Analysis(
            app=self.name,
            app_version=self.version,
            pseudonym=study.pseudonym,
            volume=shown_volume(case.volume),
            findings=findings,
            labels=labels,
            structures={label.value: label.name for label in manifest.labels},
            series=study.series,
            bundles=(self.segmenter.ref(),),
            recipe=self.segmenter.recipe.to_dict(),
            notes=(*study.notes, *notes, *spacing_notes(case.volume)),
            limits=(("not_a_device", {}), ("outline_by_model", {})),
            timings=stages.seconds,
            versions=used_versions(),
            source=study.source,
            instance_numbers=study.instance_numbers,
            uncertainty=None if found.uncertainty is None else found.uncertainty.voxels,
        )
        return Identified(analysis, study.identity)

    def _findings(
        self, volume: Volume, study: Study, found: Segmentation, labels: NDArray[np.uint16]
    ) -> tuple[Finding, ...]:
        """One a label that occurs, in the manifest's order."""
        findings: list[Finding] = []
        shown = shown_volume(volume)
        for label in self.segmenter.manifest.labels:
            mask = labels == label.value
            if not mask.any():
                continue
            region = Region.of(mask, shown)
            guess = found.predicted_dice[label.name]
            notes = [] if guess is None else [expectation(guess)]
            if region.measures.touches_edge:
                notes.append("touches_border")
            if region.measures.unit == "px":
                notes.append("pixels")
            axes = diameters(region)
            findings.append(
                Finding(
                    id=f"F{len(findings) + 1}",
                    code="outline",
                    location=location(
                        region, volume, study.instance_numbers, {"label": label.name}
                    ),
                    measurements=_measurements(region, volume, found, label.name),
                    assessment=withheld("outline_only"),
                    long_axis=axes[0],
                    short_axis=axes[1],
                    mask_label=label.value,
                    rank=0.0,
                    notes=tuple(notes),
                )
            )
        return tuple(findings)


def expectation(predicted_dice: float) -> str:
    """Code of the note that says in words what a predicted Dice means."""
    words = (code for least, code in EXPECTED if predicted_dice >= least)
    return next(words, "outline_expected_poor")


def _measurements(
    region: Region, volume: Volume, found: Segmentation, name: str
) -> tuple[Measurement, ...]:
    """Size and density, then how sure the model is of its outline."""
    measured = list(measurements(region, volume.unit))
    if volume.shape[0] == 1:  # an image has an area, and no volume
        _, dy, dx = volume.geometry.spacing
        known = dy is not None and dx is not None
        area = float(region.mask.sum()) * (dy * dx if dy is not None and dx is not None else 1.0)
        measured = [m for m in measured if m.code not in ("volume", "sphericity")]
        measured.insert(3, Measurement("area", area, "mm2" if known else "px2"))
    guess = found.predicted_dice[name]
    if guess is not None:
        measured.append(Measurement("predicted_dice", guess, "1"))
    if found.uncertainty is not None:
        unsure = found.uncertainty.voxels[region.box][region.mask]
        measured.append(Measurement("uncertain_share", float((unsure > UNSURE).mean()), "1"))
    return tuple(measured)

"""Any classification bundle on any input that it takes: one finding for the whole image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire import open_inputs
from diaphane.acquire.reading import format_of
from diaphane.apps.stages import Stages
from diaphane.apps.study import Study, only_series, read_study
from diaphane.apps.versions import used_versions
from diaphane.core.case import Case, Identified
from diaphane.core.errors import AmbiguousInput, UsageError
from diaphane.core.finding import Analysis, Assessment, Finding, Location
from diaphane.core.options import ReadOptions
from diaphane.core.protocols import Request
from diaphane.core.volume import Volume
from diaphane.diagnose import Region, assess, diameters, evidence_of, measurements
from diaphane.preprocess import grey

if TYPE_CHECKING:
    from diaphane.bundle import Bundle, Prediction

Note = tuple[str, dict[str, Any]]

REGION = 1
"""Label of the region that the bundle judged, where it judges one."""


@dataclass(frozen=True, eq=False)
class Generic:
    """The app that runs one bundle on one whole image, stack or series.

    Attributes
    ----------
    bundle:
        Loaded; knows how to prepare a case and what its numbers mean.
    """

    bundle: Bundle
    name: str = "generic"
    version: str = "1"

    @property
    def reading(self) -> ReadOptions:
        """How DICOM is read where nobody says it."""
        return self.bundle.reading

    def analyze(self, request: Request) -> Analysis:
        """What the bundle says about the one case at ``request.path``.

        Raises
        ------
        UsageError
            Points were given; the bundle looks everywhere.
        AmbiguousInput
            The input holds several cases or series.
        InputError
            The input cannot be read, or is not what the bundle takes.
        """
        return self.examine(request).value

    def examine(self, request: Request) -> Identified[Analysis]:
        """As :meth:`analyze`, with the identity of the patient for whoever files the result."""
        stages = Stages(request.progress)
        sequences = self.bundle.manifest.input.kind == "sequence"
        case, study = one_case(request, stages, sequences=sequences)
        with stages("prepare", 0.3):
            prepared = self.bundle.prepare(case)
        with stages("model", 0.5):
            prediction = self.bundle.predict_prepared([prepared])[0]
        with stages("measure", 0.8):
            region = self._region(case)
            finding = self._finding(case, study, prediction, region)
            labels = np.zeros(case.volume.shape, dtype=np.uint16)
            if region is not None:
                region.paint(labels, REGION)
        analysis = Analysis(
            app=self.name,
            app_version=self.version,
            pseudonym=study.pseudonym,
            volume=shown_volume(case.volume),
            findings=(finding,),
            labels=labels,
            structures={} if region is None else {REGION: finding.id},
            series=study.series,
            bundles=(self.bundle.ref(),),
            recipe=self.bundle.recipe.to_dict(),
            notes=(*study.notes, *spacing_notes(case.volume)),
            limits=(("not_a_device", {}), ("given_context", {})),
            timings=stages.seconds,
            versions=used_versions(),
            source=study.source,
            instance_numbers=study.instance_numbers,
        )
        return Identified(analysis, study.identity)

    def _region(self, case: Case) -> Region | None:
        """What the bundle looks at, where that is not the whole image."""
        kind = self.bundle.manifest.input.mask
        if kind == "none":
            return None
        if kind == "given" and case.mask is not None:
            inside = np.asarray(case.mask.voxels) > 0
        else:
            voxels = case.volume.voxels
            above = np.asarray(voxels > 0, dtype=np.bool_)
            inside = np.asarray(above.any(axis=0)) if above.ndim == 4 else above
        return Region.of(inside, case.volume)

    def _finding(
        self, case: Case, study: Study, prediction: Prediction, region: Region | None
    ) -> Finding:
        assessment = assess(self.bundle, prediction)
        evidence = evidence_of(self.bundle, prediction, assessment)
        axes = (None, None) if region is None else diameters(region)
        return Finding(
            id="F1",
            code="image",
            location=_location(case.volume, study, prediction, region),
            measurements=() if region is None else measurements(region, case.volume.unit),
            assessment=assessment,
            evidence=evidence,
            long_axis=axes[0],
            short_axis=axes[1],
            mask_label=None if region is None else REGION,
            origin="whole_image",
            rank=_rank(assessment),
            notes=("pixels",) if region is not None and region.measures.unit == "px" else (),
        )


def one_case(request: Request, stages: Stages, *, sequences: bool) -> tuple[Case, Study]:
    """The one case of the input, and the study that it belongs to.

    Parameters
    ----------
    sequences:
        Whether the bundle takes several slices, so that a folder of pictures is a stack.

    Raises
    ------
    UsageError
        Points were given.
    AmbiguousInput
        The input holds several cases or series.
    InputError
        It cannot be read.
    """
    if len(request.points):
        raise UsageError(
            "The bundle looks at whole images and takes no points.",
            remedy="Leave --at out, or use an app such as lung-ct.",
        )
    single_dicom = request.path.is_file() and format_of(request.path) == "dicom"
    with stages("choose", 0.0):
        inputs = None
        if not single_dicom:
            inputs = open_inputs(
                [request.path],
                sequences=sequences,
                stack=request.stack,
                options=request.options,
            )
    if inputs is None or inputs.kind == "dicom":
        study = read_study(request, None, stages)
        case = Case(study.series[0].key, {"image": study.volume}, group=study.pseudonym)
        return case, study
    if request.series is not None:
        raise UsageError("--series names a DICOM series, and the input is not DICOM.")
    if len(inputs) != 1:
        raise AmbiguousInput(
            f"The input holds {len(inputs)} cases, and analyze looks at one.",
            path=request.path,
            remedy="Name one of them, or use 'diaphane predict' for many.",
        )
    with stages("read", 0.1):
        case = inputs.entries[0].load()
    return case, Study(case.volume, case.group or case.key, (only_series(case.key, case.volume),))


def _location(
    volume: Volume, study: Study, prediction: Prediction, region: Region | None
) -> Location:
    """The whole grid or the region's box; the key slice is the one attended to most."""
    z, y, x = volume.shape
    box = (0, 0, 0, z, y, x)
    centre = ((z - 1) / 2, (y - 1) / 2, (x - 1) / 2)
    if region is not None:
        a, b, c = region.box
        box = (a.start, b.start, c.start, a.stop, b.stop, c.stop)
        centre = region.measures.centroid
    key = prediction.prepared.slices[int(np.argmax(prediction.output.attention))]
    where = None
    if volume.geometry.is_spatial:
        point = volume.geometry.to_patient(centre)
        where = (float(point[0]), float(point[1]), float(point[2]))
    numbers = study.instance_numbers
    return Location(
        box=box,
        centre_index=centre,
        centre_mm=where,
        key_slice=key,
        instance_number=numbers[key] if key < len(numbers) else None,
    )


def _rank(assessment: Assessment) -> float:
    """Probability of the positive or most likely class; 0 where there is none."""
    if assessment.probability is None:
        return 0.0
    if assessment.positive is not None:
        return round(assessment.probability[assessment.positive], 4)
    return round(max(assessment.probability.values()), 4)


def shown_volume(volume: Volume) -> Volume:
    """One channel to draw: luminance of colours, else the first."""
    if volume.voxels.ndim == 3:
        return volume
    if volume.channels <= 4 and volume.shape[0] == 1:
        return grey(volume)
    first: NDArray[Any] = volume.voxels[0]
    return volume.with_voxels(first)


def spacing_notes(volume: Volume) -> tuple[Note, ...]:
    """A note where sizes can only be in pixels."""
    return (("pixels", {}),) if None in volume.geometry.spacing[1:] else ()

"""Labels and findings as segments: coded, named, and known by one tracking UID everywhere."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from diaphane import __version__
from diaphane.core.finding import Analysis, BundleRef, Finding
from diaphane.report.dicom.source import SourceImages
from diaphane.report.dicom.terms import concept, knows, words

Colour = tuple[int, int, int]

VIEWER = "Cornerstone3DTools@^0.1.0"
"""Tracking identifiers begin so and name a tool: by them OHIF draws a finding (its adapters)."""

FINDING_COLOUR: Colour = (230, 110, 40)
_PALETTE: tuple[Colour, ...] = (
    FINDING_COLOUR, (60, 150, 200), (110, 180, 90), (190, 110, 190), (220, 180, 60),
)  # fmt: skip
_COLOURS: Mapping[str, Colour] = {"right_lung": (90, 160, 200), "left_lung": (90, 190, 170)}
_LONGEST = 64  # characters of LO


@dataclass(frozen=True)
class Segment:
    """One label of a mask as all results describe it.

    Attributes
    ----------
    value:
        Its value in the labels.
    name:
        In words.
    category, kind:
        Rows of the table of terms: ``(kind of row, key)``.
    site:
        Row of where it lies, if that is known and not the structure itself.
    is_organ:
        Whether it is a structure rather than a finding.
    """

    value: int
    name: str
    category: tuple[str, str]
    kind: tuple[str, str]
    tracking_id: str
    tracking_uid: str
    colour: Colour
    site: tuple[str, str] | None = None
    is_organ: bool = False


@dataclass(frozen=True)
class Maker:
    """Who outlined and measured.

    Attributes
    ----------
    name, version:
        As DICOM names the algorithm.
    shows:
        What it outlines, in a few words.
    bundles:
        Name, version and sha256 of the bundles that spoke.
    """

    name: str
    version: str
    shows: str
    bundles: tuple[BundleRef, ...] = field(default=())

    @classmethod
    def of(cls, analysis: Analysis) -> Maker:
        """The app of an analysis."""
        name = f"diaphane {analysis.app}"[:_LONGEST]
        return cls(name, analysis.app_version, "structures and findings", analysis.bundles)

    @classmethod
    def of_bundle(cls, bundle: BundleRef) -> Maker:
        """A segmentation bundle alone."""
        name = f"diaphane {bundle.name}"[:_LONGEST]
        return cls(name, bundle.version, bundle.title or bundle.name, (bundle,))

    @property
    def parameters(self) -> dict[str, str]:
        """What identifies the algorithm beyond its name."""
        return {f"bundle {b.name} {b.version} sha256": b.sha256 for b in self.bundles}

    def tracking_uid(self, source: SourceImages, key: str) -> str:
        """UID of what ``key`` names in this series for these models: the same in every result.

        Derived (2.25 and a name-based UUID, PS3.5 B.2), so that writing the same analysis again
        tracks the same things, though the objects are new.
        """
        parts = [str(source.first.SeriesInstanceUID), self.name, self.version]
        parts += [bundle.sha256 for bundle in self.bundles] + [key]
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, digest).int}"


@dataclass(frozen=True, eq=False)
class Outlined:
    """What all results of one volume describe.

    Attributes
    ----------
    labels:
        ``(z, y, x)`` on the grid of ``source``.
    segments:
        What each value is, found or not; other values are left out.
    """

    labels: NDArray[Any]
    segments: Mapping[int, Segment]
    source: SourceImages
    maker: Maker


def new_uid() -> str:
    """A UID that no other object has: each writing makes new objects, never one UID twice."""
    return f"2.25.{uuid.uuid4().int}"


def tool_of(finding: Finding) -> str:
    """The viewer's tool that shows a finding."""
    if finding.long_axis is not None and finding.short_axis is not None:
        return "Bidirectional"
    if finding.long_axis is not None:
        return "Length"
    whole = finding.origin == "whole_image"
    return "RectangleROI" if whole or finding.mask_label is not None else "Probe"


def tracking(finding: Finding, source: SourceImages, maker: Maker) -> tuple[str, str]:
    """Tracking identifier and UID of a finding, the same in the SEG and the SR."""
    key = "\0".join((finding.id, *(str(edge) for edge in finding.location.box)))
    return f"{VIEWER}:{tool_of(finding)}:{finding.id}", maker.tracking_uid(source, key)


def finding_code(finding: Finding) -> str:
    """Row of the kind ``finding``: long solid nodules are masses, whatever the app calls them."""
    code = finding.code if knows("finding", finding.code) else "lesion"
    long = finding.measure("long_axis")
    if code in ("nodule", "lung_nodule") and long and long.unit == "mm" and long.value > 30:
        return "mass"
    return code


def described(analysis: Analysis, source: SourceImages, maker: Maker) -> dict[int, Segment]:
    """Segments of an analysis by label value."""
    known: dict[int, Segment] = {}
    for label, code in analysis.structures.items():
        if knows("anatomy", code):
            known[int(label)] = _of_structure(int(label), code, source, maker)
    for finding in (*analysis.findings, *analysis.candidates):
        if finding.mask_label is None:
            continue
        value = int(finding.mask_label)
        place = finding.location.anatomy
        ident, uid = tracking(finding, source, maker)
        if "label" in place:
            known[value] = _of_label(value, place["label"], len(known), (ident, uid))
            continue
        whole = finding.origin == "whole_image"  # then the mask is what the bundle looked at
        kind = ("category", "tissue") if whole else ("finding", finding_code(finding))
        region = f"{place.get('side', '')}_{place.get('organ', 'lung')}"
        known[value] = Segment(
            value,
            f"{words(*kind)} {finding.id}"[:_LONGEST],
            ("category", "tissue" if whole else "morphology"),
            kind,
            ident,
            uid,
            FINDING_COLOUR,
            ("anatomy", region) if knows("anatomy", region) else None,
        )
    return known


def of_labels(names: Mapping[int, str], source: SourceImages, maker: Maker) -> dict[int, Segment]:
    """Segments of a bundle's labels by value."""
    return {
        value: _of_label(value, name, number, (name, maker.tracking_uid(source, name)))
        for number, (value, name) in enumerate(sorted(names.items()))
    }


def _of_structure(value: int, code: str, source: SourceImages, maker: Maker) -> Segment:
    kind = ("anatomy", code)
    return Segment(
        value,
        words(*kind),
        ("category", "anatomy"),
        kind,
        code,
        maker.tracking_uid(source, code),
        _COLOURS.get(code, (200, 200, 120)),
        is_organ=True,
    )


def coded_label(name: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Category and kind of a data set's label: coded where the table knows its name, else tissue.

    ``kidney_left``, ``Left kidney`` and ``left-kidney`` are one.
    """
    plain = "_".join(name.casefold().replace("-", " ").replace("_", " ").split())
    head, _, tail = plain.rpartition("_")
    for row in ("anatomy", "morphology"):
        for key in (plain, f"{tail}_{head}"):
            if knows(row, key):
                return ("category", row), (row, key)
    return ("category", "tissue"), ("category", "tissue")


def _of_label(value: int, name: str, number: int, track: tuple[str, str]) -> Segment:
    category, kind = coded_label(name)
    return Segment(
        value,
        name[:_LONGEST],
        category,
        kind,
        track[0],
        track[1],
        _PALETTE[number % len(_PALETTE)],
        is_organ=category != ("category", "morphology"),
    )


def algorithm(maker: Maker) -> Any:
    """AlgorithmIdentificationSequence (PS3.3 10.16) with the bundles' hashes."""
    import highdicom as hd

    return hd.AlgorithmIdentificationSequence(
        name=maker.name,
        version=maker.version or __version__,
        family=concept("document", "algorithm_family"),
        parameters=maker.parameters or None,
    )

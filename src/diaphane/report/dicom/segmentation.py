"""Structures and findings as a DICOM Segmentation beside their study.

highdicom describes the object; the frames of a binary one are written here, since building
tens of thousands of frame descriptions and holding all bits in memory is what takes the time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane import __version__
from diaphane.core.errors import OutputError
from diaphane.report.dicom.segments import Outlined, algorithm, new_uid
from diaphane.report.dicom.source import CHARACTERS, SourceImages
from diaphane.report.dicom.terms import concept, private_scheme

FORMS = ("binary", "labelmap")
"""Kinds of Segmentation: one bit a segment and pixel, or one number a pixel."""

SERIES_NUMBER = 9000

_LARGEST = 2**32 - 2
_BATCH = 8  # frames: their bits always fill whole bytes
_FRAMES, _PIXELS = b"\x00\x52\x30\x92SQ\x00\x00", b"\xe0\x7f\x10\x00OB\x00\x00"
_ITEM = b"\xfe\xff\x00\xe0"
_FRAME_CONTENT, _SEGMENT = 0x00209111, 0x0062000A


def write(outlined: Outlined, path: Path, form: str = "binary") -> Any:
    """Write labels as a Segmentation, one segment a value, in the order of the values.

    Parameters
    ----------
    form:
        "binary" or "labelmap".

    Returns
    -------
    Dataset
        The header as written, less the frames of a binary one.

    Raises
    ------
    OutputError
        A binary object would exceed 4 GiB, which DICOM cannot state.
    ValueError, AttributeError
        The source is of a kind that no Segmentation can refer to.
    """
    labels, values = outlined.labels, sorted(outlined.segments)
    numbers = np.zeros(
        max(int(labels.max(initial=0)), *values) + 1, np.uint8 if len(values) < 256 else np.uint16
    )
    numbers[values] = np.arange(1, len(values) + 1)
    numbered = numbers[labels]
    if form == "labelmap":
        made = _described(numbered, outlined, form)
        made.save_as(path)
        return made
    return _write_binary(numbered, outlined, path)


def _write_binary(numbered: NDArray[Any], outlined: Outlined, path: Path) -> Any:
    """Header by highdicom from one marked pixel a slice, then every frame that is not empty."""
    count = len(outlined.segments)
    present = np.array(
        [np.bincount(plane.ravel(), minlength=count + 1)[1:] > 0 for plane in numbered]
    )
    if not present.any():
        present[0, 0] = True  # an object without a frame is not valid
    marked = np.zeros(numbered.shape, np.uint8)  # costs nothing until touched
    marked[present.any(axis=1), 0, 0] = 1
    made = _described(marked, outlined, "binary")
    items = _Items(made, outlined.source)
    order = [(s, z) for s in range(1, count + 1) for z in items.slices if present[z, s - 1]]
    described = b"".join(items.encoded(s, z) for s, z in order)
    rows, columns = numbered.shape[1:]
    size = -(-len(order) * rows * columns // 8)
    if size > _LARGEST:
        raise OutputError(
            f"A binary Segmentation of {len(order)} frames would exceed 4 GiB.",
            path=path.name,
            remedy="Write a label map: --seg labelmap",
        )
    del made.PerFrameFunctionalGroupsSequence, made.PixelData
    made.NumberOfFrames = len(order)
    made.save_as(path)
    with path.open("ab") as file:
        file.write(_FRAMES + struct.pack("<I", len(described)))
        file.write(described)
        file.write(_PIXELS + struct.pack("<I", size + size % 2))
        for bits in _packed(numbered, order):
            file.write(bits)
        file.write(b"\0" * (size % 2))
    return made


def _packed(numbered: NDArray[Any], order: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """Frames as bits, the lowest first (PS3.5 8.1.1), without gaps between frames."""
    planes = np.empty((_BATCH, *numbered.shape[1:]), np.bool_)
    for start in range(0, len(order), _BATCH):
        batch = order[start : start + _BATCH]
        for plane, (s, z) in zip(planes, batch, strict=False):
            np.equal(numbered[z], s, out=plane)
        yield np.packbits(planes[: len(batch)].ravel(), bitorder="little").tobytes()


class _Items:
    """Descriptions of frames as bytes: highdicom's own for a slice, with another segment.

    Attributes
    ----------
    slices:
        Slices that occur, in highdicom's order.
    """

    def __init__(self, made: Any, source: SourceImages) -> None:
        self._parts: dict[int, list[tuple[int, bytes]]] = {}
        self._positions: dict[int, bytes] = {}
        for frame in made.PerFrameFunctionalGroupsSequence:
            z = _slice_of(frame, source)
            indices = frame.FrameContentSequence[0].DimensionIndexValues
            places = [indices] if isinstance(indices, int) else list(indices)
            self._positions[z] = struct.pack(f"<{len(places) - 1}I", *places[1:])
            self._parts[z] = [(int(element.tag), _encoded(element)) for element in frame]
        self.slices = tuple(self._parts)
        self._segment: dict[int, bytes] = {}

    def encoded(self, segment: int, z: int) -> bytes:
        """One item of PerFrameFunctionalGroupsSequence; segments are numbered from 1."""
        whole = []
        for tag, part in self._parts[z]:
            if tag == _FRAME_CONTENT:  # its last element are the dimension indices
                tail = self._positions[z]
                whole.append(part[: len(part) - len(tail) - 4] + struct.pack("<I", segment) + tail)
            elif tag == _SEGMENT:
                whole.append(part[:-2] + struct.pack("<H", segment))
            else:
                whole.append(part)
        content = b"".join(whole)
        return _ITEM + struct.pack("<I", len(content)) + content


def _slice_of(frame: Any, source: SourceImages) -> int:
    """The slice of the volume where a frame lies."""
    if "PlanePositionSequence" not in frame or not source.geometry.is_spatial:
        return 0
    corner = frame.PlanePositionSequence[0].ImagePositionPatient
    return round(float(source.geometry.to_index([float(v) for v in corner])[0]))


def _refer(made: Any, source: SourceImages) -> None:
    """Each frame to the source frame that it was drawn on, where highdicom takes all of its place."""
    frames = made.PerFrameFunctionalGroupsSequence
    known = next((f for f in frames if f.get("DerivationImageSequence")), None)
    if known is None:
        return
    for frame in frames:
        frame.DerivationImageSequence = deepcopy(known.DerivationImageSequence)
        item = frame.DerivationImageSequence[0].SourceImageSequence[0]
        frame.DerivationImageSequence[0].SourceImageSequence = [item]
        sop_class, uid, numbers = source.reference(_slice_of(frame, source))
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        item.ReferencedFrameNumber = numbers


def _encoded(element: Any) -> bytes:
    """An element in explicit VR little endian."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_data_element

    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_data_element(buffer, element, ["utf-8"])
    return bytes(buffer.getvalue())


def _for_source(labels: NDArray[Any], source: SourceImages) -> Any:
    """Labels as highdicom takes them: per source frame, or as a volume with its own grid."""
    if not source.frames or source.is_part:
        import highdicom as hd

        return hd.Volume(
            labels,
            source.geometry.affine,
            coordinate_system="PATIENT",
            frame_of_reference_uid=source.first.FrameOfReferenceUID,
        )
    if not source.is_multiframe:
        return labels
    frames = np.zeros((int(source.first.NumberOfFrames), *labels.shape[1:]), labels.dtype)
    frames[[frame for _, frame in source.frames]] = labels
    return frames


def _described(labels: NDArray[Any], outlined: Outlined, form: str) -> Any:
    """The object as highdicom makes it."""
    import highdicom as hd

    source, maker = outlined.source, outlined.maker
    segments = [outlined.segments[value] for value in sorted(outlined.segments)]
    by = algorithm(maker)
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=segment.name,
            segmented_property_category=concept(*segment.category),
            segmented_property_type=concept(*segment.kind),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=by,
            tracking_uid=segment.tracking_uid,
            tracking_id=segment.tracking_id,
            anatomic_regions=None if segment.site is None else [concept(*segment.site)],
            display_color=hd.color.CIELabColor.from_rgb(*segment.colour),
        )
        for number, segment in enumerate(segments, start=1)
    ]
    # In the order of the volume's slices, which may not be that of the files.
    images = list(source.images)
    if source.frames and not source.is_multiframe:
        images = [images[number] for number, _ in source.frames]
    alone = source.is_multiframe
    # highdicom looks for every segment on every slice. Two of them show how it describes frames.
    few = descriptions[:2] if form == "binary" else descriptions
    made = hd.seg.Segmentation(
        source_images=images[:1] if alone else images,
        further_source_images=images[1:] if alone and images[1:] else None,
        pixel_array=_for_source(labels, source),
        segmentation_type=form.upper(),
        segment_descriptions=few,
        series_instance_uid=new_uid(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=new_uid(),
        instance_number=1,
        manufacturer="diaphane",
        manufacturer_model_name=maker.name,
        software_versions=__version__,
        device_serial_number="0",
        series_description=f"diaphane: {maker.shows}"[:64],
        content_label="FINDINGS",
        content_description=f"Outlined by diaphane: {maker.shows}"[:64],
        specific_character_set=CHARACTERS,
        omit_empty_frames=True,
    )
    if source.is_part:
        _refer(made, source)
    if len(few) < len(descriptions):
        made.SegmentSequence = descriptions
    if any(concept(*segment.kind).scheme_designator == "99DIAPHANE" for segment in segments):
        made.CodingSchemeIdentificationSequence = [private_scheme()]
    return made

"""What tells the volumes of one series apart: echo, diffusion weighting, phase, time, kernel.

Sources: DICOM PS3.3 C.8.3.1 (MR), C.8.13.5 (enhanced MR), C.8.15.3 (enhanced CT), C.7.6.16
(functional groups); for diffusion in classic files the private elements that the vendors
publish in their conformance statements.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Traits = Mapping[str, Any]

TAGS = {
    "acquisition_date_time": 0x0008002A,
    "acquisition_date": 0x00080022,
    "acquisition_time": 0x00080032,
    "content_date": 0x00080023,
    "content_time": 0x00080033,
    "contrast": 0x00180010,
    "kvp": 0x00180060,
    "repetition_time": 0x00180080,
    "echo_time": 0x00180081,
    "inversion_time": 0x00180082,
    "echo_number": 0x00180086,
    "trigger_time": 0x00181060,
    "flip_angle": 0x00181314,
    "b_value": 0x00189087,
    "b_direction": 0x00189089,
    "siemens_b": 0x0019100C,
    "siemens_direction": 0x0019100E,
    "ge_x": 0x001910BB,
    "ge_y": 0x001910BC,
    "ge_z": 0x001910BD,
    "ge_b": 0x00431039,
    "acquisition": 0x00200012,
    "temporal_position": 0x00200100,
    "cardiac_phase": 0x00209241,
    "frame_reference_time": 0x00541300,
    "philips_b": 0x20011003,
    "philips_x": 0x200510B0,
    "philips_y": 0x200510B1,
    "philips_z": 0x200510B2,
}
"""Elements of classic files, by name; all stand before the pixels."""

TOLD = (
    "image_type",
    "echo_time",
    "echo_number",
    "inversion_time",
    "flip_angle",
    "repetition_time",
    "kvp",
    "contrast",
    "slice_thickness",
    "b_value",
    "b_direction",
    "cardiac_phase",
    "respiratory_phase",
    "temporal_position",
    "trigger_time",
    "frame_reference_time",
    "acquisition",
    "dimension",
)
"""Traits that may tell two images at one place apart, the most telling first."""

IN_ORDER = ("trigger_time", "frame_reference_time", "time", "acquisition")
"""Traits that differ from slice to slice, but whose order tells the time point."""

FACTS = (
    *("echo_time", "inversion_time", "flip_angle", "repetition_time", "b_value", "b_direction"),
    *("cardiac_phase", "respiratory_phase", "temporal_position", "frame_reference_time"),
)
"""Traits that become facts of a series when all its images share them."""

_NUMBERS = (
    *("kvp", "repetition_time", "echo_time", "inversion_time", "echo_number", "trigger_time"),
    *("flip_angle", "acquisition", "temporal_position", "frame_reference_time"),
)
_GE_FACTOR = 100_000  # GE adds multiples of this to the b-value


def classic_traits(raw: Mapping[str, bytes], manufacturer: str) -> dict[str, Any]:
    """Traits of a file by the raw values of :data:`TAGS` that it has."""
    found: dict[str, Any] = {}
    for name in _NUMBERS:
        if name in raw and (number := _text_number(raw[name])) is not None:
            found[name] = number
    if raw.get("contrast", b"").strip(b"\0 "):
        found["contrast"] = True
    if phase := _floats(raw.get("cardiac_phase", b""), 1):
        found["cardiac_phase"] = phase[0]
    b_value, direction = _diffusion(raw, manufacturer.lower())
    if b_value is not None:
        found["b_value"] = b_value
    if direction is not None and b_value != 0 and any(direction):
        found["b_direction"] = tuple(round(part, 4) for part in direction)
    when = _text(raw, "acquisition_date_time")
    if not when:
        of = "acquisition" if _text(raw, "acquisition_time") else "content"
        other = "content" if of == "acquisition" else "acquisition"
        clock = _text(raw, f"{of}_time")
        day = _text(raw, f"{of}_date") or _text(raw, f"{other}_date")
        when = f"{day}{clock}" if clock else ""
    if when:
        found["time"] = when
    return found


def frame_traits(frame: Any, shared: Any, other_dimensions: Sequence[int]) -> dict[str, Any]:
    """Traits of one frame of an enhanced object.

    Parameters
    ----------
    frame, shared:
        Items of the per-frame and shared functional groups (pydicom).
    other_dimensions:
        Places in DimensionIndexValues of the dimensions that are not of space.
    """

    def of(group: str, name: str) -> Any:
        for source in (frame, shared):
            items = None if source is None else source.get(group, None)
            if items and items[0].get(name, None) is not None:
                return items[0].get(name)
        return None

    found: dict[str, Any] = {}

    def number(name: str, group: str, attribute: str, kind: Callable[[Any], Any] = float) -> None:
        value = of(group, attribute)
        if value is not None and value != "":
            found[name] = kind(value)

    number("stack", "FrameContentSequence", "StackID", str)
    number("temporal_position", "FrameContentSequence", "TemporalPositionIndex")
    number("acquisition", "FrameContentSequence", "FrameAcquisitionNumber")
    number("time", "FrameContentSequence", "FrameReferenceDateTime", str)
    number("time", "FrameContentSequence", "FrameAcquisitionDateTime", str)
    number("echo_time", "MREchoSequence", "EffectiveEchoTime")
    number("repetition_time", "MRTimingAndRelatedParametersSequence", "RepetitionTime")
    number("flip_angle", "MRTimingAndRelatedParametersSequence", "FlipAngle")
    number("kernel", "CTReconstructionSequence", "ConvolutionKernel", str)
    number("kvp", "CTXRayDetailsSequence", "KVP")
    number("b_value", "MRDiffusionSequence", "DiffusionBValue")
    synchronised = "CardiacSynchronizationSequence"
    number("cardiac_phase", synchronised, "NominalPercentageOfCardiacPhase")
    number("trigger_time", synchronised, "NominalCardiacTriggerDelayTime")
    breathing = "RespiratorySynchronizationSequence"
    number("respiratory_phase", breathing, "NominalPercentageOfRespiratoryPhase")
    modifier = of("MRModifierSequence", "InversionTimes")
    if modifier is not None:
        found["inversion_time"] = float(modifier if _is_one(modifier) else modifier[0])
    gradient = of("MRDiffusionSequence", "DiffusionGradientDirectionSequence")
    if gradient and gradient[0].get("DiffusionGradientOrientation", None):
        direction = [float(part) for part in gradient[0].DiffusionGradientOrientation]
        if any(direction) and found.get("b_value") != 0:
            found["b_direction"] = tuple(round(part, 4) for part in direction)
    kinds: list[str] = []
    for group in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence"):
        for name in ("FrameType", "ComplexImageComponent"):
            value = of(group, name)
            if value is not None:
                kinds += [value] if isinstance(value, str) else list(value)
    if kinds:
        found["image_type"] = tuple(kinds)
    indices = of("FrameContentSequence", "DimensionIndexValues")
    if indices is not None and other_dimensions:
        values = [indices] if _is_one(indices) else list(indices)
        place = [int(values[i]) for i in other_dimensions if i < len(values)]
        found["dimension"] = tuple(place)
    return found


def _is_one(value: Any) -> bool:
    return isinstance(value, int | float | str)


def _diffusion(
    raw: Mapping[str, bytes], maker: str
) -> tuple[float | None, tuple[float, ...] | None]:
    """b-value in s/mm2 and gradient direction; public elements first, then the vendor's."""
    values = _floats(raw.get("b_value", b""), 1)
    direction = _floats(raw.get("b_direction", b""), 3)
    b_value = values[0] if values else None
    if b_value is None and maker.startswith("siemens"):
        b_value = _text_number(raw.get("siemens_b", b""))
        direction = direction or _floats(raw.get("siemens_direction", b""), 3)
    elif b_value is None and maker.startswith("ge"):
        b_value = _text_number(raw.get("ge_b", b""))
        if b_value is not None:
            b_value %= _GE_FACTOR
            parts = [_text_number(raw.get(f"ge_{axis}", b"")) for axis in "xyz"]
            if None not in parts:
                direction = tuple(part for part in parts if part is not None)
    elif b_value is None and maker.startswith("philips"):
        values = _floats(raw.get("philips_b", b""), 1)
        b_value = values[0] if values else None
        singles = [_floats(raw.get(f"philips_{axis}", b""), 1) for axis in "xyz"]
        if all(singles):
            direction = tuple(single[0] for single in singles if single)
    return b_value, direction


def _text(raw: Mapping[str, bytes], name: str) -> str:
    return raw.get(name, b"").decode("latin-1").strip("\0 ")


def _text_number(raw: bytes) -> float | None:
    """First value of a decimal or whole-number string."""
    try:
        value = float(raw.split(b"\\", 1)[0].strip(b"\0 "))
    except ValueError:
        return None
    return value if value - value == 0.0 else None


def _floats(raw: bytes, count: int) -> tuple[float, ...] | None:
    """``count`` binary numbers, double or single; ``None`` where the value is another."""
    if len(raw) == 8 * count:
        found = struct.unpack(f"<{count}d", raw)
    elif len(raw) == 4 * count:
        found = struct.unpack(f"<{count}f", raw)
    else:
        return None
    return found if all(value - value == 0.0 for value in found) else None

"""Standardised uptake values of PET: by body weight, lean body mass or body surface.

SUV is activity concentration over injected dose per unit of the body. The dose is decayed to the
time that the images are corrected to, and is not corrected for what stayed in the syringe.

- ``Units`` BQML: from dose, times, half life and weight. Images that are corrected to the start of
  the scan (DecayCorrection START) take SeriesTime, where that is not after the first acquisition;
  else GE's private scan time, else the first acquisition. ADMIN needs no decay.
- CNTS: Philips states a factor to SUV (7053,1000), or one to Bq/ml (7053,1009).
- GML: values are SUV already, by weight unless SUVType says otherwise.

What is missing or contradicts itself is told, and values stay as they are.

Sources: QIBA FDG-PET/CT Profile 1.13, appendices G (vendor-neutral code) and H; DICOM PS3.3 C.8.9.1;
lean mass of James 1976 as in PS3.16 CID 85 {SUVlbm}; body surface of Du Bois 1916.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire.headers import Header
from diaphane.acquire.parsing import parsed
from diaphane.acquire.planes import Plane
from diaphane.acquire.quiet import quiet
from diaphane.core.errors import NotApplicable
from diaphane.core.options import ReadOptions

Kind = Literal["bw", "lbm", "bsa"]

_TYPES: Mapping[str, Kind] = {"": "bw", "BW": "bw", "LBM": "lbm", "BSA": "bsa"}
_UNITS = {"Bq/ml": "BQML", "{counts}": "CNTS", "g/ml{SUVbw}": "GML"}
_LEAST_DOSE = 1e5  # Bq; less is a number in MBq
_PHILIPS, _GE = "Philips PET Private Group", "GEMS_PETD_01"
_MOST_HALVES = 20


@dataclass(frozen=True)
class Uptake:
    """How values become SUV.

    Attributes
    ----------
    kind:
        "bw", "lbm" or "bsa".
    factor:
        SUV per stored unit (after the rescale); ``None`` where it cannot be known.
    problem:
        Why not; "" otherwise. Never holds a value of the patient's.
    """

    kind: Kind
    factor: float | None
    problem: str = ""

    @property
    def unit(self) -> str:
        """Unit of the values, such as "SUVbw" (g/ml; cm2/ml by body surface)."""
        return f"SUV{self.kind}"


class _Unknown(Exception):
    """Why there is no factor."""


def uptake_of(planes: Sequence[Plane], kind: Kind = "bw") -> Uptake:
    """The factor from the values of a PET series to SUV, or why there is none."""
    header = planes[0].header
    if not is_pet(header):
        return Uptake(kind, None, "not a PET image")
    try:
        with quiet():
            data = parsed(header.path, limits=header.limits)
            return Uptake(kind, _factor(data, planes, kind))
    except _Unknown as reason:
        return Uptake(kind, None, str(reason))
    except Exception as error:  # noqa: BLE001 (pydicom raises whatever a damaged file makes it meet)
        return Uptake(kind, None, f"the header is damaged ({type(error).__name__})")


def is_pet(header: Header) -> bool:
    """Whether the values can be activity: sections of PET."""
    return header.modality == "PT" and header.is_section


def pet_unit(header: Header) -> str:
    """Unit of PET values as they are stored: "Bq/ml", "SUVbw", "SUVlbm" or "SUVbsa"; else "1"."""
    units = header.units or (_enhanced_units(header) if header.is_enhanced else "")
    if units == "GML":
        kind = _TYPES.get("".join(header.words("suv_type")))
        return f"SUV{kind}" if kind else "1"
    return {"BQML": "Bq/ml", "CM2ML": "SUVbsa"}.get(units, "1")


def _enhanced_units(header: Header) -> str:
    """Those that an enhanced object states beside each frame; "" where it does not."""
    try:
        with quiet():
            return _units(parsed(header.path, limits=header.limits))
    except Exception:  # noqa: BLE001 (pydicom raises whatever a damaged file makes it meet)
        return ""


def uptake_facts(planes: Sequence[Plane]) -> dict[str, Any]:
    """``suv_factor`` to SUV by body weight, or ``suv_problem``; nothing for other images."""
    if not is_pet(planes[0].header):
        return {}
    found = uptake_of(planes)
    return {"suv_problem": found.problem} if found.factor is None else {"suv_factor": found.factor}


def kind_of(options: ReadOptions) -> Kind:
    """The kind of SUV that is asked for."""
    return "bw" if isinstance(options.suv, bool) else options.suv


def unit_read(planes: Sequence[Plane], options: ReadOptions) -> str:
    """Unit of PET values that become SUV by these options; "" for all others."""
    if not (options.suv and is_pet(planes[0].header)):
        return ""
    found = uptake_of(planes, kind_of(options))
    return "" if found.factor is None else found.unit


def require_uptake(planes: Sequence[Plane], options: ReadOptions) -> None:
    """Refuse PET whose values cannot become the SUV that is asked for.

    Raises
    ------
    NotApplicable
        Naming what is missing.
    """
    if not (options.suv_or_refuse and options.suv and is_pet(planes[0].header)):
        return
    found = uptake_of(planes, kind_of(options))
    if found.factor is None:
        raise NotApplicable(
            f"The values cannot become {found.unit}: {found.problem}.",
            path=planes[0].header.path.parent,
            remedy="Read them as they are stored, or complete the header.",
        )


def to_uptake(
    voxels: NDArray[Any], planes: Sequence[Plane], facts: Mapping[str, Any], kind: Kind, unit: str
) -> tuple[NDArray[Any], str, dict[str, Any]]:
    """Voxels of a PET series as SUV (float32), their unit, and the facts that change with them.

    Where there is no factor, all stay, and the fact ``suv_problem`` says why.
    """
    found = uptake_of(planes, kind)
    changed = dict(facts)
    if found.factor is None:
        return voxels, unit, {**changed, "suv_problem": found.problem}
    changed.pop("suv_factor", None)
    if "display_range" in changed:
        low, high = changed["display_range"]
        changed["display_range"] = (low * found.factor, high * found.factor)
    return voxels.astype(np.float32) * np.float32(found.factor), found.unit, changed


def _factor(data: Any, planes: Sequence[Plane], kind: Kind) -> float:
    units = _units(data)
    if units == "GML":
        stated = str(data.get("SUVType", "") or "")
        if stated not in _TYPES:
            raise _Unknown("the kind of its SUV is not known")
        return _change(data, _TYPES[stated], kind)
    if units == "CM2ML":
        return _change(data, "bsa", kind)
    if units == "CNTS":
        factor = _private(data, 0x7053, _PHILIPS, 0x00)
        if factor:
            return factor * _change(data, "bw", kind)
        concentration = _private(data, 0x7053, _PHILIPS, 0x09)
        if not concentration:
            raise _Unknown("counts, without a factor to Bq/ml")
        return concentration * _size(data, kind) / _dose(data, planes)
    if units != "BQML":
        raise _Unknown("the unit of its values is not known")
    return _size(data, kind) / _dose(data, planes)


def _units(data: Any) -> str:
    """``Units``, or those of the real world mapping of an enhanced object."""
    stated = str(data.get("Units", "") or "")
    if stated or "SharedFunctionalGroupsSequence" not in data:
        return stated
    groups = [*data.SharedFunctionalGroupsSequence, *data.PerFrameFunctionalGroupsSequence[:1]]
    found: dict[str, Any] = {}
    for group in groups:
        for name in ("RealWorldValueMappingSequence", "PixelValueTransformationSequence"):
            if group.get(name):
                found[name] = group[name][0]
    world = found.get("RealWorldValueMappingSequence")
    scale = found.get("PixelValueTransformationSequence")
    if world is None or scale is None:
        return ""
    if not math.isclose(float(world.RealWorldValueSlope), float(scale.RescaleSlope), rel_tol=1e-4):
        raise _Unknown("its real world values are not its rescaled values")
    return _UNITS.get(str(world.MeasurementUnitsCodeSequence[0].CodeValue), "")


def _dose(data: Any, planes: Sequence[Plane]) -> float:
    """Injected dose in Bq, decayed to the time that the images are corrected to."""
    corrections = str(data.get("CorrectedImage", "") or "")
    enhanced = "DecayCorrected" in data
    if not enhanced and not ("ATTN" in corrections and "DECY" in corrections):
        raise _Unknown("not corrected for attenuation and decay")
    if enhanced and "NO" in (data.DecayCorrected, data.get("AttenuationCorrected")):
        raise _Unknown("not corrected for attenuation and decay")
    items = data.get("RadiopharmaceuticalInformationSequence") or []
    if len(items) != 1:
        raise _Unknown("not one radiopharmaceutical")
    item = items[0]
    dose = float(item.get("RadionuclideTotalDose") or 0)
    if dose < _LEAST_DOSE:
        raise _Unknown("no dose in Bq")
    correction = str(data.get("DecayCorrection", "") or "")
    if correction == "ADMIN":
        return dose
    if correction != "START" and not enhanced:
        raise _Unknown("the time of its decay correction is not known")
    half_life = float(item.get("RadionuclideHalfLife") or 0)
    if half_life <= 0:
        raise _Unknown("no half life")
    scan = _when(str(data.DecayCorrectionDateTime)) if enhanced else _scan_time(data, planes)
    seconds = (scan - _injection(item, scan)).total_seconds()
    if not 0 <= seconds <= _MOST_HALVES * half_life:
        raise _Unknown("the times of injection and scan contradict each other")
    return float(dose * 2 ** (-seconds / half_life))


def _scan_time(data: Any, planes: Sequence[Plane]) -> datetime:
    """When the images were corrected to: the start of the scan."""
    acquired = [
        _when(_joined(h.words("acquisition_date") or h.words("series_date"), time))
        for h in {p.header.path: p.header for p in planes}.values()
        if (time := h.words("acquisition_time"))
    ]
    header = planes[0].header
    if header.words("series_time") and acquired:
        series = _when(_joined(header.words("series_date"), header.words("series_time")))
        if series <= min(acquired):
            return series
    private = _private_text(data, 0x0009, _GE, 0x0D)
    if private:
        return _when(private)
    if not acquired:
        raise _Unknown("no time of acquisition")
    return min(acquired)


def _injection(item: Any, scan: datetime) -> datetime:
    """When the dose was given; a time without a date is the last before the scan."""
    stated = str(item.get("RadiopharmaceuticalStartDateTime", "") or "")
    if stated:
        return _when(stated)
    time = str(item.get("RadiopharmaceuticalStartTime", "") or "")
    if not time:
        raise _Unknown("no time of injection")
    start = _when(f"{scan:%Y%m%d}{time}")
    return start - timedelta(days=1) if start > scan else start


def _joined(date: Sequence[str], time: Sequence[str]) -> str:
    return "".join((*date[:1], *time[:1]))


def _when(text: str) -> datetime:
    """A date and time ``YYYYMMDDHHMMSS.F``; a zone is left out, as all are of one scanner."""
    digits, _, fraction = text.partition("+")[0].partition("-")[0].replace(":", "").partition(".")
    try:
        found = datetime.strptime(digits.strip().ljust(14, "0")[:14], "%Y%m%d%H%M%S").replace(
            tzinfo=UTC
        )
        return found + timedelta(seconds=float(f"0.{fraction.strip() or 0}"))
    except ValueError:
        raise _Unknown("a date or time is not readable") from None


def _change(data: Any, has: Kind, wanted: Kind) -> float:
    return 1.0 if has == wanted else _size(data, wanted) / _size(data, has)


def _size(data: Any, kind: Kind) -> float:
    """What stands for the body: weight or lean mass in g, or surface in cm2."""
    weight = float(data.get("PatientWeight") or 0)
    if not 0 < weight < 700:
        raise _Unknown("no weight in kg")
    if kind == "bw":
        return 1000 * weight
    height = 100 * float(data.get("PatientSize") or 0)
    if not 30 < height < 280:
        raise _Unknown("no height in m")
    if kind == "bsa":
        return float(71.84 * weight**0.425 * height**0.725)
    sex = str(data.get("PatientSex", "") or "")
    if sex not in ("M", "F"):
        raise _Unknown("no sex, which lean body mass needs")
    slope, square = (1.10, 120.0) if sex == "M" else (1.07, 148.0)
    lean = slope * weight - square * (weight / height) ** 2
    if lean <= 0:
        raise _Unknown("weight and height give no lean body mass")
    return 1000 * lean


def _private(data: Any, group: int, creator: str, offset: int) -> float:
    text = _private_text(data, group, creator, offset)
    return float(text) if text else 0.0


def _private_text(data: Any, group: int, creator: str, offset: int) -> str:
    """A private element's text; "" where absent."""
    try:
        value = data.private_block(group, creator)[offset].value
    except KeyError:
        return ""
    return value.decode("latin-1").strip("\0 ") if isinstance(value, bytes) else str(value)

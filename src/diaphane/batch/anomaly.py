"""``anomaly score``: how unlike normal each input is, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diaphane.batch.masking import mask_names
from diaphane.batch.tables import Refusal, is_table, write_refusals
from diaphane.batch.taking import take_inputs
from diaphane.bundle.anomaly import Anomaly, Detector, load_detector
from diaphane.core.errors import InputError, UsageError
from diaphane.core.files import replacing
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.core.protocols import Progress, silent
from diaphane.core.tables import write_table
from diaphane.report.masks import write_shares

COLUMNS = ("file", "score", "quantile", "unlike_training", "peak_x", "peak_y", "peak_z")


@dataclass(frozen=True)
class AnomalySummary:
    """What ``anomaly score`` did, and how many cases are unlike normal."""

    done: int
    unlike: int
    refused: tuple[Refusal, ...]
    out: Path | None
    rejected: Path | None


def score_anomaly(
    detector: Detector | str | Path,
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    maps: str | Path | None = None,
    stack: bool | None = None,
    options: ReadOptions = AS_IS,
    progress: Progress = silent,
) -> AnomalySummary:
    """Hold inputs against a memory of what is normal, and write a CSV.

    Columns: ``file``, ``score`` (larger is less normal), ``quantile`` (share of held-out normals
    that score lower), ``unlike_training`` (1 from the 95th percentile on), ``peak_x``, ``peak_y``,
    ``peak_z`` (index of the most unlike place, from 0).

    Parameters
    ----------
    maps:
        Folder for one heat map per case on the input's own grid: an 8-bit PNG for a picture,
        ``.nii.gz`` otherwise.
    options:
        How DICOM is read; as the normal images were.

    Raises
    ------
    UsageError
        No inputs, or another file is where an output would go.
    """
    target = Path(out)
    if not inputs:
        raise UsageError("There are no inputs.")
    if target.is_dir() or (target.exists() and not is_table(target)):
        raise UsageError("There is another file where the table would go.", path=target)
    folder = None if maps is None else Path(maps)
    if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            "The folder of maps exists already.", path=folder, remedy="Give a new one."
        )
    detector = detector if isinstance(detector, Detector) else load_detector(detector)
    sequences = detector.facts.input.kind == "sequence"
    entries, refused = take_inputs(inputs, sequences=sequences, stack=stack, options=options)
    names, clashes = mask_names(entries) if folder is not None else ({}, [])
    refused += clashes
    rows: list[list[str]] = []
    unlike = 0
    for number, entry in enumerate(entries):
        progress("anomaly", (number + 1) / len(entries))
        if folder is not None and number not in names:
            continue
        try:
            found = detector.look(entry.load())
        except InputError as error:
            refused.append(Refusal.of(entry.name, error))
            continue
        rows.append(_row(entry.name, found))
        unlike += found.unlike
        if folder is not None:
            _write_map(folder, names[number], found)
    if rows:
        write_table(target, COLUMNS, rows)
    rejected = write_refusals(target.parent, refused)
    return AnomalySummary(len(rows), unlike, tuple(refused), target if rows else None, rejected)


def _row(name: str, found: Anomaly) -> list[str]:
    z, y, x = found.peak
    return [
        name, f"{found.score:.6f}", f"{found.quantile:.6f}", str(int(found.unlike)), str(x), str(y), str(z)
    ]  # fmt: skip


def _write_map(folder: Path, name: str, found: Anomaly) -> None:
    picture = found.heat.shape[0] == 1 and not found.heat.geometry.is_spatial
    with replacing(folder / f"{name}{'.png' if picture else '.nii.gz'}") as beside:
        write_shares(found.heat, beside)

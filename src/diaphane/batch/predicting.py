"""``predict``: one row of a CSV for every case of every input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diaphane.batch.predicting_masks import NO_MASKS, Drawing, predict_segmenter
from diaphane.batch.running import answers
from diaphane.batch.tables import Refusal, cells, columns, is_table, write_refusals
from diaphane.batch.taking import take_inputs
from diaphane.bundle import AnyBundle, Segmenter, load_bundle
from diaphane.core.errors import UsageError
from diaphane.core.options import ReadOptions
from diaphane.core.protocols import Progress, silent
from diaphane.core.tables import write_table


@dataclass(frozen=True)
class PredictionSummary:
    """What ``predict`` did. ``out`` and ``rejected`` are ``None`` where nothing was written.

    ``kept`` of the ``done`` cases were finished by an earlier run.
    """

    done: int
    refused: tuple[Refusal, ...]
    unlike_training: int
    out: Path | None
    rejected: Path | None
    kept: int = 0


def predict(
    bundle: AnyBundle | str | Path,
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    contributions: bool = False,
    stack: bool | None = None,
    drawing: Drawing = NO_MASKS,
    options: ReadOptions | None = None,
    progress: Progress = silent,
) -> PredictionSummary:
    """Run a bundle on any number of inputs and write a CSV.

    Inputs that cannot be read are listed in ``rejected.csv`` beside ``out`` and the rest is
    done. Both files appear whole, at the end; when no case could be done, only the list does.

    Parameters
    ----------
    bundle:
        Loaded, or a name, folder or zip.
    inputs:
        Files, folders or data sets.
    contributions:
        Add the logit and the parts that it is the sum of.
    stack:
        ``True``: a folder of images is one case; ``False``: every image is one; ``None``: one
        when the bundle takes sequences or volumes.
    drawing:
        Where masks of a segmentation bundle go, and how they are made.
    options:
        What may be repaired when DICOM is read, and the limits of reading; ``None``: as the
        bundle says.

    Raises
    ------
    UsageError
        No inputs; masks are asked of a bundle that classifies, or contributions of one that
        segments; or ``out`` is a folder, the list of refused inputs itself, or a file that is
        no earlier table of predictions, such as the data set's own ``labels.csv``.
    OutputError
        The results cannot be written.
    """
    target = Path(out)
    if not inputs:
        raise UsageError("There are no inputs.")
    if target.is_dir() or target.name == "rejected.csv":
        raise UsageError(
            "The output must be a CSV file of its own.", path=target, remedy="Use --out FILE.csv"
        )
    if target.exists() and not is_table(target):
        raise UsageError(
            "There is another file where the table would go.",
            path=target,
            remedy="Only an earlier table of predictions is replaced. Give another name.",
        )
    if isinstance(bundle, str | Path):
        bundle = load_bundle(bundle)
    if isinstance(bundle, Segmenter):
        if contributions:
            raise UsageError(f"'{bundle.name}' segments, and has no contributions.")
        sequences = bundle.manifest.patch.size[0] > 1
    else:
        if drawing != NO_MASKS:
            raise UsageError(
                f"'{bundle.name}' classifies, and makes no masks.",
                remedy="Leave --masks and what belongs to it away.",
            )
        sequences = bundle.manifest.input.kind == "sequence"
    how = options or bundle.reading
    entries, refused = take_inputs(inputs, sequences=sequences, stack=stack, options=how)
    if isinstance(bundle, Segmenter):
        found = predict_segmenter(bundle, entries, target, drawing, progress=progress)
        refused += found.refused
        rejected = write_refusals(target.parent, refused)
        written = target if found.rows else None
        return PredictionSummary(len(found.rows), tuple(refused), 0, written, rejected, found.kept)
    manifest = bundle.manifest
    rows: list[list[str]] = []
    unlike = 0
    for number, answer in enumerate(answers(bundle, entries), start=1):
        name = answer.entry.name
        if answer.prediction is not None:
            rows.append(cells(manifest, name, answer.prediction, contributions=contributions))
            unlike += answer.prediction.unlike_training
        elif answer.error is not None:
            refused.append(Refusal.of(name, answer.error))
        progress("predict", number / len(entries))
    if rows:
        write_table(target, columns(manifest, contributions=contributions), rows)
    rejected = write_refusals(target.parent, refused)
    return PredictionSummary(len(rows), tuple(refused), unlike, target if rows else None, rejected)

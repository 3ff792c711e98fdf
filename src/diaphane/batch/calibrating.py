"""``calibrate``: what a bundle decides, fitted anew on a site's own labelled cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diaphane.acquire import Dataset, Entry, open_dataset
from diaphane.batch.recalibrated import Recalibration, salt_of, write_recalibrated
from diaphane.batch.running import answers
from diaphane.batch.site_fit import SiteCases, fit_site, judge_change
from diaphane.batch.tables import Refusal, write_refusals
from diaphane.batch.taking import require_split, take_entries
from diaphane.batch.truth import label_columns, truth_of
from diaphane.bundle import Bundle, Manifest, Seen, load_classifier
from diaphane.bundle.loaded import SEEN
from diaphane.bundle.manifest import NAME
from diaphane.core.errors import DatasetError, OutputError, UsageError
from diaphane.core.options import ReadOptions
from diaphane.core.protocols import Progress, silent
from diaphane.evaluate import (
    Classification,
    Difference,
    least_cases,
)
from diaphane.report import Comparison, Language, Note, Row, note_words, write_comparison

_LEVEL = 0.9


@dataclass(frozen=True)
class CalibrationSummary:
    """What ``calibrate`` did.

    Attributes
    ----------
    out, report:
        The new bundle, and the page beside it.
    n, groups, counts:
        Cases and groups that it was fitted on; cases by class.
    seen, kept_for_test:
        Cases left out because the bundle was trained on them, and as the data set's test part.
    changes:
        Figures before and after on groups held out of the fitting.
    helped:
        ``True`` or ``False`` where the interval of the log loss says so, ``None`` where it does
        not; ``verdict`` says it in words.
    """

    out: Path
    report: Path
    n: int
    groups: int
    counts: Mapping[str, int]
    seen: int
    kept_for_test: int
    changes: Mapping[str, Difference]
    helped: bool | None
    verdict: str
    refused: tuple[Refusal, ...]
    rejected: Path | None
    notes: tuple[str, ...] = ()


def calibrate(
    bundle: Bundle | str | Path,
    dataset: str | Path,
    out: str | Path,
    *,
    split: str | None = None,
    name: str | None = None,
    lang: str = "en",
    seed: int = 0,
    rounds: int = 2000,
    options: ReadOptions | None = None,
    progress: Progress = silent,
) -> CalibrationSummary:
    """Refit calibration, prediction sets, operating points and limits; the model stays.

    Everything is fitted twice: on all cases for the new bundle, and in five parts by group for
    the figures, each part being judged by what was fitted on the others. Cases that the bundle
    was trained on are left out.

    Parameters
    ----------
    bundle:
        Loaded, or a name, folder or zip.
    out:
        Folder of the new bundle; it must not exist. A report of the same name is put beside it.
    split:
        "train", "val", "test" or "all"; ``None`` takes all but the data set's own test part.
    name:
        Of the new bundle; the old one with "-site" when ``None``.
    lang:
        "en" or "zh", of the report.
    seed, rounds:
        Of the parts, and of the bootstrap over groups.

    Raises
    ------
    OutputError
        ``out`` exists or cannot be written.
    UsageError
        An unknown split or language, or a name that no bundle may have.
    BundleError
        The bundle cannot be used, or segments.
    DatasetError
        No labels that the bundle knows, or too few cases of a class (the message says how many
        are needed).
    """
    Language(lang)
    require_split(split or "all")
    folder = Path(out)
    page = folder.with_name(f"{folder.name}.html")
    for place in (folder, page):
        if place.exists():
            raise OutputError("It exists already.", path=place, remedy="Choose another --out.")
    bundle = bundle if isinstance(bundle, Bundle) else load_classifier(bundle)
    manifest = bundle.manifest
    called = name or f"{manifest.name[:59]}-site"
    if not NAME.fullmatch(called):
        raise UsageError(
            f"'{called}' is no name for a bundle.",
            remedy="Use lower-case letters, digits, '.', '_' and '-'.",
        )
    opened = open_dataset(dataset, options=options or bundle.reading)
    entries, kept = _entries(opened, split, Path(dataset))
    cases = _gather(bundle, opened, entries, Path(dataset), progress)
    level = _LEVEL if manifest.prediction_sets is None else manifest.prediction_sets.level
    counts = _counts(manifest, cases)
    _require_enough(manifest, cases, counts, level, Path(dataset))
    made, before, notes = fit_site(bundle, cases, counts, level, seed=seed, rounds=rounds)
    helped, verdict = judge_change(made.changes["log_loss"])
    _write_report(page, bundle, (made, before), (verdict, *notes), lang=lang)
    try:
        write_recalibrated(bundle, made, folder, called)
    except BaseException:
        page.unlink(missing_ok=True)
        raise
    rejected = write_refusals(folder.parent, cases.refused) if cases.refused else None
    return CalibrationSummary(
        folder, page, made.figures.n, made.figures.groups, counts, cases.seen, kept,
        made.changes, helped, note_words(verdict, Language()), tuple(cases.refused), rejected,
        (*opened.notes, *(note_words(note, Language()) for note in notes)),
    )  # fmt: skip


def _entries(opened: Dataset, split: str | None, path: Path) -> tuple[tuple[Entry, ...], int]:
    """Entries to use, and how many are kept for testing."""
    if split is None:
        used = tuple(e for e in opened.entries if e.split != "test")
        if used:
            return used, len(opened.entries) - len(used)
    return tuple(take_entries(opened, Seen(), split or "all", path)[0]), 0


def _gather(
    bundle: Bundle, opened: Dataset, entries: Sequence[Entry], path: Path, progress: Progress
) -> SiteCases:
    """What the bundle says of every usable case that it was not made from."""
    manifest = bundle.manifest
    named = label_columns(manifest, opened, path)
    cases = SiteCases()
    found = answers(
        bundle,
        entries,
        known=True,
        wanted=lambda stored: stored not in SEEN,
        salt=salt_of(manifest),
    )
    for number, answer in enumerate(found, start=1):
        progress("predict", number / len(entries))
        entry, prediction = answer.entry, answer.prediction
        if answer.error is not None:
            cases.refused.append(Refusal.of(entry.name, answer.error))
        elif prediction is None or answer.digest is None:
            cases.seen += 1
        else:
            try:
                truth = truth_of(entry, manifest, named)
            except DatasetError as error:
                cases.refused.append(Refusal.of(entry.name, error))
                continue
            cases.entries.append(entry)
            cases.truth.append(truth)
            # Maps and images are let go: only what is fitted on stays.
            cases.logit.append(prediction.logit)
            cases.features.append(prediction.output.features)
            cases.concepts.append(prediction.prepared.concepts)
            cases.hashes.append(answer.digest)
    return cases


def _counts(manifest: Manifest, cases: SiteCases) -> dict[str, int]:
    """Cases by class; of several labels, those that are present and those that are not."""
    if manifest.task != "multilabel":
        there = Counter(cases.truth)
        return {label: there.get(k, 0) for k, label in enumerate(manifest.classes)}
    counts: dict[str, int] = {}
    for k, label in enumerate(manifest.classes):
        present = sum(row[k] for row in cases.truth)
        counts |= {label: present, f"not {label}": len(cases.truth) - present}
    return counts


def _require_enough(
    manifest: Manifest, cases: SiteCases, counts: Mapping[str, int], level: float, path: Path
) -> None:
    least = least_cases(level)
    needed = f"At least {least} cases of each of {', '.join(manifest.classes)} are needed."
    left = (
        f" ({cases.seen} more are left out: the bundle was trained on them)" if cases.seen else ""
    )
    if not cases.entries and cases.seen:
        raise DatasetError(
            f"The bundle was trained on all {cases.seen} cases.",
            path=path,
            remedy=f"Give cases that it has not seen. {needed}",
        )
    if any(n < least for n in counts.values()):
        there = ", ".join(f"{n} {label}" for label, n in counts.items())
        one = sum(n > 0 for n in counts.values()) < 2
        what = "There is one class only" if one else "There are too few cases"
        raise DatasetError(f"{what} to calibrate with: {there}{left}.", path=path, remedy=needed)
    groups = [entry.group for entry in cases.entries]
    columns = np.array(cases.truth).reshape(len(groups), -1)
    for k in range(columns.shape[1]):
        for value in np.unique(columns[:, k]):
            of_value = {g for g, v in zip(groups, columns[:, k], strict=True) if v == value}
            if len(of_value) < 10:
                label = manifest.classes[k if manifest.task == "multilabel" else int(value)]
                raise DatasetError(
                    f"The cases of '{label}' come from {len(of_value)} groups (patients).",
                    path=path,
                    remedy="At least 10 are needed, so that groups can be held out.",
                )


def _write_report(
    path: Path,
    bundle: Bundle,
    fitted: tuple[Recalibration, Classification],
    notes: Sequence[Note],
    *,
    lang: str,
) -> None:
    """After and before side by side, on the same held-out groups."""
    language, (made, before) = Language(lang), fitted
    rows = [
        Row(name, change.baseline_interval, change.model_interval, change.difference)
        for name, change in made.changes.items()
    ]
    page = Comparison(
        names=(language.say("verdict", "before"), language.say("verdict", "after")),
        task=bundle.manifest.task,
        n=made.figures.n,
        groups=made.figures.groups,
        only=(0, 0),
        rows=rows,
        curves=(before.curves, made.figures.curves),
        facts={"seed": made.seed, "rounds": made.rounds, "level": 0.95},
        notes=notes,
        title=language.say("verdict", "recalibration", {"title": bundle.manifest.title}),
    )
    write_comparison(page, path, lang=lang)

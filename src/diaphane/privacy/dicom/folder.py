"""A folder of DICOM files, de-identified into another."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self, TypeVar

from diaphane.core.errors import DiaphaneError, PrivacyError, UnreadableFile, UsageError
from diaphane.core.files import replacing
from diaphane.core.protocols import Progress, silent
from diaphane.privacy.audit import AuditChain
from diaphane.privacy.dicom.content import refuse_uncleanable
from diaphane.privacy.dicom.engine import Change, Deidentifier, Subject
from diaphane.privacy.dicom.files import (
    DIRECTORY,
    dicom_files,
    inside,
    keep_apart,
    leniently,
    read_object,
)
from diaphane.privacy.dicom.hidden import clear_hidden
from diaphane.privacy.dicom.identity import LINKED, Whose, whose
from diaphane.privacy.dicom.people import (
    Coded,
    LinkTable,
    Naming,
    name_patients,
    require_remembered,
)
from diaphane.privacy.dicom.profile import Profile
from diaphane.privacy.dicom.values import Secret
from diaphane.privacy.dicom.words import Identifiers
from diaphane.privacy.events import Event
from diaphane.privacy.keys import load_key
from diaphane.privacy.pixels import PIXELS, Box, blank, find_text, is_searched, preview

T = TypeVar("T")

_FEW = 200


@dataclass(frozen=True)
class Order:
    """What is to be done.

    Attributes
    ----------
    source, out:
        File or folder to read; folder to write. Neither inside the other.
    profile:
        Which options apply.
    naming:
        How patients are named.
    link:
        The link table, read if it is there and written; outside ``out``.
    workers:
        Processes; ``None`` for one a core, at most eight, where there are many files.
    previews:
        Folder for pictures of what is blanked in pixels, before and after, as ``INSTANCE.png``
        (the name of the file written); apart from ``source`` and ``out``, as they show identity.
    try_pixels:
        Called with a file before its pixels are decoded here, which a damaged one may break;
        raises where it would.
    """

    source: Path
    out: Path
    profile: Profile = field(default_factory=Profile)
    naming: Naming = field(default_factory=Naming)
    link: Path | None = None
    workers: int | None = None
    previews: Path | None = None
    try_pixels: Callable[[Path], None] | None = None

    def __post_init__(self) -> None:
        keep_apart(self.source, self.out)
        if self.previews is not None:
            keep_apart(self.source, self.previews)
            keep_apart(self.out, self.previews)
            if not self.profile.cleans_pixels:
                raise UsageError("Pictures of what is blanked need --clean pixels.")
        for place in (self.source, self.out):
            if self.link is not None and inside(self.link, place):
                reason = "The link table must not lie in the input or output."
                raise UsageError(reason, path=self.link)


@dataclass(frozen=True)
class Done:
    """One file that was written, and what was changed in it."""

    path: Path
    changes: tuple[Change, ...]


@dataclass
class Outcome:
    """What became of a folder.

    Attributes
    ----------
    done:
        Files written, relative to the output.
    refused:
        Files that were not, as they were named, and why.
    ignored:
        How many files are no DICOM, or DICOMDIR.
    patients, studies:
        How many.
    """

    done: list[Done] = field(default_factory=list)
    refused: list[tuple[Path, Exception]] = field(default_factory=list)
    ignored: int = 0
    patients: int = 0
    studies: int = 0


def deidentify_folder(order: Order, progress: Progress = silent) -> Outcome:
    """De-identify every DICOM file in ``order.source``.

    Files are looked at twice: first for who is named in them, so that a name in one file of a
    patient is found in the text of another; then each is changed and written to
    ``CODE/STUDY/SERIES/INSTANCE.dcm``, names that follow from the key. What was done is in the
    audit chain, and who became whom in the link table, also when it is interrupted.

    Raises
    ------
    EmptyInput
        When there is no DICOM file.
    PrivacyError, OutputError
        When the link table cannot be read, or is needed to number patients and not there, or
        nothing can be written.
    """
    secret = Secret(load_key())
    outcome = Outcome()
    before = LinkTable.read(order.link) if order.link and order.link.exists() else LinkTable()
    require_remembered(order.out, order.naming, before)
    files, outcome.ignored = dicom_files(order.source)
    if order.previews is not None:
        order.previews.mkdir(mode=0o700, parents=True, exist_ok=True)
    setting = _Setting(order.profile, secret.key, order.previews, order.try_pixels)
    written: list[Whose] = []
    coded: dict[str, Coded] = {}
    uids: dict[str, str] = {}
    try:
        with _Pool(order.workers, len(files), setting) as pool:
            seen: list[tuple[Path, Whose]] = []
            looked = zip(files, pool.map(_look, files), strict=True)
            for number, (path, found) in enumerate(looked, start=1):
                if isinstance(found, Exception):
                    outcome.refused.append((path, found))
                elif found.sop_class == DIRECTORY:
                    outcome.ignored += 1
                else:
                    seen.append((path, found))
                progress("looking", 0.3 * number / len(files))
            seen = _one_patient_a_study(seen)
            coded = name_patients((who.patient for _, who in seen), order.naming, secret, before)
            tasks = _tasks(seen, coded, order.out, secret, outcome)
            by_path = dict(seen)
            results = zip(tasks, pool.map(_change, tasks), strict=True)
            for number, (task, result) in enumerate(results, start=1):
                if isinstance(result, Exception):
                    outcome.refused.append((task.path, result))
                else:
                    changes, pairs = result
                    outcome.done.append(Done(task.target.relative_to(order.out), changes))
                    uids.update(pairs)
                    written.append(by_path[task.path])
                progress("writing", 0.3 + 0.7 * number / len(tasks))
    finally:  # also of what was written before an interruption
        if order.link is not None:
            _remember(before, written, coded, uids, order)
        _record(written, order, secret)
    outcome.patients = len({who.patient for who in written})
    outcome.studies = len({who.study for who in written})
    return outcome


def _tasks(
    seen: list[tuple[Path, Whose]],
    coded: dict[str, Coded],
    out: Path,
    secret: Secret,
    outcome: Outcome,
) -> list[_Task]:
    """What is to be written where; patients without a code and second copies are refused."""
    people = _people(seen)
    tasks = []
    targets: dict[Path, Path] = {}
    for path, who in seen:
        subject = coded.get(who.patient)
        if subject is None:
            problem = PrivacyError(
                "The patient has no code.",
                remedy="Add the patient to the table of codes, or give --id-format.",
            )
            outcome.refused.append((path, problem))
            continue
        target = out / _place(who, subject.code, secret)
        if target in targets:
            problem = PrivacyError(f"The same instance as {targets[target].name}.")
            outcome.refused.append((path, problem))
            continue
        targets[target] = path
        whom = people[who.patient]
        tasks.append(_Task(path, target, Subject(subject.code, subject.days, whom)))
    return tasks


@dataclass(frozen=True)
class _Setting:
    """What every worker knows."""

    profile: Profile
    key: bytes = field(repr=False)
    previews: Path | None = None
    try_pixels: Callable[[Path], None] | None = None


@dataclass(frozen=True)
class _Task:
    path: Path
    target: Path
    subject: Subject


class _Here:
    """The worker's own state."""

    setting: _Setting
    worker: Deidentifier
    silence = ExitStack()


def _begin(setting: _Setting) -> None:
    """In a process of its own, lenient to its end."""
    _Here.silence.enter_context(leniently())
    _know(setting)


def _know(setting: _Setting) -> None:
    _Here.setting = setting
    _Here.worker = Deidentifier(setting.profile, Secret(setting.key))


class _Pool:
    """Some processes; none for few files, where they cost more than they bring."""

    def __init__(self, workers: int | None, files: int, setting: _Setting) -> None:
        self.workers = workers or (1 if files < _FEW else min(os.cpu_count() or 1, 8))
        self.setting = setting
        self.pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self.workers > 1:
            self.pool = ProcessPoolExecutor(
                self.workers,
                mp_context=get_context("spawn"),
                initializer=_begin,
                initargs=(self.setting,),
            )
        return self

    def __exit__(self, *args: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[[Any], T], items: Sequence[Any]) -> Iterable[T]:
        """Results in order."""
        if self.pool is not None:
            return self.pool.map(function, items, chunksize=8)
        return _alone(function, items, self.setting)


def _alone(function: Callable[[Any], T], items: Sequence[Any], setting: _Setting) -> Iterator[T]:
    _know(setting)
    with leniently():
        for item in items:
            yield function(item)


def _look(path: Path) -> Whose | Exception:
    try:
        data = read_object(path, pixels=False)
        found = whose(data, _Here.setting.profile)
        if found.sop_class != DIRECTORY:
            refuse_uncleanable(data, _Here.setting.profile)
        return found
    except DiaphaneError as error:
        return error
    except Exception as error:  # noqa: BLE001 - pydicom raises whatever a damaged file makes it meet
        return _damaged(path, error)


def _change(task: _Task) -> tuple[tuple[Change, ...], dict[str, str]] | Exception:
    setting = _Here.setting
    try:
        data = read_object(task.path)
        worker = _Here.worker
        worker.uids.clear()
        boxes = _text_in(data, setting, task)
        hidden = clear_hidden(data, task.subject.identifiers)
        changes = worker.apply(data, task.subject)
        if boxes is not None:
            blank(data, boxes)
        changes += [Change("(7FE0,0010)", "PixelData", "cleaned")] if boxes or hidden else []
        with replacing(task.target) as beside:
            data.save_as(beside, enforce_file_format=True)
        return tuple(changes), {new: old for old, new in worker.uids.items()}
    except DiaphaneError as error:
        return error
    except Exception as error:  # noqa: BLE001
        return _damaged(task.path, error)


def _damaged(path: Path, error: Exception) -> UnreadableFile:
    return UnreadableFile(f"The DICOM file is damaged ({type(error).__name__}).", path=path)


def _text_in(data: Any, setting: _Setting, task: _Task) -> list[Box] | None:
    """What to blank; ``None`` for an object that is not looked at: nothing is said of its text."""
    if not setting.profile.cleans_pixels or not any(key in data for key in PIXELS):
        return None
    if setting.try_pixels is not None:
        setting.try_pixels(task.path)
    everywhere = "pixels-everywhere" in setting.profile.clean
    boxes = find_text(data, everywhere=everywhere)
    if not (boxes or everywhere or is_searched(data)):
        return None
    if boxes and setting.previews is not None:
        shown = next((box.frame for box in boxes if box.frame), 0)
        preview(data, boxes, setting.previews / f"{task.target.stem}.png", shown)
    return boxes


def _one_patient_a_study(seen: list[tuple[Path, Whose]]) -> list[tuple[Path, Whose]]:
    """Files of one study belong to one patient, also where some do not name one."""
    owner: dict[str, str] = {}
    for _, who in seen:
        if who.values["PatientID"]:
            owner.setdefault(who.study, who.patient)
    return [
        (path, who if who.values["PatientID"] else replace(who, patient=owner[who.study]))
        if who.study in owner
        else (path, who)
        for path, who in seen
    ]


def _people(seen: list[tuple[Path, Whose]]) -> dict[str, Identifiers]:
    words: dict[str, set[str]] = {}
    whole: dict[str, set[str]] = {}
    for _, who in seen:
        words.setdefault(who.patient, set()).update(who.identifiers.words)
        whole.setdefault(who.patient, set()).update(who.identifiers.whole)
    return {p: Identifiers(frozenset(words[p]), frozenset(whole[p])) for p in words}


def _place(who: Whose, code: str, secret: Secret) -> Path:
    names = (secret.code(who.study, "study"), secret.code(who.series, "series"))
    instance = secret.code(f"{who.series}\0{who.instance}", "case")
    return Path(code, *names, f"{instance}.dcm")


def _remember(
    table: LinkTable,
    written: list[Whose],
    coded: dict[str, Coded],
    uids: dict[str, str],
    order: Order,
) -> None:
    new_uid = {old: new for new, old in uids.items()}
    for who in written:
        patient = {name: who.values[name] for name in LINKED[:5]}
        table.add_patient(who.patient, coded[who.patient], patient)
        study = {name: who.values[name] for name in LINKED[5:] if who.values[name]}
        table.studies.setdefault(new_uid.get(who.study, who.study), {}).update(study)
    table.uids.update(uids)
    assert order.link is not None
    table.write(order.link)


def _record(written: list[Whose], order: Order, secret: Secret) -> None:
    chain, profile = AuditChain(), order.profile
    apart = {"link": order.link, "previews": order.previews}
    for study, files in Counter(who.study for who in written).items():
        detail: dict[str, str | int | float] = {"files": files, "profile": profile.name}
        detail["options"] = " ".join(sorted(profile.retain | profile.clean))
        detail |= dict.fromkeys((name for name, place in apart.items() if place), "written")
        chain.append(Event("deidentify", secret.code(study, "study"), detail))

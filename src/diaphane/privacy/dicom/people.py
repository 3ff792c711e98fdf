"""Who gets which code: a trial's own codes, numbers, or keyed pseudonyms; and the link table."""

from __future__ import annotations

import csv
import os
import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from diaphane.core.errors import PrivacyError, UsageError
from diaphane.core.files import replacing
from diaphane.core.tables import TableWriter
from diaphane.core.text import uncelled
from diaphane.privacy.dicom.values import Secret

_CODE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,63}$")
_HEADER = ("kind", "new", "attribute", "original")
_PATIENT_ID = "PatientID"
_DAYS = "DateShift"
_KNOWN_AS = "KnownAs"
_MOST_DAYS = 36_525


@dataclass(frozen=True)
class Coded:
    """A patient's code, and by how many days the patient's dates move."""

    code: str
    days: int


@dataclass
class LinkTable:
    """The way back: a CSV of ``kind, new, attribute, original``, readable by its owner alone.

    Attributes
    ----------
    patients:
        By code: attributes of the patient, the date shift among them.
    studies:
        By new study UID: attributes of the study.
    uids:
        By new UID: the original.
    """

    patients: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    studies: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    uids: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, path: Path) -> LinkTable:
        """The table in ``path``.

        Raises
        ------
        PrivacyError
            When it cannot be read or is no link table.
        """
        table = cls()
        try:
            with path.open(encoding="utf-8", newline="") as stream:
                lines = csv.reader(stream)
                if tuple(next(lines, ())) != _HEADER:
                    raise PrivacyError("This is not a link table.", path=path)
                for kind, new, attribute, told in lines:
                    original = uncelled(told)
                    if kind == "uid":
                        table.uids[new] = original
                    else:
                        part = table.patients if kind == "patient" else table.studies
                        part.setdefault(new, {})[attribute] = original
        except (OSError, ValueError, csv.Error) as error:
            raise PrivacyError("The link table cannot be read.", path=path) from error
        return table

    def write(self, path: Path) -> None:
        """Write it whole, with mode 0600 from its first byte."""
        with replacing(path) as beside:
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
                writer = TableWriter(stream, exact=True)
                writer.row(_HEADER)
                for kind, part in (("patient", self.patients), ("study", self.studies)):
                    for new, attributes in part.items():
                        writer.rows((kind, new, a, o) for a, o in attributes.items())
                writer.rows(("uid", new, "", original) for new, original in self.uids.items())
                stream.flush()
                os.fsync(stream.fileno())

    def known(self) -> dict[str, Coded]:
        """Patients by what they are known as, with the code and shift that they have already."""
        return {
            attributes.get(_KNOWN_AS, attributes.get(_PATIENT_ID, "")): Coded(
                code, int(attributes.get(_DAYS, "0"))
            )
            for code, attributes in self.patients.items()
        }

    def add_patient(self, patient: str, coded: Coded, values: Mapping[str, str]) -> None:
        """Remember a patient."""
        row = self.patients.setdefault(coded.code, {})
        row.update({name: text for name, text in values.items() if text})
        row[_DAYS] = str(coded.days)
        if patient != values.get(_PATIENT_ID, ""):
            row[_KNOWN_AS] = patient


def read_codes(path: Path) -> dict[str, tuple[str, int | None]]:
    """A trial's own codes: PatientID, subject code and, where given, days to move dates by.

    The first line is a heading. Codes are letters, digits, ``.``, ``_`` and ``-``.

    Raises
    ------
    UsageError
        Naming the line that is wrong, not its content.
    """
    found: dict[str, tuple[str, int | None]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError("The table of codes cannot be read.", path=path) from error
    for number, cells in enumerate(lines[1:], start=2):
        values = [cell.strip() for cell in cells]
        if not any(values):
            continue
        if len(values) < 2 or not values[0] or not _CODE.match(values[1]):
            raise UsageError(
                f"Line {number} is not: PatientID, subject code[, days].",
                path=path,
                remedy="A code has letters, digits, '.', '_' and '-', at most 64.",
            )
        days: int | None = None
        if len(values) > 2 and values[2]:
            try:
                days = int(values[2])
                if abs(days) > _MOST_DAYS:
                    raise ValueError
            except ValueError:
                reason = f"Line {number}: days are a whole number of at most {_MOST_DAYS}."
                raise UsageError(reason, path=path) from None
        if values[0] in found and found[values[0]] != (values[1], days):
            raise UsageError(f"Line {number}: this patient has a code already.", path=path)
        found[values[0]] = (values[1], days)
    codes = [code for code, _ in found.values()]
    if len(set(codes)) < len(codes):
        raise UsageError("Two patients have the same code.", path=path)
    return found


def check_format(form: str) -> str:
    """A format of numbers such as ``SITE01-{n:04}``.

    Raises
    ------
    UsageError
        When it has no ``{n}``, or gives what is no code.
    """
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(form) if name is not None}
        good = fields == {"n"} and _CODE.match(form.format(n=1)) is not None
    except (ValueError, KeyError, IndexError):
        good = False
    if not good:
        raise UsageError(
            f"'{form}' is no format of codes.", remedy="Give one such as 'SITE01-{n:04}'."
        )
    return form


@dataclass(frozen=True)
class Naming:
    """How patients are named.

    Attributes
    ----------
    codes:
        A trial's own; see :func:`read_codes`. ``None``: there are none.
    form:
        Numbers for the others; see :func:`check_format`.
    """

    codes: Mapping[str, tuple[str, int | None]] | None = field(default=None, repr=False)
    form: str | None = None


def require_remembered(folder: Path, naming: Naming, before: LinkTable) -> None:
    """Refuse to number patients where files are already, and nobody knows whose.

    Raises
    ------
    PrivacyError
        Naming the folder.
    """
    if naming.form is not None and not before.patients and any(folder.glob("*")):
        raise PrivacyError(
            "Whose the numbers in this folder are nobody knows: two patients could get the same.",
            path=folder,
            remedy="Give --link with the table of the earlier run, or another folder.",
        )


def name_patients(
    patients: Iterable[str], naming: Naming, secret: Secret, before: LinkTable
) -> dict[str, Coded]:
    """Code and date shift of each patient; those that get none are left out.

    A trial's code comes first, then the code that the link table has from an earlier run, then
    the next free number, in an order that tells nothing of the patients. Without codes and
    format each gets the installation's keyed pseudonym.

    Raises
    ------
    PrivacyError
        When a trial's code is another patient's in the link table.
    """
    known = before.known()
    owner = {coded.code: patient for patient, coded in known.items()}
    taken = set(before.patients) | {code for code, _ in (naming.codes or {}).values()}
    found: dict[str, Coded] = {}
    number = 0
    for patient in sorted(set(patients), key=secret.order):
        days = known[patient].days if patient in known else secret.days(patient)
        if naming.codes is not None and patient in naming.codes:
            code, given = naming.codes[patient]
            if owner.get(code, patient) != patient:
                raise PrivacyError(
                    f"The code '{code}' is another patient's in the link table.",
                    remedy="Correct the table of codes, or give another link table.",
                )
            found[patient] = Coded(code, days if given is None else given)
        elif patient in known:
            found[patient] = known[patient]
        elif naming.form is not None:
            while True:
                number += 1
                code = naming.form.format(n=number)
                if code not in taken:
                    break
            taken.add(code)
            found[patient] = Coded(code, days)
        elif naming.codes is None:
            found[patient] = Coded(secret.code(patient), days)
    return found

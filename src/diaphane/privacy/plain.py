"""Taking the identity off."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar, cast

from diaphane.core.case import Case, Identified, Identity
from diaphane.privacy.pseudonyms import Pseudonymiser

T = TypeVar("T")


def plain(identified: Identified[T], pseudonymiser: Pseudonymiser | None = None) -> T:
    """The value without the identity.

    A :class:`Case` without a group gets the patient's keyed pseudonym as its group; whatever
    else it holds was made without identity already.

    Parameters
    ----------
    identified:
        What ``acquire`` read.
    pseudonymiser:
        Whose key; the installation's when ``None``.
    """
    value = identified.value
    if isinstance(value, Case) and not value.group:
        names = pseudonymiser or Pseudonymiser.load()
        return cast("T", replace(value, group=patient_group(identified.identity, names)))
    return value


def patient_group(identity: Identity, pseudonymiser: Pseudonymiser) -> str:
    """Keyed pseudonym of the patient; of the study where no patient is stated; else empty.

    The patient is known by ID; by name and birth date where the ID is missing.
    """
    if known := known_as(identity):
        return pseudonymiser.pseudonym(known, "patient")
    if identity.study_uid:
        return pseudonymiser.pseudonym(identity.study_uid, "study")
    return ""


def known_as(identity: Identity) -> str:
    """What a patient is known by: the ID, else name and birth date; empty where none is stated."""
    if identity.patient_id or not identity.patient_name:
        return identity.patient_id
    return f"{identity.patient_name}\0{identity.birth_date}"

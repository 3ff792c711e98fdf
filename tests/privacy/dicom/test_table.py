"""Table E.1-1 as data: whole, and the same as the newest independent copy."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter

import pytest
from dicomanonymizer import dicom_anonymization_databases as copies

from diaphane.core.errors import UsageError
from diaphane.privacy.dicom.profile import CLEAN, RETAIN, Profile
from diaphane.privacy.dicom.table import EDITION, row_of, rows, settle, type_of

CT = "1.2.840.10008.5.1.4.1.1.2"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
SR = "1.2.840.10008.5.1.4.1.1.88.22"
KINDS = {
    "D": "D_TAGS", "Z": "Z_TAGS", "X": "X_TAGS", "U": "U_TAGS", "Z/D": "Z_D_TAGS",
    "X/Z": "X_Z_TAGS", "X/D": "X_D_TAGS", "X/Z/D": "X_Z_D_TAGS", "X/Z/U*": "X_Z_U_STAR_TAGS",
}  # fmt: skip


def test_every_basic_action_is_that_of_the_newest_table_of_dicom_anonymizer():
    newest = max(m.name for m in pkgutil.iter_modules(copies.__path__))
    assert newest == f"dicomfields_{EDITION}"
    copy = importlib.import_module(f"{copies.__name__}.{newest}")
    theirs = {
        f"{tag[0]:04X}{tag[1]:04X}": action
        for action, name in KINDS.items()
        for tag in getattr(copy, name)
    }
    ours = {
        row.tag.replace("50xxxxxx", "50000000").replace("60xx", "6000"): row.basic
        for row in rows()
        if row.tag != "private"
    }
    assert ours == theirs
    assert row_of(0x00091001).basic == "X"


def test_the_table_is_whole():
    assert len(rows()) == 656
    assert len({row.tag for row in rows()}) == 656
    columns = Counter(name for row in rows() for name in row.options)
    # Rows with an entry, counted in the edition's own table.
    assert columns == {
        "uids": 60, "device": 59, "institution": 10, "patient-characteristics": 19,
        "full-dates": 169, "modified-dates": 169, "descriptors": 140, "structured-content": 4,
        "graphics": 4, "safe-private": 1,
    }  # fmt: skip
    assert set(columns) == set(RETAIN) | (set(CLEAN) - {"pixels", "pixels-everywhere"})
    assert {action for row in rows() for action in row.options.values()} == {"K", "C"}
    assert {row.basic for row in rows()} == set(KINDS)


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        (0x00100010, "Patient's Name"),
        (0x60023000, "Overlay Data"),
        (0x601E4000, "Overlay Comments"),
        (0x50100005, "Curve Data"),
        (0x00091001, "Private Attributes"),
        (0x60033000, "Private Attributes"),
    ],
)
def test_masks_find_their_rows(tag, name):
    assert row_of(tag).name == name


def test_what_the_table_does_not_name_has_no_row():
    assert row_of(0x00280010) is None
    assert row_of(0x60000010) is None


@pytest.mark.parametrize(
    ("attribute", "parent", "sop_class", "kind"),
    [
        ("AcquisitionDate", "", CT, "3"),
        ("ContentDate", "", CT, "2C"),
        ("ContentDate", "", SR, "1"),
        ("DeviceSerialNumber", "", CT, "3"),
        ("DeviceSerialNumber", "", SEG, "1"),
        ("PatientID", "", CT, "2"),
        ("SourceImageSequence", "DerivationImageSequence", SEG, "2"),
        ("SourceImageSequence", "", CT, "3"),
        ("PatientID", "NoSuchSequence", CT, "3"),
    ],
)
def test_types_are_those_of_the_iod(attribute, parent, sop_class, kind):
    assert type_of(attribute, parent, sop_class) == kind


@pytest.mark.parametrize(
    ("choice", "kind", "action"),
    [
        ("X/Z/D", "3", "X"), ("X/Z/D", "2", "Z"), ("X/Z/D", "2C", "Z"), ("X/Z/D", "1", "D"),
        ("X/D", "3", "X"), ("X/D", "1C", "D"), ("X/D", "2", "D"), ("X/Z", "3", "X"),
        ("X/Z", "2", "Z"), ("Z/D", "1", "D"), ("Z/D", "2", "Z"), ("Z/D", "3", "Z"),
        ("X/Z/U*", "3", "X"), ("X/Z/U*", "2", "U"), ("X/Z/U*", "1", "U"), ("U", "3", "U"),
    ],
)  # fmt: skip
def test_choices_follow_the_type(choice, kind, action):
    assert settle(choice, kind) == action


def test_a_profile_from_a_file(tmp_path):
    path = tmp_path / "trial.yaml"
    path.write_text("name: trial\nretain: [modified-dates, device]\nclean: [descriptors]\n")
    profile = Profile.read(str(path)).with_options(["uids"], [])
    assert profile.name == "trial"
    assert profile.retain == {"modified-dates", "device", "uids"}
    assert [code for code, _ in profile.codes] == ["113100", "113110", "113109", "113107", "113105"]
    assert profile.dates == "MODIFIED"


@pytest.mark.parametrize(
    "text",
    ["retain: [everything]", "keep: [uids]", "retain: uids", "[1, 2]", "retain: [", "clean: [3]"],
)
def test_profiles_that_are_wrong(tmp_path, text):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(UsageError):
        Profile.read(str(path))


def test_dates_are_kept_or_moved_not_both():
    with pytest.raises(UsageError, match="full-dates or modified-dates"):
        Profile(frozenset({"full-dates", "modified-dates"}))

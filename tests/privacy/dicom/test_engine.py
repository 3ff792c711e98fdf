"""One data set through the engine: every attribute, every depth."""

from __future__ import annotations

import copy
import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage

from diaphane.core.errors import PrivacyError
from diaphane.privacy.dicom.content import refuse_uncleanable
from diaphane.privacy.dicom.engine import Deidentifier, Subject
from diaphane.privacy.dicom.files import leniently
from diaphane.privacy.dicom.forms import walk
from diaphane.privacy.dicom.identity import whose
from diaphane.privacy.dicom.profile import CLEAN, RETAIN, Profile
from diaphane.privacy.dicom.values import Secret, is_valid_uid, moved_date
from diaphane.privacy.dicom.words import cleaned
from planted import CARRIERS, CLASSES, Words, planted_rows, value_for

SECRET = Secret(b"k" * 32)
ROWS = list(planted_rows())


def through(data: Dataset, retain=(), clean=(), days=-40) -> Dataset:
    profile = Profile(frozenset(retain), frozenset(clean))
    who = whose(data, profile).identifiers
    Deidentifier(profile, SECRET).apply(data, Subject("S-1", days, who))
    return data


def ct() -> Dataset:
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, "1.2.3.4"
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    data.PatientName, data.PatientID = "Nightingale^Florence", "NHS-1820"
    data.StudyDate, data.StudyTime, data.AccessionNumber = "20200305", "101500", "A77123"
    return data


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    depth=st.integers(0, 12),
    chosen=st.lists(st.sampled_from(ROWS), min_size=1, max_size=25, unique_by=lambda r: r[0]),
    clean=st.sets(st.sampled_from([name for name in CLEAN if name != "pixels"])),
    moved=st.booleans(),
)
def test_no_planted_value_survives_at_any_depth(seed, depth, chosen, clean, moved):
    words = Words(seed)
    data = ct()
    place = data
    for level in range(depth):
        item = Dataset()
        setattr(place, CARRIERS[level % len(CARRIERS)], [item])
        place = item
    tokens = []
    for tag, vr, row in chosen:
        value, token = value_for(vr, words, descriptor="descriptors" in row.options)
        place.add_new(tag, vr, value)
        if token and vr not in ("DA", "AS"):
            tokens.append(token.lower())
    block = place.private_block(0x0029, "MAKER", create=True)
    block.add_new(1, "LO", word := words())
    tokens += [word, "nightingale", "florence", "nhs-1820", "a77123"]
    through(data, ["modified-dates"] if moved else [], clean)
    text = str(data).lower()
    assert not [token for token in tokens if token in text]
    assert not [where for where, element in walk(data) if element.tag.is_private]


def test_uids_change_alike_everywhere_and_in_every_run():
    first, second = ct(), ct()
    second.SOPInstanceUID = "1.2.3.5"
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, "1.2.3.4"
    outer = Dataset()
    outer.ReferencedSOPSequence = [item]
    second.RelatedSeriesSequence = [outer]
    through(first)
    through(second)
    inner = second.RelatedSeriesSequence[0].ReferencedSOPSequence[0]
    assert inner.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert inner.ReferencedSOPClassUID == CTImageStorage
    assert first.StudyInstanceUID == second.StudyInstanceUID != "1.2.3"
    assert UID(first.StudyInstanceUID).is_valid
    assert first.StudyInstanceUID.startswith("2.25.")
    assert Secret(b"o" * 32).uid("1.2.3") != SECRET.uid("1.2.3")


def test_dates_move_together_and_times_stay():
    data = ct()
    data.AcquisitionDateTime = "20200306235959.5+0100"
    data.AcquisitionDate = "20200306"
    through(data, ["modified-dates"], days=-40)
    assert (data.StudyDate, data.AcquisitionDate) == ("20200125", "20200126")
    assert data.AcquisitionDateTime == "20200126235959.5+0100"
    assert data.StudyTime == "101500"
    assert data.LongitudinalTemporalInformationModified == "MODIFIED"


def test_kept_dates_stay_and_the_birth_date_goes():
    data = ct()
    data.PatientBirthDate = "18200512"
    through(data, ["full-dates"])
    assert data.StudyDate == "20200305"
    assert not data.PatientBirthDate
    assert data.LongitudinalTemporalInformationModified == "UNMODIFIED"


@pytest.mark.parametrize(
    "value", ["2020", "202003", "yesterday", "20201301", "2020030510Nightingale"]
)
def test_what_is_no_date_is_not_moved(value):
    assert moved_date(value, 3) is None


def test_the_data_set_says_what_was_done():
    data = through(ct(), ["uids"], ["descriptors", "graphics"])
    assert data.PatientIdentityRemoved == "YES"
    assert [c.CodeValue for c in data.DeidentificationMethodCodeSequence] == [
        "113100", "113110", "113105", "113103",
    ]  # fmt: skip
    assert {c.CodingSchemeDesignator for c in data.DeidentificationMethodCodeSequence} == {"DCM"}
    assert data.LongitudinalTemporalInformationModified == "REMOVED"
    assert data.PatientName == data.PatientID == "S-1"
    assert data.SOPInstanceUID == "1.2.3.4"


def test_a_name_from_one_attribute_is_taken_out_of_another_that_stays():
    data = ct()
    data.OperatorsName = "Seacole^Mary"
    data.Manufacturer = "Acme"
    data.SoftwareVersions = ["VB20A", "seacole build 3"]
    data.ImageType = ["ORIGINAL", "NIGHTINGALE"]
    through(data)
    assert data.Manufacturer == "Acme"
    assert "seacole" not in str(data).lower()
    assert "NIGHTINGALE" not in data.ImageType


def test_codes_keep_the_meaning_that_the_standard_gives_them():
    data = ct()
    known, own = Dataset(), Dataset()
    known.CodeValue, known.CodingSchemeDesignator = "39607008", "SCT"
    known.CodeMeaning = "Lung of Florence Nightingale"
    own.CodeValue, own.CodingSchemeDesignator = "X1", "99CRIMEA"
    own.CodeMeaning = "Barrack chest of Mary"
    data.AnatomicRegionSequence = [known, own]
    through(data)
    known, own = data.AnatomicRegionSequence
    assert (known.CodeValue, known.CodeMeaning) == ("39607008", "Lung structure (body structure)")
    assert own.CodeMeaning == "chest of"
    fine = copy.deepcopy(known)
    fine.CodeMeaning = "Lung"
    data.AnatomicRegionSequence = [fine]
    assert through(data).AnatomicRegionSequence[0].CodeMeaning == "Lung"


def test_report_content_is_replaced_or_cleaned():
    data = ct()
    data.SOPClassUID = CLASSES["SR"]
    items = []
    for kind, code, value in (
        ("TEXT", "121071", "nodule in the left lung of Florence"),
        ("PNAME", "121008", "Seacole^Mary"),
        ("TEXT", "121030", "NHS-1820"),
        ("NUM", "121033", "34"),
    ):
        item, concept = Dataset(), Dataset()
        concept.CodeValue, concept.CodingSchemeDesignator = code, "DCM"
        concept.CodeMeaning = "Finding"
        item.RelationshipType, item.ValueType = "CONTAINS", kind
        item.ConceptNameCodeSequence = [concept]
        if kind == "PNAME":
            item.PersonName = value
        else:
            item.TextValue = value
        items.append(item)
    data.ContentSequence = items
    basic = through(copy.deepcopy(data))
    assert [item.TextValue for item in basic.ContentSequence] == ["REMOVED"]
    clean = through(data, clean=["structured-content"])
    first, second = clean.ContentSequence
    assert first.TextValue == "nodule in the left lung of"
    assert second.PersonName == "REMOVED"


def test_safe_private_attributes_stay_and_no_others():
    data = ct()
    block = data.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0.00042")
    block.add_new(0x09, "DS", "1.5")
    block.add_new(0x05, "LO", "Nightingale.img")
    other = data.private_block(0x0019, "GEMS_ACQU_01", create=True)
    other.add_new(0x9E, "LO", "Nightingale")
    assert not [e for _, e in walk(through(copy.deepcopy(data))) if e.tag.is_private]
    through(data, ["safe-private"])
    left = [element.tag for _, element in walk(data) if element.tag.is_private]
    assert left == [0x70530010, 0x70531000, 0x70531009]


def test_curves_overlays_and_unknown_attributes_go():
    data = ct()
    data.add_new(0x60000010, "US", 4)
    data.add_new(0x60003000, "OW", b"\1\2")
    data.add_new(0x50001001, "LO", "x")
    data.add_new(0x00111000, "UN", b"Nightingale ")
    data.add_new(0x00189999, "UN", b"?? ")
    data.add_new(0x00282000, "OB", b"profile of nightingale")
    through(data)
    assert not [t for t in data.keys() if t.group in (0x6000, 0x5000, 0x0011)]  # noqa: SIM118
    assert 0x00189999 not in data
    assert 0x00282000 not in data


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.104.1"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.9.4.1"),
        ("EncapsulatedDocument", b"%PDF"),
        ("BurnedInAnnotation", "YES"),
        ("SOPClassUID", ""),
    ],
)
def test_what_no_rule_can_clean_is_refused(keyword, value):
    data = ct()
    setattr(data, keyword, value)
    with pytest.raises(PrivacyError):
        refuse_uncleanable(data, Profile())


def test_burned_in_text_is_no_reason_when_pixels_are_cleaned():
    """Refused without the option, and with it kept as it was until the pixels are looked at."""
    data = ct()
    data.BurnedInAnnotation = "YES"
    before = data.to_json()
    with pytest.raises(PrivacyError, match="urned"):
        refuse_uncleanable(data, Profile())
    refuse_uncleanable(data, Profile(clean=frozenset({"pixels"})))
    assert data.to_json() == before


@given(st.text(max_size=80))
@settings(deadline=None)
def test_cleaning_twice_changes_nothing_more(text):
    once = cleaned(text)
    assert cleaned(once) == once


@given(st.text(max_size=70))
def test_any_text_becomes_a_valid_uid(text):
    assert is_valid_uid(SECRET.uid(text))


def test_every_option_has_a_name_for_the_command_line():
    codes = {code for code, _ in (*RETAIN.values(), *CLEAN.values())}
    assert len(codes) == 11  # the options of PS3.15 Annex E.3


@pytest.mark.parametrize(
    "vr", ["AS", "IS", "DS", "UI", "TM", "US", "FD", "AT", "OB", "OW", "SV", "UN"]
)
@pytest.mark.parametrize("keyword", ["SliceThickness", "Manufacturer", "PatientAge", "DeviceID"])
@pytest.mark.parametrize("option", ["patient-characteristics", "device", "uids", "full-dates"])
def test_a_text_under_another_vr_does_not_stay(keyword, vr, option):
    """As a reader meets it in a file whose writer gave the attribute a wrong VR."""
    body = b"NIGHTINGALE"
    body += b"\0" * (-len(body) % 8)
    size = struct.pack("<I", len(body))
    size = b"\0\0" + size if vr in ("OB", "OW", "SV", "UN") else size[:2]
    tag = tag_for_keyword(keyword)
    raw = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode() + size + body
    with leniently():
        data = dcmread(io.BytesIO(raw), force=True)
        data.update(ct())
        out = io.BytesIO()
        through(data, [option]).save_as(out, implicit_vr=False, little_endian=True)
    assert b"NIGHTINGALE" not in out.getvalue()


@pytest.mark.parametrize(
    ("keyword", "vr", "value", "option"),
    [
        ("StudyTime", "TM", "Nightingale", "full-dates"),
        ("FrameOfReferenceUID", "UI", "Nightingale.1", "uids"),
        ("DeviceUID", "UI", "wybiqufoka", "device"),
        ("ICCProfile", "OB", b"mluc" + "Nightingale".encode("utf-16-be"), "device"),
        ("RedPaletteColorLookupTableData", "OW", b"\0\1Nightingale", "device"),
        ("SeriesNumber", "IS", "83914627", "device"),
        ("SegmentLabel", "LO", "born 12 May 1920", "full-dates"),
    ],
)
def test_what_no_option_means_to_keep_does_not_stay(keyword, vr, value, option):
    with leniently():
        data = ct()
        data.PatientID, data.PatientBirthDate = "83914627", "19200512"
        data.add_new(tag_for_keyword(keyword), vr, value)
        through(data, [option])
        left = data.get(keyword)
    assert str(left) in ("", "None", "born") or str(left).startswith("2.25.")


def test_comments_of_overlays_are_cleaned_with_graphics():
    data = ct()
    data.add_new(0x60003000, "OW", b"\0\0")
    data.add_new(0x60004000, "LT", "chest of Nightingale and Wybiqufoka")
    for element, value in ((0x10, 4), (0x11, 4), (0x100, 1), (0x102, 0)):
        data.add_new(0x60000000 | element, "US", value)
    through(data, clean=["graphics"])
    assert data.get((0x6000, 0x4000)).value == "chest of and"


@pytest.mark.parametrize("name", ["CT^Phantom", "Iso^Hiroko", "No^Minjung", "Monochrome2^Primary"])
def test_terms_of_the_standard_stay_whoever_is_called_so(name):
    data = ct()
    data.PatientName, data.Modality, data.SpecificCharacterSet = name, "CT", "ISO_IR 100"
    data.BurnedInAnnotation, data.PhotometricInterpretation = "NO", "MONOCHROME2"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "PHANTOM", "HIROKO"]
    through(data)
    assert (data.Modality, data.SpecificCharacterSet) == ("CT", "ISO_IR 100")
    assert (data.BurnedInAnnotation, data.PhotometricInterpretation) == ("NO", "MONOCHROME2")
    assert data.ImageType[:3] == ["ORIGINAL", "PRIMARY", "AXIAL"]
    assert len(data.ImageType) == (3 + ("Phantom" not in name) + ("Hiroko" not in name))


@pytest.mark.parametrize(
    ("first", "second", "dates", "codes"),
    [
        ("modified-dates", "full-dates", "MODIFIED", ["113106", "113107"]),
        ("modified-dates", None, "REMOVED", []),
        (None, "full-dates", "REMOVED", ["113106"]),
        ("full-dates", "modified-dates", "MODIFIED", ["113107"]),
    ],
)
def test_a_second_time_does_not_deny_the_first(first, second, dates, codes):
    data = ct()
    data.DeidentificationMethod = "by Dr. Wybiqufoka"
    through(data, [first] if first else [], ["descriptors"])
    through(data, [second] if second else [])
    assert data.LongitudinalTemporalInformationModified == dates
    said = [code.CodeValue for code in data.DeidentificationMethodCodeSequence]
    assert sorted(said) == ["113100", "113105", *codes]
    assert [text.split()[0] for text in data.DeidentificationMethod] == ["diaphane", "DICOM"]


def test_a_text_of_which_nothing_stays_is_not_empty():
    """Its type is not known, and one of type 1 has a value."""
    data = ct()
    data.LUTLabel, data.TextValue = "Wybiqufoka", "Nightingale"
    through(data)
    assert data.LUTLabel == data.TextValue == "REMOVED"


@pytest.mark.parametrize("age", ["045Y", "45Y", "6M", "045"])
def test_an_age_that_is_not_quite_well_formed_can_be_kept(age):
    data = ct()
    with leniently():
        data.PatientAge = age
        through(data, ["patient-characteristics"])
    assert data.PatientAge == age


def test_the_encrypted_original_of_an_earlier_de_identification_goes():
    data, item = ct(), Dataset()
    item.EncryptedContent = b"envelope for Wybiqufoka "
    data.EncryptedAttributesSequence = [item]
    assert "EncryptedAttributesSequence" not in through(data)

"""Folders through the public door: what is written, named, linked, checked, and given back."""

from __future__ import annotations

import csv
import os
import stat
import zipfile
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from commands import diaphane
from diaphane.core.errors import PrivacyError, UsageError
from diaphane.privacy.audit import AuditChain
from diaphane.privacy.dicom.back import reidentify_folder
from diaphane.privacy.dicom.checking import check_folder
from diaphane.privacy.dicom.folder import Order, deidentify_folder
from diaphane.privacy.dicom.people import LinkTable, Naming, check_format, read_codes
from diaphane.privacy.dicom.profile import Profile
from plant_score import score
from planted import plant

CLEANED = Profile(
    frozenset({"modified-dates", "device"}),
    frozenset({"descriptors", "structured-content", "graphics"}),
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("corpus") / "in", 9)


@pytest.fixture
def two(tmp_path) -> Path:
    """Two patients' files, named as hospitals name them."""
    for number, name in enumerate(("CT_small.dcm", "MR_small.dcm")):
        data = dcmread(get_testdata_file(name))
        data.PatientName, data.PatientID = (
            ("Nightingale^Florence", "Seacole^Mary")[number],
            f"0{number}",
        )
        data.StudyDescription = f"chest of {data.PatientName}"
        path = tmp_path / "in" / str(data.PatientName) / f"{data.PatientID}.dcm"
        path.parent.mkdir(parents=True)
        data.save_as(path)
    (tmp_path / "in" / "notes.txt").write_text("Florence")
    return tmp_path / "in"


@pytest.mark.parametrize("profile", [Profile(), CLEANED], ids=["basic", "options"])
def test_planted_identities_are_handled_rightly_and_none_leaks(corpus, tmp_path, profile):
    out = tmp_path / "out"
    outcome = deidentify_folder(Order(corpus.folder, out, profile))
    assert (len(outcome.done), outcome.refused) == (9, [])
    found = score(corpus, out, set(profile.retain), set(profile.clean))
    assert found.leaks == []
    assert found.wrong == []
    assert found.total > 6000
    assert check_folder(out).left == []
    assert check_folder(out, corpus.folder).left == []


def test_a_moved_date_tells_nobody(two, tmp_path):
    """By chance a kept number of a device may read as the day that a study was moved to.

    It is told as a date in a text, whatever day it is, and not as somebody's.
    """
    out = tmp_path / "out"
    deidentify_folder(Order(two, out, CLEANED))
    path = next(out.rglob("*.dcm"))
    data = dcmread(path)
    data.DeviceSerialNumber = str(data.StudyDate)
    data.save_as(path)
    assert [(item.where, item.what) for item in check_folder(out).left] == [("(0018,1000)", "date")]


def test_the_search_finds_what_was_left(two, tmp_path):
    out = tmp_path / "out"
    deidentify_folder(Order(two, out, Profile(frozenset(), frozenset({"descriptors"}))))
    path = next(out.rglob("*.dcm"))
    data = dcmread(path)
    data.StudyDescription = "chest of Doe"
    data.ReferringPhysicianName = "Doe^Jane"
    data.StudyDate = "20200101"
    data.FrameOfReferenceUID = "1.2.3.4.5"
    data.ImageComments = "seen 2020-01-31"
    data.private_block(0x0029, "MAKER", create=True).add_new(1, "LO", "x")
    del data.PatientIdentityRemoved
    data.save_as(path)
    path.rename(path.with_name("Doe.dcm"))
    found = {(item.where, item.what) for item in check_folder(out).left}
    assert found == {
        ("file name", "name"), ("(0008,1030)", "identifier"), ("(0008,0090)", "identifier"),
        ("(0008,0020)", "date"), ("(0020,0052)", "uid"), ("(0020,4000)", "date"),
        ("(0029,0010)", "private"), ("(0029,1001)", "private"), ("(0012,0062)", "unmarked"),
    }  # fmt: skip
    said = diaphane("deidentify", "--check", out)
    assert said.returncode == 1
    assert "chest" not in said.stderr


def test_the_search_knows_the_originals(two, tmp_path):
    out = tmp_path / "out"
    deidentify_folder(Order(two, out))
    assert check_folder(out, two).left == []
    path = next(out.rglob("*.dcm"))
    data = dcmread(path)
    origin = next(d for d in map(dcmread, two.rglob("*.dcm")) if d.Modality == data.Modality)
    data.ContentLabel = str(origin.PatientName)
    data.save_as(path)
    assert [item.what for item in check_folder(out).left] == []
    assert [item.what for item in check_folder(out, two).left] == ["identifier"]


def test_codes_of_a_trial_and_the_way_back(two, tmp_path):
    table = tmp_path / "map.csv"
    table.write_text("PatientID,code,days\n00,ARM-A.1,-10\n")
    link, out, back = tmp_path / "link.csv", tmp_path / "out", tmp_path / "back"
    profile = Profile(frozenset({"modified-dates"}))
    naming = Naming(read_codes(table))
    outcome = deidentify_folder(Order(two, out, profile, naming, link))
    assert len(outcome.done) == 1
    assert [type(error) for _, error in outcome.refused] == [PrivacyError]
    assert outcome.ignored == 1
    if os.name == "posix":
        assert stat.S_IMODE(link.stat().st_mode) == 0o600

    naming = Naming(read_codes(table), "SITE01-{n:04}")
    outcome = deidentify_folder(Order(two, out, profile, naming, link))
    assert sorted(p.name for p in out.iterdir()) == ["ARM-A.1", "SITE01-0001"]
    assert len(outcome.done) == 2
    new = dcmread(next((out / "ARM-A.1").rglob("*.dcm")))
    old = dcmread(next(two.rglob("00.dcm")))
    assert new.PatientID == new.PatientName == "ARM-A.1"
    assert LinkTable.read(link).patients["ARM-A.1"]["DateShift"] == "-10"

    # A result is made from the pseudonymous image, and comes back.
    new.SOPInstanceUID = "2.25.99"
    new.file_meta.MediaStorageSOPInstanceUID = "2.25.99"
    result = tmp_path / "results" / "seg.dcm"
    result.parent.mkdir()
    new.save_as(result)
    stranger = dcmread(result)
    stranger.PatientID = "nobody"
    stranger.save_as(tmp_path / "results" / "other.dcm")
    before = AuditChain().verify().entries
    outcome = reidentify_folder(tmp_path / "results", back, link)
    assert [p.name for p, _ in outcome.refused] == ["other.dcm"]
    given = dcmread(back / "seg.dcm")
    for name in ("PatientName", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "StudyDate"):
        assert given[name].value == old[name].value, name
    assert given.FrameOfReferenceUID == old.FrameOfReferenceUID
    assert given.SOPInstanceUID == given.file_meta.MediaStorageSOPInstanceUID == "2.25.99"
    assert "PatientIdentityRemoved" not in given
    verdict = AuditChain().verify()
    assert verdict.intact
    assert verdict.entries == before + 1


def test_an_interrupted_run_leaves_the_way_back_and_a_trace(two, tmp_path):
    def stop(stage, _):
        if stage == "writing":
            raise KeyboardInterrupt

    link = tmp_path / "link.csv"
    seen = sum(1 for _ in AuditChain().entries()) if AuditChain().path.exists() else 0
    with pytest.raises(KeyboardInterrupt):
        deidentify_folder(Order(two, tmp_path / "out", link=link, workers=1), stop)
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 1
    assert len(LinkTable.read(link).patients) == 1
    assert sum(1 for _ in AuditChain().entries()) == seen + 1


def test_a_profile_that_the_audit_chain_cannot_name_is_refused_before_any_work():
    with pytest.raises(UsageError, match="name goes into the audit chain"):
        Profile(name="Prüfung")


def test_a_code_of_another_patient_is_not_given_again(two, tmp_path):
    link = tmp_path / "link.csv"
    codes = {"00": ("A", None)}
    deidentify_folder(
        Order(next(two.rglob("00.dcm")), tmp_path / "a", naming=Naming(codes), link=link)
    )
    codes = {"01": ("A", None)}
    with pytest.raises(PrivacyError, match="another patient"):
        deidentify_folder(Order(two, tmp_path / "b", naming=Naming(codes), link=link))
    assert not (tmp_path / "b").exists()


def test_a_name_left_in_one_file_is_found_in_another_of_its_study(two, tmp_path):
    source = next(two.rglob("00.dcm"))
    data = dcmread(source)
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    data.save_as(source.with_name("second.dcm"))
    out = tmp_path / "out"
    deidentify_folder(Order(source.parent, out, Profile(clean=frozenset({"descriptors"}))))
    first, second = map(dcmread, sorted(out.rglob("*.dcm")))
    first.ReferringPhysicianName = "Doe^Jane"
    second.StudyDescription = "chest Doe"
    first.save_as(first.filename)
    second.save_as(second.filename)
    assert {(x.where, x.what) for x in check_folder(out).left} == {
        ("(0008,0090)", "identifier"),
        ("(0008,1030)", "identifier"),
    }


def test_a_name_in_place_of_a_code_is_found(two, tmp_path):
    out = tmp_path / "out"
    deidentify_folder(Order(next(two.rglob("00.dcm")), out))
    path = next(out.rglob("*.dcm"))
    data = dcmread(path)
    data.PatientName = "Doe^Jane"
    data.SegmentLabel = "lung of Doe"
    data.save_as(path)
    assert {(item.where, item.what) for item in check_folder(out).left} == {
        ("(0010,0010)", "identifier"),
        ("(0010,0020)", "identifier"),
        ("(0062,0005)", "identifier"),
    }


def test_a_number_or_name_given_as_code_is_found(two, tmp_path):
    for code in ("Nightingale", "A0815"):
        path = next(two.rglob("00.dcm"))
        data = dcmread(path)
        data.OtherPatientIDs = "A0815"
        data.save_as(path)
        out = tmp_path / code
        deidentify_folder(Order(path, out, naming=Naming({"00": (code, None)})))
        assert check_folder(out).left == []
        found = {(item.where, item.what) for item in check_folder(out, path).left}
        assert found == {("(0010,0020)", "identifier")}


@pytest.mark.shared_data
def test_every_kind_of_object_comes_out_clean(shared_data, tmp_path):
    source, out = shared_data("dicom_zoo"), tmp_path / "out"
    profile = Profile(
        frozenset({"modified-dates", "safe-private"}),
        frozenset({"descriptors", "structured-content"}),
    )
    outcome = deidentify_folder(Order(source, out, profile, workers=1))
    assert len(outcome.done) > 50
    assert check_folder(out, source).left == []


def test_numbers_go_on_where_the_link_table_ends(two, tmp_path):
    link, form = tmp_path / "link.csv", Naming(form="S{n}")
    first = next(two.rglob("00.dcm"))
    deidentify_folder(Order(first, tmp_path / "a", Profile(), form, link))
    deidentify_folder(Order(two, tmp_path / "b", Profile(), form, link))
    assert {p.name for p in (tmp_path / "b").iterdir()} == {"S1", "S2"}
    assert LinkTable.read(link).patients["S1"]["PatientID"] == "00"
    # Without it nobody knows whose the numbers in a folder are.
    with pytest.raises(PrivacyError, match="two patients could get the same"):
        deidentify_folder(Order(two, tmp_path / "b", naming=form))


def test_pseudonyms_and_names_of_files_are_the_same_in_every_run(two, tmp_path):
    for name in ("a", "b"):
        deidentify_folder(Order(two, tmp_path / name))
    names = [
        sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*.dcm")) for n in "ab"
    ]
    assert names[0] == names[1]
    assert all(part[1] == "-" for path in names[0] for part in path.parts)


@pytest.mark.parametrize("places", [("in", "in"), ("in", "in/out"), ("in/x", "in")])
def test_input_and_output_are_kept_apart(tmp_path, places):
    with pytest.raises(UsageError, match="apart"):
        Order(tmp_path / places[0], tmp_path / places[1])


@pytest.mark.parametrize("place", ["in", "out"])
def test_the_link_table_lies_outside_the_input_and_output(tmp_path, place):
    with pytest.raises(UsageError, match="link"):
        Order(tmp_path / "in", tmp_path / "out", link=tmp_path / place / "link.csv")


def test_an_archive_is_refused_by_name(two, tmp_path):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(next(two.rglob("00.dcm")), "00.dcm")
    with pytest.raises(UsageError, match="Unpack"):
        deidentify_folder(Order(tmp_path / "in.zip", tmp_path / "out"))


@pytest.mark.parametrize("charset", [None, "ISO_IR 100", "ISO_IR 192"])
def test_a_name_comes_back_in_its_own_letters(two, tmp_path, charset):
    path = next(two.rglob("00.dcm"))
    data = dcmread(path)
    data.SpecificCharacterSet = "ISO_IR 192"
    data.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    data.OtherPatientIDs = ["A0815", "B0815"]
    data.save_as(path)
    link, out, results = tmp_path / "link.csv", tmp_path / "out", tmp_path / "results"
    deidentify_folder(Order(path, out, link=link))
    result = dcmread(next(out.rglob("*.dcm")))
    result.SpecificCharacterSet = charset
    result.SegmentLabel = "Läsion" if charset else "lesion"
    results.mkdir()
    result.save_as(results / "seg.dcm")
    reidentify_folder(results, tmp_path / "back", link)
    given = dcmread(tmp_path / "back" / "seg.dcm")
    assert given.PatientName == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert given.SegmentLabel == result.SegmentLabel
    assert given.OtherPatientIDs == ["A0815", "B0815"]


@pytest.mark.parametrize(
    "text",
    ["id,code\n1,a\n2,a\n", "id,code\n1,../x\n", "id,code\n1\n", "id,code,days\n1,a,x\n",
     "id,code\n1,a\n1,b\n", "id,code,days\n1,a,99999999999\n"],
)  # fmt: skip
def test_tables_of_codes_that_are_wrong(tmp_path, text):
    path = tmp_path / "map.csv"
    path.write_text(text)
    with pytest.raises(UsageError):
        read_codes(path)


@pytest.mark.parametrize(
    "form", ["X", "{n}/{n}", "{m}", "{n:z}", "{", "../{n}", "{n}{m}", "{n.real}"]
)
def test_formats_that_are_wrong(form):
    with pytest.raises(UsageError):
        check_format(form)


def test_the_command_reports_refuses_and_keeps_silent_about_values(two, tmp_path):
    (two / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\2\0\x10\0UI\xff\xff")
    data = dcmread(get_testdata_file("CT_small.dcm"))
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    data.save_as(two / "report.dcm")
    out, report = tmp_path / "out", tmp_path / "changes.csv"
    done = diaphane("deidentify", two, out, "--clean", "descriptors", "--report", report, "--json")
    assert done.returncode == 1, done.stderr
    with (tmp_path / "rejected.csv").open() as stream:
        refused = {Path(row["file"]).name: row["error"] for row in csv.DictReader(stream)}
    assert set(refused) == {"broken.dcm", "report.dcm"}
    with report.open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["file"] for row in rows} == {
        p.relative_to(out).as_posix() for p in out.rglob("*.dcm")
    }
    assert ("PatientName", "replaced") in {(row["name"], row["action"]) for row in rows}
    said = done.stdout.replace(str(two), "") + report.read_text()
    for word in ("Nightingale", "Seacole", "Florence"):
        assert word not in said.replace(f"{word}^", "").replace(f"^{word}", "")
    for path in out.rglob("*"):
        assert "ightingale" not in path.name
    assert {dcmread(p).StudyDescription for p in out.rglob("*.dcm")} == {"chest of"}


def test_wrong_usage(tmp_path):
    assert diaphane("deidentify", tmp_path).returncode == 2
    (tmp_path / "in").mkdir()
    places = (tmp_path / "in", tmp_path / "out")
    assert diaphane("deidentify", *places, "--retain", "names").returncode == 2
    assert diaphane("deidentify", *places).returncode == 3
    assert diaphane("deidentify", *places, "--report", "x.pdf").returncode == 2
    assert diaphane("deidentify", *places, "--report", places[0] / "x.csv").returncode == 2
    link = tmp_path / "link.csv"
    assert diaphane("deidentify", *places, "--report", link, "--link", link).returncode == 2


def test_several_processes_write_the_same_as_one(tmp_path):
    data = dcmread(get_testdata_file("CT_small.dcm"))
    (tmp_path / "in").mkdir()
    for number in range(26):
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number + 1}"
        data.save_as(tmp_path / "in" / f"{number}.dcm")
    for workers in (1, 2):
        order = Order(tmp_path / "in", tmp_path / f"out{workers}", workers=workers)
        assert len(deidentify_folder(order).done) == 26
    written = [
        {p.relative_to(tmp_path / out): p.read_bytes() for p in (tmp_path / out).rglob("*.dcm")}
        for out in ("out1", "out2")
    ]
    assert written[0] == written[1]

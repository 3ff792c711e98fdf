"""``diaphane index``: from a tree of DICOM and a spreadsheet to a data set that opens."""

from __future__ import annotations

import csv
import json

import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from diaphane.acquire import open_dataset
from diaphane.cli import app
from studies import leaks, secrets_of, write_dicom
from tables import rows


def run(*arguments):
    return CliRunner().invoke(app, ["index", *map(str, arguments)])


def indexed(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Patients 01 to 04: 01 has two series in one folder, 02 a CT and a PET, 04 a scout."""
    base = tmp_path_factory.mktemp("base")
    for patient in ("01", "02", "03", "04"):
        (base / "scans" / f"exam {patient}").mkdir(parents=True)
    write_dicom(base / "scans" / "exam 01", patient="01", number=1, description="chest soft")
    write_dicom(
        base / "scans" / "exam 01", patient="01", number=2, shape=(9, 16, 16), description="lung"
    )
    write_dicom(base / "scans" / "exam 02", patient="02", number=5)
    write_dicom(base / "scans" / "exam 02", patient="02", number=6, modality="MR")
    write_dicom(base / "scans" / "exam 03", patient="03")
    write_dicom(base / "scans" / "exam 04", patient="04", shape=(1, 20, 20))
    (scout,) = (base / "scans" / "exam 04").iterdir()
    data = pydicom.dcmread(scout)
    data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    data.save_as(scout)
    return base


@pytest.fixture
def base(tree):
    """The tree without what another test wrote beside it."""
    for path in tree.glob("*.csv"):
        path.unlink()
    return tree


def write_table(path, lines, encoding="utf-8", delimiter=","):
    path.write_text("\n".join(delimiter.join(line) for line in lines), encoding=encoding)
    return path


TABLE = [
    ["PatientID", "diagnosis"],
    ["01", "benign"],
    ["02", "malignant"],
    ["99", "benign"],
]


def test_one_row_a_series_and_what_does_not_match(base, tmp_path):
    table = write_table(tmp_path / "t.csv", TABLE)
    done = indexed(base / "scans", "--labels", table, "--out", base / "labels.csv")
    assert (done["rows"], done["groups"]) == (4, 2)
    assert done["labels"] == {"label": {"benign": 2, "malignant": 2}}
    found = {row["file"]: row for row in rows(base / "labels.csv")}
    assert list(found) == [f"scans/exam 0{n}#{k}" for n, k in ((1, 1), (1, 2), (2, 5), (2, 6))]
    first = found["scans/exam 01#2"]
    assert (first["modality"], first["slices"], first["spacing"]) == ("CT", "9", "2.5 0.7 0.7")
    assert first["group"].startswith("P-")
    assert first["series"].startswith("S-")
    left = rows(base / "unmatched.csv")
    assert [(r["side"], r["key"], r["line"]) for r in left if r["side"] == "table"] == [
        ("table", "99", "4")
    ]
    assert {(r["file"], r["problem"]) for r in left if r["side"] == "series"} == {
        ("scans/exam 03", "no row in the table"),
        ("scans/exam 04/1_IMG00001.dcm", "only plans other images (localizer)"),
    }
    assert (done["unmatched_table_rows"], done["unmatched_series"]) == (1, 2)
    secrets = secrets_of(base / "scans") - {b"01", b"02", b"03", b"04"}
    for name in ("labels.csv", "unmatched.csv"):
        assert not leaks(base / name, secrets)
    assert not (base / "rejected.csv").exists()


def test_it_opens_as_a_data_set(base, tmp_path):
    table = write_table(tmp_path / "t.csv", TABLE)
    indexed(base / "scans", "--labels", table, "--out", base / "labels.csv")
    dataset = open_dataset(base)
    assert dataset.kind == "manifest"
    assert [entry.load().volume.shape for entry in dataset] == [
        (4, 24, 24),
        (9, 16, 16),
        (4, 24, 24),
        (4, 24, 24),
    ]
    assert len({entry.group for entry in dataset}) == 2
    assert dataset.classes == {"label": ("benign", "malignant")}
    modalities = open_dataset(base, subgroups=["modality"]).entries[3].subgroups
    assert modalities == {"modality": "MR"}


def test_the_patient_is_the_group_without_its_column(base, tmp_path):
    write_table(
        base / "labels.csv",
        [
            ["file", "label"],
            ["scans/exam 01#1", "a"],
            ["scans/exam 01#2", "a"],
            ["scans/exam 03", "b"],
        ],
    )
    groups = [entry.group for entry in open_dataset(base)]
    assert groups[0] == groups[1] != groups[2]
    assert groups[0].startswith("P-")


def test_prefer_takes_one_of_each(base, tmp_path):
    table = write_table(tmp_path / "t.csv", TABLE)
    common = (base / "scans", "--labels", table, "--out", base / "labels.csv")
    for rules, cells in (
        (["largest"], ["scans/exam 01#1", "scans/exam 02#5"]),
        (["term:lung", "modality:MR"], ["scans/exam 01#2", "scans/exam 02#6"]),
    ):
        words = [word for rule in rules for word in ("--prefer", rule)]
        done = indexed(*common, *words)
        assert [row["file"] for row in rows(base / "labels.csv")] == cells
        assert done["unmatched_series"] == 4
    done = indexed(*common, "--modality", "MR")
    assert [row["file"] for row in rows(base / "labels.csv")] == ["scans/exam 02#6"]
    assert run(*common, "--prefer", "nicest").exit_code == 2


@pytest.mark.parametrize(
    ("on", "header", "keys"),
    [
        ("AccessionNumber", "Accession Number", ["ACC01-1", "ACC03-1"]),
        ("folder", "folder", ["exam 01", "exam 03"]),
        ("folder", "path", ["exam 01/", ".\\exam 03"]),
        ("StudyInstanceUID", "study", []),
    ],
)
def test_what_rows_are_about(base, tmp_path, on, header, keys):
    if on == "StudyInstanceUID":
        keys = [
            pydicom.dcmread(next((base / "scans" / f"exam {n}").iterdir())).StudyInstanceUID
            for n in ("01", "03")
        ]
    table = write_table(tmp_path / "t.csv", [[header, "label"], [keys[0], "a"], [keys[1], "b"]])
    more = ["--column", "study"] if on == "StudyInstanceUID" else []
    common = (base / "scans", "--labels", table, "--out", base / "labels.csv")
    done = indexed(*common, "--on", on, *more)
    assert done["labels"] == {"label": {"a": 2, "b": 1}}
    assert done["unmatched_table_rows"] == 0


@pytest.mark.parametrize(
    ("encoding", "word", "delimiter"),
    [
        ("utf-8", "恶性", ","),
        ("utf-8-sig", "恶性", ";"),
        ("utf-16", "恶性", "\t"),
        ("gb18030", "恶性", "|"),
        ("cp1252", "bösartig", ";"),
    ],
)
def test_encodings_and_delimiters(base, tmp_path, encoding, word, delimiter):
    lines = [["PatientID", "结果" if word == "恶性" else "Größe"], ["01", word], ["03", "ok"]]
    table = write_table(tmp_path / "t.csv", lines, encoding, delimiter)
    done = indexed(base / "scans", "--labels", table, "--out", base / "labels.csv")
    assert done["labels"] == {"label": {word: 2, "ok": 1}}
    assert set(open_dataset(base).classes["label"]) == {word, "ok"}


def test_roles_of_columns(base, tmp_path):
    lines = [
        [
            "PatientID",
            "label:a",
            "label:b",
            "split",
            "concept:age",
            "subgroup:site",
            "name",
            "group",
        ],
        ["01", "x", "1", "train", "61", "north", "Florence", "F1"],
        ["03", "y", "0", "test", "44", "south", "Mary", "F2"],
    ]
    table = write_table(tmp_path / "t.csv", lines)
    done = indexed(base / "scans", "--labels", table, "--out", base / "labels.csv")
    assert any("name" in note for note in done["notes"])
    text = (base / "labels.csv").read_text()
    assert "Florence" not in text
    assert "F1" not in text
    (*_, last) = open_dataset(base)
    assert last.labels == {"a": "y", "b": "0"}
    assert (last.split, last.concepts, last.subgroups) == ("test", {"age": 44.0}, {"site": "south"})


def test_labels_are_named_where_it_is_not_plain(base, tmp_path):
    lines = [["PatientID", "ki67", "grade"], ["01", "7", "G1"], ["03", "", "G2"]]
    table = write_table(tmp_path / "t.csv", lines)
    common = (base / "scans", "--labels", table, "--out", base / "labels.csv")
    result = run(*common)
    assert result.exit_code == 2
    assert "ki67, grade" in result.stderr
    assert indexed(*common, "--label", "grade")["labels"] == {"label": {"G1": 2, "G2": 1}}
    done = indexed(*common, "--label", "grade", "--label", "ki67")
    assert done["labels"] == {"label:grade": {"G1": 2}, "label:ki67": {"7": 2}}
    assert rows(base / "unmatched.csv")[0]["problem"] == "the column 'label:ki67' is empty"


def test_zeros_that_a_spreadsheet_dropped_are_told(base, tmp_path):
    table = write_table(tmp_path / "t.csv", [["PatientID", "label"], ["1", "a"], ["03", "b"]])
    done = indexed(base / "scans", "--labels", table, "--out", base / "labels.csv")
    assert any("leading zeros" in note for note in done["notes"])
    assert done["rows"] == 1


@pytest.mark.parametrize(
    ("lines", "code", "told"),
    [
        ([["PatientID", "label"], ["01", "a"], ["01", "b"]], 3, "Lines 2 and 3"),
        ([["PatientID", "AccessionNumber", "label"], ["01", "x", "a"]], 2, "--on"),
        ([["who", "label"], ["01", "a"]], 2, "--column"),
        ([["PatientID", "label"], ["77", "a"]], 3, "unmatched.csv"),
        ([["PatientID", "label"]], 3, "no rows"),
        ([["PatientID", "PatientID"], ["01", "a"]], 3, "twice"),
    ],
)
def test_tables_that_are_wrong(base, tmp_path, lines, code, told):
    table = write_table(tmp_path / "t.csv", lines)
    result = run(base / "scans", "--labels", table, "--out", base / "labels.csv")
    assert result.exit_code == code
    assert told in result.stderr
    assert not (base / "labels.csv").exists()


def test_workbooks_are_refused_by_name(base, tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04 and more")
    result = run(base / "scans", "--labels", tmp_path / "t.xlsx", "--out", base / "labels.csv")
    assert result.exit_code == 3
    assert "CSV (UTF-8)" in result.stderr


def test_places_of_the_table(base, tmp_path):
    assert run(base / "scans", "--out", tmp_path / "labels.csv").exit_code == 2
    (base / "labels.csv").write_text("file,label\nmine.png,x\n")
    result = run(base / "scans", "--out", base / "labels.csv")
    assert result.exit_code == 2
    assert (base / "labels.csv").read_text() == "file,label\nmine.png,x\n"
    (base / "labels.csv").unlink()
    done = indexed(base / "scans", "--out", base / "labels.csv")
    assert done["rows"] == 5
    assert done["labels"] == {}


def test_what_cannot_be_read_is_refused_beside_the_rest(tmp_path):
    write_dicom(tmp_path / "all", patient="01", number=1, prefix="a")
    write_dicom(tmp_path / "all", patient="02", number=1, prefix="b")
    write_dicom(tmp_path / "all", patient="03", number=2, prefix="c")
    victim = next((tmp_path / "all").glob("c*2.dcm"))
    victim.write_bytes(victim.read_bytes()[:-200])
    result = run(tmp_path / "all", "--out", tmp_path / "labels.csv")
    assert result.exit_code == 1
    assert {row["error"] for row in rows(tmp_path / "rejected.csv")} == {"UnreadableFile"}
    # Two series of one number in one folder are told apart by their keys.
    cells = [row["file"] for row in rows(tmp_path / "labels.csv")]
    assert all(cell.startswith("all#S-") for cell in cells)
    shapes = [entry.load().volume.voxels.tobytes() for entry in open_dataset(tmp_path)]
    assert len(set(shapes)) == 2


@pytest.mark.learn
def test_plan_reads_what_index_writes(tmp_path):
    lines = [["PatientID", "label"]]
    for n in range(12):
        (tmp_path / "scans" / str(n // 6)).mkdir(parents=True, exist_ok=True)
        write_dicom(
            tmp_path / "scans" / str(n // 6),
            patient=f"P{n}",
            number=n + 1,
            bright=800 * (n % 2),
            prefix=f"{n}_",
        )
        lines.append([f"P{n}", "bright" if n % 2 else "dark"])
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        csv.writer(stream, delimiter=";").writerows(lines)
    indexed(tmp_path / "scans", "--labels", tmp_path / "t.csv", "--out", tmp_path / "labels.csv")
    result = CliRunner().invoke(
        app, ["plan", str(tmp_path), "--out", str(tmp_path / "plan"), "--positive", "bright"]
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "plan" / "plan.yaml").exists()
    values = [entry.load().volume.voxels for entry in open_dataset(tmp_path)]
    assert len(values) == 12
    assert len({np.round(v.mean()) for v in values}) > 1

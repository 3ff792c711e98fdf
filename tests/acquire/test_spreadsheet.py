"""Tables of people's spreadsheets come in whole, whatever wrote them."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diaphane.acquire.spreadsheet import read_sheet
from diaphane.core.errors import DatasetError, EmptyInput, UnreadableFile

CELL = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"], codec="utf-8"), max_size=12
)


@settings(max_examples=40, deadline=None)
@given(
    lines=st.lists(st.tuples(CELL, CELL, CELL).filter(any), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    ends=st.sampled_from(["\n", "\r\n"]),
)
def test_cells_are_kept(tmp_path_factory, lines, delimiter, encoding, ends):
    path = tmp_path_factory.mktemp("sheet") / "t.csv"
    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter, lineterminator=ends)
        writer.writerows([("a", "b", "c"), *lines])
    sheet = read_sheet(path)
    assert sheet.columns == ("a", "b", "c")
    assert [(row["a"], row["b"], row["c"]) for row in sheet.rows] == lines
    assert [row.line for row in sheet.rows] == list(range(2, len(lines) + 2))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("病历号,诊断\n01,浸润性导管癌\n", "gb18030"),
        ("Nr,Größe\n01,Müller\n", "cp1252"),
        ("Nr,größer, Äste\n01,Öl,ß\n", "cp1252"),
    ],
)
def test_encodings_are_told_apart(tmp_path, text, encoding):
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    sheet = read_sheet(tmp_path / "t.csv")
    assert sheet.encoding == encoding
    assert sheet.columns[1] == text.split("\n", maxsplit=1)[0].split(",")[1]


def test_a_named_encoding_counts(tmp_path):
    (tmp_path / "t.csv").write_bytes("a,b\n1,日本\n".encode("shift_jis"))
    assert read_sheet(tmp_path / "t.csv", "shift_jis").rows[0]["b"] == "日本"
    with pytest.raises(UnreadableFile, match="ascii"):
        read_sheet(tmp_path / "t.csv", "ascii")


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(EmptyInput):
        read_sheet(tmp_path / "absent.csv")
    (tmp_path / "long.csv").write_text("a,b\n1,2,3\n")
    with pytest.raises(DatasetError, match="Line 2"):
        read_sheet(tmp_path / "long.csv")
    (tmp_path / "book.xlsx").write_bytes(b"anything")
    with pytest.raises(UnreadableFile, match="Workbooks"):
        read_sheet(tmp_path / "book.xlsx")

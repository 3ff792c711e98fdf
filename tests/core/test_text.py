"""Names and messages neither steer a terminal nor start a formula."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diaphane.core.errors import UnreadableFile
from diaphane.core.tables import write_table
from diaphane.core.text import cell, guarded, printable, uncelled


def test_control_characters_are_written_out():
    assert printable("a\x1b]0;x\x07\x9bm\u202eb\n") == r"a\x1b]0;x\x07\x9bm\u202eb\x0a"
    assert printable("a\nb\t", lines=True) == "a\nb\\x09"
    assert printable("Größe 5 µm, \u533b") == "Größe 5 µm, \u533b"


def test_messages_of_errors_are_printable():
    error = UnreadableFile("x\x1b[2J", path="a\x1b[31m\n.dcm", remedy="\x9b")
    assert str(error) == r"a\x1b[31m\x0a.dcm: x\x1b[2J \x9b"
    assert error.path == "a\x1b[31m\n.dcm"  # as it is, for programs


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+x", "-2+3", "@sum(a)", "=HYPERLINK(1)", " =1", "\n=1", "\uff1d1", "'=1", "''@a"],
)
def test_formulas_are_text(text):
    assert cell(text) == "'" + text
    assert uncelled(cell(text)) == text


@pytest.mark.parametrize(
    "text", ["-1.5", "+3", "-inf", "1e-5", "-1.5,2,3;+4,5,6", "a=b", "", "'", "'quoted'"]
)
def test_numbers_and_words_stay(text):
    assert cell(text) == uncelled(text) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_makes_a_harmless_cell(text):
    made = cell(text)
    assert not (set(map(chr, (*range(10), *range(11, 32), *range(127, 160)))) & set(made))
    assert not made.lstrip().startswith(("=", "+", "-", "@")) or made == text
    assert uncelled(made) == printable(text, lines=True)
    assert uncelled(guarded(text)) == text


def test_a_table_is_written_with_harmless_cells(tmp_path):
    path = tmp_path / "a.csv"
    write_table(path, ("=name", "value"), [("@SUM(A1)\t", 1.5), ("=2\r", None), ("-1", "a,b")])
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    expected = [["'=name", "value"], [r"'@SUM(A1)\x09", "1.5"], [r"'=2\x0d", ""], ["-1", "a,b"]]
    assert rows == expected

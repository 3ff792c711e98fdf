"""Names and messages neither steer a terminal nor start a formula."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diaphane.core.errors import UnreadableFile
from diaphane.core.text import cell, printable, uncelled


def test_control_characters_are_written_out():
    assert printable("a\x1b]0;x\x07\x9bm\u202eb\n") == r"a\x1b]0;x\x07\x9bm\u202eb\x0a"
    assert printable("a\nb\t", lines=True) == "a\nb\\x09"
    assert printable("Größe 5 µm, \u533b") == "Größe 5 µm, \u533b"


def test_messages_of_errors_are_printable():
    error = UnreadableFile("x\x1b[2J", path="a\x1b[31m\n.dcm", remedy="\x9b")
    assert str(error) == r"a\x1b[31m\x0a.dcm: x\x1b[2J \x9b"
    assert error.path == "a\x1b[31m\n.dcm"  # as it is, for programs


@pytest.mark.parametrize("text", ["=1+1", "+x", "-2+3", "@sum(a)", "=HYPERLINK(1)"])
def test_formulas_are_text(text):
    assert cell(text) == "'" + text
    assert uncelled(cell(text)) == text


@pytest.mark.parametrize("text", ["-1.5", "+3", "-inf", "1e-5", "a=b", "", "'", "'quoted'"])
def test_numbers_and_words_stay(text):
    assert cell(text) == uncelled(text) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_makes_a_harmless_cell(text):
    made = cell(text)
    out = io.StringIO()
    csv.writer(out).writerow([made])
    assert not (set(map(chr, (*range(10), *range(11, 32), *range(127, 160)))) & set(made))
    starts = made[:1]
    assert starts not in "=+-@" or not starts or made == text
    if printable(text, lines=True) == text and not text.startswith("'"):
        assert uncelled(made) == text

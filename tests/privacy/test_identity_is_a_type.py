"""The type checker stops an identified case at the door: only ``privacy`` makes it a plain one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

api = pytest.importorskip("mypy.api", reason="needs mypy (diaphane[lint])")

HEAD = """
from collections.abc import Sequence
from dataclasses import replace

from diaphane.core.case import Case, Identified, Identity, Series, SourceRef
from diaphane.privacy.plain import plain
from diaphane.privacy.pseudonyms import Pseudonymiser

def learns(cases: Sequence[Case]) -> None: ...
def shows(case: Case) -> str: return case.key

def work(one: Identified[Case], many: list[Identified[Case]], series: Identified[Series]) -> None:
"""

SETTINGS = """
[mypy]
strict = True
incremental = False
# Only what says what a case is and who makes it is read: the rest takes most of the time.
follow_imports = skip
"""
READ = ("core/case.py", "core/errors.py", "privacy/plain.py", "privacy/pseudonyms.py")

RIGHT = {
    "one": "shows(plain(one))",
    "many": "learns([plain(case) for case in many])",
    "with a key": "shows(plain(one, Pseudonymiser.load()))",
    "series": "s: Series = plain(series)",
}
WRONG = {
    "an identified case is no case": ("shows(one)", "arg-type"),
    "nor are several": ("learns(many)", "arg-type"),
    "nor one in a list": ("learns([one])", "list-item"),
    "its fields are not the case's": ("one.key", "attr-defined"),
    "nor can they be set": ("one.identity = Identity()", "misc"),
    "an identified series does not become a case": ("c: Case = plain(series)", "assignment"),
    "a case has no name": ("plain(one).patient_name", "attr-defined"),
    "nor takes one": ("Case('k', {}, identity=Identity())", "call-arg"),
    "an identity is no group": ("replace(plain(one), group=one.identity)", "arg-type"),
    "a source tells no path": ("SourceRef([]).paths", "attr-defined"),
}


def test_only_privacy_makes_a_plain_case(tmp_path, monkeypatch):
    lines = [HEAD, *(f"    {text}" for text in RIGHT.values())]
    expected: dict[int, tuple[str, str]] = {}
    for why, (text, code) in WRONG.items():
        lines.append(f"    {text}")
        expected["\n".join(lines).count("\n") + 1] = (why, code)
    snippet = tmp_path / "snippet.py"
    snippet.write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    source = Path(__file__).parents[2] / "src"
    monkeypatch.setenv("MYPYPATH", str(source))
    read = [str(source / "diaphane" / name) for name in READ]
    settings = tmp_path / "mypy.ini"
    settings.write_text(SETTINGS)
    said, trouble, _ = api.run(
        ["--config-file", str(settings), "--output=json", str(snippet), *read]
    )
    assert not trouble
    found = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    errors = {(item["line"], item["code"]) for item in found if item["file"] == snippet.name}
    assert errors == {(line, code) for line, (_, code) in expected.items()}, said

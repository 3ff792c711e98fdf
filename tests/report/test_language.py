"""Catalogues are whole, compiled and in step; numbers follow the locale."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

from diaphane.core.errors import UsageError
from diaphane.report import LANGUAGES, Language
from diaphane.report.messages import MESSAGES

HOME = Path(str(files("diaphane.report")))
CALLS = {"mark": None, "text": None, "gettext": None, "_": None, "count": (1, 2)}
OTHERS = [locale for code, locale in LANGUAGES.items() if code != "en"]


def catalogue(locale: str, kind: str):
    path = HOME / "locale" / locale / "LC_MESSAGES" / f"diaphane.{kind}"
    with path.open("rb") as file:
        return (read_po if kind == "po" else read_mo)(file)


def asked_for() -> set[str]:
    found = extract_from_dir(
        str(HOME), [("**.py", "python"), ("**.html.j2", "jinja2")], keywords=CALLS
    )
    return {m if isinstance(m, str) else m[0] for _, _, m, _, _ in found}


@pytest.mark.parametrize("locale", OTHERS)
def test_every_message_is_translated(locale) -> None:
    known = {m.id if isinstance(m.id, str) else m.id[0]: m for m in catalogue(locale, "po") if m.id}
    assert asked_for() == set(known)
    for message in known.values():
        assert not message.fuzzy
        assert all(message.string if isinstance(message.string, tuple) else (message.string,))


@pytest.mark.parametrize("locale", OTHERS)
def test_parameters_survive_translation(locale) -> None:
    for message in catalogue(locale, "po"):
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        if ids[0]:
            wanted = set(re.findall(r"%\(\w+\)s", ids[-1]))
            assert all(set(re.findall(r"%\(\w+\)s", s)) == wanted for s in strings), ids


@pytest.mark.parametrize("locale", OTHERS)
def test_the_compiled_catalogue_is_in_step(locale) -> None:
    def strings(kind: str) -> dict[str, tuple[str, ...]]:
        found = {}
        for message in catalogue(locale, kind):
            name = message.id if isinstance(message.id, str) else message.id[0]
            text = message.string
            found[name] = (text,) if isinstance(text, str) else tuple(text)
        found.pop("", None)
        return found

    assert strings("mo") == strings("po")


def test_codes_have_one_kind_each() -> None:
    assert all("." in code for code in MESSAGES)


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(UsageError, match="'de'"):
        Language("de")


def test_an_unknown_code_shows_its_words() -> None:
    assert Language().say("note", "odd_shadow", {"size_mm": 3.0}) == "odd shadow (size mm 3)"


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [(1234.5, 0, "1,234"), (-3.14159, 2, "−3.14"), (-0.001, 2, "0.00"), (float("nan"), 1, "–")],
)
def test_numbers(value, digits, shown) -> None:
    assert Language().number(value, digits) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.0, "0%"), (0.004, "<1%"), (0.734, "73%"), (0.9999, ">99%"), (1.0, "100%"), (None, "–")],
)
def test_a_share_is_never_rounded_to_certainty(share, shown) -> None:
    assert Language().percent(share) == shown


def test_dates_follow_the_locale() -> None:
    assert Language("zh").date("20240301") == "2024年3月1日"
    assert Language("en").date("unknown") == "unknown"

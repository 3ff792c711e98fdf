"""Words and numbers of a report, in one language.

English sentences are the keys of the gettext catalogue; codes become sentences by the table
in :mod:`diaphane.report.messages`. Numbers and dates follow the locale (CLDR, through babel).
"""

from __future__ import annotations

import gettext
import math
from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from typing import Any

from diaphane.core.errors import UsageError
from diaphane.report.messages import MESSAGES

LANGUAGES: Mapping[str, str] = {"en": "en", "zh": "zh_CN"}
"""Language -> locale; each but English has a catalogue under ``locale/``."""


class Language:
    """One language: sentences for codes, and numbers as its readers write them.

    Parameters
    ----------
    code:
        ``"en"`` or ``"zh"``.

    Raises
    ------
    UsageError
        For a language without a catalogue.
    """

    def __init__(self, code: str = "en") -> None:
        if code not in LANGUAGES:
            known = ", ".join(LANGUAGES)
            raise UsageError(f"Reports are not written in '{code}'.", remedy=f"Use one of: {known}")
        self.code = code
        self.locale = LANGUAGES[code]
        self.tag = self.locale.replace("_", "-")
        self.translations: gettext.NullTranslations = gettext.NullTranslations()
        if code != "en":
            home = files("diaphane.report") / "locale" / self.locale / "LC_MESSAGES"
            with (home / "diaphane.mo").open("rb") as catalogue:
                self.translations = gettext.GNUTranslations(catalogue)
        self.separator = "" if code == "zh" else ", "
        self.full_stop = "。" if code == "zh" else ". "
        self.gap = "" if code == "zh" else " "
        self.pause, self.semicolon, self.colon = (
            ("，", "；", "：") if code == "zh" else (", ", "; ", ": ")
        )

    def text(self, message: str, **values: Any) -> str:
        """The message in this language, with ``%(name)s`` filled in."""
        translated = self.translations.gettext(message) if message else ""
        return translated % values if values else translated

    def count(self, one: str, many: str, n: int, **values: Any) -> str:
        """The singular or plural message for ``n``, with ``%(n)s`` filled in."""
        return self.translations.ngettext(one, many, n) % {"n": self.number(n), **values}

    def knows(self, kind: str, code: str) -> bool:
        """Whether the table has a sentence for this code."""
        return f"{kind}.{code}" in MESSAGES

    def say(self, kind: str, code: str, values: Mapping[str, Any] | None = None) -> str:
        """The sentence of a code; an unknown code is shown as its own words.

        Parameters
        ----------
        kind, code:
            Row of the table ``kind.code``, for example ``reason``, ``cut_by_frame``.
        values:
            Parameters of the sentence; numbers are written by the locale.
        """
        message = MESSAGES.get(f"{kind}.{code}")
        shown = {name: self.value(value) for name, value in (values or {}).items()}
        if message is None:
            words = code.replace("_", " ")
            extra = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())
            return f"{words} ({extra})" if extra else words
        try:
            return self.translations.gettext(message) % shown
        except (KeyError, ValueError):  # a parameter is missing: the bare sentence still helps
            return self.translations.gettext(message)

    def value(self, value: Any) -> str:
        """Any parameter as text: whole numbers plain, others with up to three digits."""
        if isinstance(value, bool):
            return self.text("yes") if value else self.text("no")
        if isinstance(value, int):
            return self.number(value)
        if isinstance(value, float):
            return self.significant(value)
        if isinstance(value, (list, tuple)):
            return self.text(", ").join(self.value(part) for part in value)
        return str(value)

    def number(self, value: float | None, digits: int = 0) -> str:
        """``value`` with that many decimals and a true minus sign; a dash for none."""
        if value is None or not math.isfinite(value):
            return "–"
        from babel.numbers import format_decimal

        pattern = "#,##0" + ("." + "0" * digits if digits else "")
        shown = str(format_decimal(round(value, digits) + 0.0, format=pattern, locale=self.locale))
        return shown.replace("-", "−")

    def significant(self, value: float | None, figures: int = 3) -> str:
        """``value`` with at most that many significant figures, without trailing zeros."""
        if value is None or not math.isfinite(value):
            return "–"
        if value == 0:
            return "0"
        from babel.numbers import format_decimal

        digits = min(6, max(0, figures - 1 - math.floor(math.log10(abs(value)))))
        pattern = "#,##0" + ("." + "#" * digits if digits else "")
        shown = str(format_decimal(round(value, digits), format=pattern, locale=self.locale))
        return shown.replace("-", "−")

    def signed(self, value: float, digits: int = 2) -> str:
        """``value`` with its sign, unless it rounds to zero."""
        shown = self.number(value, digits)
        return shown if shown.startswith("−") or not round(value, digits) else f"+{shown}"

    def percent(self, share: float | None, digits: int = 0) -> str:
        """A share from 0 to 1 as per cent; never rounded up to certainty."""
        if share is None or not math.isfinite(share):
            return "–"
        from babel.numbers import format_percent

        def show(part: float) -> str:
            pattern = "#,##0" + ("." + "0" * digits if digits else "") + "%"
            return str(format_percent(part, format=pattern, locale=self.locale))

        step = 10.0 ** -(digits + 2)
        if 0 < share < step:
            return f"<{show(step)}"
        if 1 - step < share < 1:
            return f">{show(1 - step)}"
        return show(share)

    def date(self, dicom: str) -> str:
        """A DICOM date ``YYYYMMDD`` by the locale; anything else as it is."""
        try:
            day = datetime.strptime(dicom, "%Y%m%d").date()  # noqa: DTZ007 - dates have no zone
        except ValueError:
            return dicom
        from babel.dates import format_date

        return str(format_date(day, format="long", locale=self.locale))

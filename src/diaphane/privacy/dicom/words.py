"""Text that may stay: words of technique, and nothing that tells who somebody is."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from diaphane.privacy.dicom.table import data_lines
from diaphane.privacy.dicom.values import is_registered

_SEPARATORS = re.compile(r"([\s\\^=,;:/()\[\]{}<>|\"'_&#!?*]+)")
_PIECES = re.compile(r"[^\W_]+(?:[.+\-][^\W_]+)*[+\-]?")
# Written as titles are: "DR" and "MR" are modalities.
_TITLE = re.compile(
    r"\b(?:Dr|Prof|Mrs|Miss|Herr|Frau|Mme|Dra|Sra)\b\.?\s*|\bMr\.?\s+|\b(?:Mr|Ms|Sr)\.\s*"
)
_MEASURE = re.compile(
    r"^(?:\d{1,3}(?:\.\d{1,3})?(?:mm|cm|ml|mg|kv|kvp|kev|mev|ms|s|sec|min|t|x|%|hz|khz|mhz|deg|d)?|"
    r"[a-z]\d{2}[a-z]{0,2}|[a-z]{2}\d{2}[a-z]{0,2}|\d?[a-z]{1,6}\d{0,2}[a-z]?|\d{1,2}[a-z]{1,4}|"
    r"[ctls]\d{1,2}(?:-[ctls]?\d{1,2})?)$"
)
_STEM = re.compile(r"[a-z]+")
# Dates, times, telephone numbers, record numbers, addresses of mail and web: whatever the words.
_TELLING = (
    re.compile(r"\S+@\S+"),
    re.compile(r"\b(?:https?|ftp|file)://\S*|\bwww\.\S+", re.IGNORECASE),
    re.compile(
        r"\b\d{1,4}(?:st|nd|rd|th)?[\s.,\-/]*(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
        r"[a-z]*\.?[\s,\-/]*\d{0,4}\b",
        re.IGNORECASE,
    ),
    re.compile(
        r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?[\s\-/]*\d{1,4}"
        r"(?:st|nd|rd|th)?(?:[\s,\-/]+\d{2,4})?\b",
        re.IGNORECASE,
    ),
    re.compile(r"\d{1,4}[.\-/]\d{1,2}[.\-/]\d{1,4}"),
    re.compile(
        r"\b\d{1,3}[\s\-]*(?:y|yo|yrs?|years?|months?|weeks?)\b(?:[\s\-]*old)?", re.IGNORECASE
    ),
    re.compile(r"\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?"),
)
_MONTHS = {
    name: number
    for number, names in enumerate(
        ("jan", "feb", "mar mär mrz", "apr", "may mai", "jun", "jul", "aug", "sep", "oct okt", "nov",
         "dec dez"), start=1,
    )
    for name in names.split()
}  # fmt: skip
_MONTH = rf"(?P<m>{'|'.join(_MONTHS)})[^\W\d_]*\.?"
_MARK = r"[\s.,\-/]{1,2}"
# A day as people write it; where its numbers may be in either order, both are tried.
_DAYS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<!\d)(?P<y>\d{{4}}){_MARK}(?P<a>\d{{1,2}}){_MARK}(?P<b>\d{{1,2}})(?!\d)",
        rf"(?<!\d)(?P<a>\d{{1,2}}){_MARK}(?P<b>\d{{1,2}}){_MARK}(?P<y>\d{{4}}|\d{{2}})(?!\d)",
        rf"(?<!\d)(?P<a>\d{{1,2}})(?:st|nd|rd|th)?[\s.\-/]*{_MONTH}[\s.,\-/]*(?P<y>\d{{4}}|\d{{2}})(?!\d)",
        rf"(?<![^\W_]){_MONTH}[\s.\-]*(?P<a>\d{{1,2}})(?:st|nd|rd|th)?{_MARK}(?P<y>\d{{4}}|\d{{2}})(?!\d)",
    )
)
_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
# Of an instance; a version has fewer or shorter parts.
_UID = re.compile(r"(?<![\w.])[0-2](?:\.\d{1,39}){5,}(?![\w.])")
_SHORT_UID = 20
_ALNUM = re.compile(r"[^\W_]+")
_DIGITS = re.compile(r"\d+")
_NUMBERS = re.compile(r"(?<![^\W_])\+?\(?\d+(?:[\s.\-/()]{1,2}\d+)+")
_LONG_NUMBER = 7
_MARKED = 6


@functools.cache
def vocabulary() -> frozenset[str]:
    """The words that may stay, in lower case."""
    return frozenset(word for line in data_lines("technical-terms.txt") for word in line.split())


def fold(text: str) -> str:
    """Lower case without accents, for comparison."""
    plain = unicodedata.normalize("NFKD", text)
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold()


@dataclass(frozen=True)
class Identifiers:
    """What tells who the people of a study are: names, numbers, places, in folded form.

    Attributes
    ----------
    words:
        Single words. Of four or more letters, or not of the Latin alphabet, they also count
        inside longer words; numbers of four or five digits do not count inside longer numbers.
        Those with a digit and six or more letters also count with marks between their letters,
        and days, given as ``1957-11-23``, in whatever way people write them.
    whole:
        Whole values, however short.
    """

    words: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    _alone: frozenset[str] = field(init=False, repr=False, compare=False)
    _inside: frozenset[str] = field(init=False, repr=False, compare=False)
    _lengths: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _days: frozenset[str] = field(init=False, repr=False, compare=False)
    _marked: dict[str, list[str]] = field(init=False, repr=False, compare=False)
    _counts: frozenset[str] = field(init=False, repr=False, compare=False)
    _composed: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        plain = {word for word in self.words if word.isalnum()}
        alone = {w for w in plain if w.isascii() and (len(w) < 4 or (w.isdigit() and len(w) < 6))}
        days = {word for word in self.words if _ISO_DAY.fullmatch(word)}
        squeezed = {"".join(c for c in text if c.isalnum()) for text in self.words | self.whole}
        marked: dict[str, list[str]] = {}
        for text in squeezed:
            if len(text) >= _MARKED and any(map(str.isdigit, text)):
                marked.setdefault(text[:_MARKED], []).append(text)
        # Values with marks in them, such as numbers with dashes, are looked for as they are.
        composed = [
            re.escape(text)
            for text in sorted(self.words | self.whole, key=len, reverse=True)
            if len(text) > 3 and not text.isalnum() and text not in days
        ]
        for name, value in (
            ("_alone", frozenset(alone)),
            ("_inside", frozenset(plain - alone)),
            ("_lengths", tuple(sorted({len(word) for word in plain - alone}))),
            ("_days", frozenset(days)),
            ("_marked", marked),
            ("_counts", frozenset(t.lstrip("0") for t in self.whole if t.isdigit())),
            ("_composed", re.compile("|".join(composed), re.IGNORECASE) if composed else None),
        ):
            object.__setattr__(self, name, value)

    def told_by(self, text: str) -> bool:
        """Whether a text, however written, tells one of them."""
        folded = fold(text)
        if not folded:
            return False
        if folded.strip() in self.whole:
            return True
        if self._composed is not None and self._composed.search(folded):
            return True
        return any(map(self._in_piece, _ALNUM.findall(folded))) or bool(self._spans(text))

    def tells_whole(self, text: str) -> bool:
        """Whether a text is one of their values or names, and nothing besides."""
        folded = fold(text).strip()
        return folded in self.whole or (folded.isalpha() and folded in self.words)

    def counts(self, text: str) -> bool:
        """Whether a number, however written, is one of theirs of more than four digits."""
        try:
            number = f"{float(text):.0f}"
        except (ValueError, OverflowError):
            return False
        return len(number) > 4 and number in self._counts

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Where a text holds a number with marks in it, or a day, of theirs."""
        if not any(map(str.isdigit, text)):
            return []
        found = []
        letters: list[str] = []
        places: list[int] = []
        for place, letter in enumerate(text):
            plain = letter.lower() if letter.isascii() else fold(letter)
            if plain.isalnum():
                letters += plain
                places += [place] * len(plain)
            elif places and place - places[-1] > 2:  # more than marks
                letters.append(" ")
                places.append(place)
        squeezed = "".join(letters)
        for start in range(len(squeezed) - _MARKED + 1):
            for number in self._marked.get(squeezed[start : start + _MARKED], ()):
                if squeezed.startswith(number, start):
                    found.append((places[start], places[start + len(number) - 1] + 1))
                    break
        if sum(map(str.isdigit, text)) < 3:  # of a day and a year
            return found
        for pattern in _DAYS if self._days else ():
            found += [m.span() for m in pattern.finditer(text) if self._is_day(m)]
        return found

    def _is_day(self, match: re.Match[str]) -> bool:
        told = match.groupdict()
        first, year = int(told["a"]), told["y"]
        second = _MONTHS[told["m"].lower()] if "m" in told else int(told["b"])
        years = (year,) if len(year) == 4 else (f"19{year}", f"20{year}")
        pairs = ((first, second), (second, first))
        return any(f"{y}-{m:02}-{d:02}" in self._days for y in years for m, d in pairs)

    def _in_piece(self, piece: str) -> bool:
        if piece in self._alone or any(run in self._alone for run in _DIGITS.findall(piece)):
            return True
        size = len(piece)
        for length in self._lengths:
            if length > size:
                return False
            for start in range(size - length + 1):
                if piece[start : start + length] in self._inside:
                    return True
        return False

    def without_composed(self, text: str) -> str:
        """A text less their values that hold more than letters and digits, and their dates."""
        for start, end in self._spans(text):
            text = text[:start] + " " * (end - start) + text[end:]
        return text if self._composed is None else self._composed.sub(" ", text)

    def joined(self, other: Identifiers) -> Identifiers:
        """Both together."""
        return Identifiers(self.words | other.words, self.whole | other.whole)


NOBODY = Identifiers()


def identifiers_of(
    names: Iterable[str],
    numbers: Iterable[str],
    places: Iterable[str],
    dates: Iterable[str] = (),
) -> Identifiers:
    """Identifiers out of values.

    Parameters
    ----------
    names:
        Names of persons, with their DICOM carets; each part counts.
    numbers:
        Numbers and codes of persons, requests, visits, devices; the whole counts, and parts of
        four or more characters with a digit.
    places:
        Institutions, addresses, stations and other text; the words that are not technical count.
    dates:
        DA or DT values; the day counts, as people write it.
    """
    words: set[str] = set()
    whole: set[str] = set()
    for value in names:
        for written in {fold(value.casefold().translate(letters)) for letters in _SPELLINGS}:
            for part in re.split(r"[\^=\s,.;\-_'’()]+", written):
                if len(part) > 1 and part not in _PARTICLES:
                    words.add(part)
    for value in numbers:
        text = fold(value).strip()
        whole.add(text)
        for part in (text, *re.split(r"[^0-9a-z]+", text)):
            if len(part) >= 4 and part not in vocabulary():
                words.add(part)
        words |= {digits for digits in _DIGITS.findall(text) if len(digits) >= 6}
    for value in places:
        text = fold(value).strip()
        whole.add(text)
        for part in re.split(r"[^\w]+|_", text):
            if len(part) >= 4 and part not in vocabulary() and not _COMMON.match(part):
                words.add(part)
    for value in dates:
        if match := re.match(r"(\d{4})\D?(\d{2})\D?(\d{2})", value):
            y, m, d = match.groups()
            words |= {f"{y}{m}{d}", f"{d}{m}{y}", f"{m}{d}{y}", f"{y}-{m}-{d}"}
    return Identifiers(frozenset(words - {""}), frozenset(whole - {""}))


# As they are, and as those write them who have no such letters.
_SPELLINGS = tuple(
    str.maketrans(dict(pair.split(":") for pair in pairs.split()))
    for pairs in ("", "ä:ae ö:oe ü:ue å:aa ø:oe æ:ae", "ø:o æ:a đ:d ł:l ð:d þ:th")
)
_PARTICLES = frozenset(
    ("de", "da", "di", "du", "del", "la", "le", "van", "von", "der", "den", "dr", "mr", "mrs", "ms",
     "prof", "md", "phd", "jr", "sr")
)  # fmt: skip
_COMMON = re.compile(r"^(?:hospital|clinic|medical|university|department|radiology|imaging)$")


def scrubbed(text: str, who: Identifiers) -> str:
    """A text less the words that tell one of ``who``, mail and web addresses and UIDs.

    For values that machines make or that come from a list: everything else stays as it is.
    """
    if fold(text).strip() in who.whole:
        return ""
    text = _UID.sub(_unless_registered, text)
    if not who.told_by(text) and "@" not in text and "://" not in text:
        return text
    for pattern in _TELLING[:2]:
        text = pattern.sub("", text)
    parts = _SEPARATORS.split(who.without_composed(text))
    kept = "".join(p if k % 2 or not who.told_by(p) else "" for k, p in enumerate(parts))
    return "" if who.told_by(kept) else _tidy(kept)


def holds_uid(text: str) -> bool:
    """Whether a UID of an instance that a source made stands in a text."""
    return any(
        _unless_registered(found) == "" and not found.group().startswith("2.25.")
        for found in _UID.finditer(text)
    )


def _unless_registered(match: re.Match[str]) -> str:
    uid = match.group()
    return uid if len(uid) < _SHORT_UID or is_registered(uid) else ""


def cleaned(text: str, who: Identifiers = NOBODY) -> str:
    """The words of a text that the technical vocabulary knows, or that are a measure.

    Names, numbers, dates and whatever else nobody vouches for go. Separators between the words
    that stay, stay. Cleaning a second time changes nothing.
    """
    while True:
        kept = _once(text, who)
        if kept == text or not kept:
            return kept
        text = kept


def _once(text: str, who: Identifiers) -> str:
    for pattern in _TELLING:
        text = pattern.sub(" ", text)
    text = _without_titled(_NUMBERS.sub(_unless_short, who.without_composed(text)))
    parts = _SEPARATORS.split(text)
    kept = "".join(part if index % 2 else _known(part, who) for index, part in enumerate(parts))
    return "" if who.told_by(kept) else _tidy(kept)


def _without_titled(text: str) -> str:
    """Without the words after a title, as names follow titles."""
    while found := _TITLE.search(text):
        after = re.match(r"(?:[A-Z][\w.'\-]*[\s,]*){1,3}", text[found.end() :])
        text = text[: found.start()] + " " + text[found.end() + (after.end() if after else 0) :]
    return text


def _unless_short(match: re.Match[str]) -> str:
    return match.group() if sum(c.isdigit() for c in match.group()) < _LONG_NUMBER else " "


def _known(part: str, who: Identifiers) -> str:
    if not part or who.told_by(part):
        return ""
    if fold(part) in vocabulary():
        return part
    kept = [piece for piece in _PIECES.findall(part) if _is_technical(fold(piece))]
    return " ".join(kept)


def _is_technical(word: str) -> bool:
    if word in vocabulary():
        return True
    if all(
        piece in vocabulary() or _measure(piece) for piece in re.split(r"[+\-.]", word) if piece
    ):
        return not word.isdigit() or len(word) <= 3
    return False


def _measure(word: str) -> bool:
    if not _MEASURE.match(word):
        return False
    stem = _STEM.search(word)
    if stem is None or stem.group() in vocabulary():
        return True
    return len(stem.group()) <= 2 and any(c.isdigit() for c in word)


def _tidy(text: str) -> str:
    text = re.sub(r"[ \t]{2,}", " ", re.sub(r"[_^/]+(?=\s)|(?<=\s)[_^/]+", "", text))
    text = re.sub(r"([\^=,;:/_&#!?*|])(?:\s*[\^=,;:/_&#!?*|])+", r"\1", text)
    text = re.sub(r"\(\s*\)|\[\s*\]|\{\s*\}|<\s*>|\"\s*\"", "", text)
    return text.strip(" \t\r\n^=,;:/_&#!?*|'\"-.")

"""Entries of a data set through a bundle, a few at a time, so that memory stays flat."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from diaphane.acquire import Entry
from diaphane.bundle import Bundle, Prediction, PreparedCase
from diaphane.core.case import Case
from diaphane.core.errors import DiaphaneError, InputError

CHUNK = 16


@dataclass(frozen=True, eq=False)
class Answer:
    """What became of one entry: a prediction, an error, or neither when it was not wanted.

    ``split`` is the bundle's stored split of the case, when it knows the case.
    """

    entry: Entry
    prediction: Prediction | None = None
    error: Exception | None = None
    split: str | None = None


def answers(
    bundle: Bundle,
    entries: Sequence[Entry],
    *,
    known: bool = False,
    wanted: Callable[[str | None], bool] | None = None,
) -> Iterator[Answer]:
    """Read, prepare and run every entry, in order.

    An entry that cannot be used is answered by its error and the rest goes on; only errors
    of the bundle itself are raised.

    Parameters
    ----------
    known:
        Look up each case's stored split.
    wanted:
        Asked with the stored split; cases that are not wanted are not run.
    """
    workers = min(bundle.threads or os.cpu_count() or 1, 4)

    def read(entry: Entry) -> tuple[PreparedCase | None, str | None, Exception | None]:
        try:
            case: Case = entry.load()
            split = bundle.split_of(case) if known else None
            if wanted is not None and not wanted(split):
                return None, split, None
            return bundle.prepare(case), split, None
        except InputError as error:
            return None, None, error
        except DiaphaneError:
            raise
        except Exception as error:  # noqa: BLE001 - one odd file must not end a long batch
            return None, None, error

    with ThreadPoolExecutor(workers) as pool:
        for chunk in _chunks(entries):
            done = list(pool.map(read, chunk))
            ready = [prepared for prepared, _, _ in done if prepared is not None]
            predictions = iter(bundle.predict_prepared(ready))
            for entry, (prepared, split, error) in zip(chunk, done, strict=True):
                found = next(predictions) if prepared is not None else None
                yield Answer(entry, found, error, split)


def _chunks(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), CHUNK):
        yield entries[start : start + CHUNK]

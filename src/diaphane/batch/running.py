"""Entries of a data set through a bundle, a few at a time, so that memory stays flat."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from diaphane.acquire import Entry
from diaphane.bundle import Bundle, Prediction, PreparedCase, case_hash
from diaphane.core.case import Case
from diaphane.core.errors import DiaphaneError, InputError

CHUNK = 16


@dataclass(frozen=True, eq=False)
class Answer:
    """What became of one entry: a prediction, an error, or neither when it was not wanted.

    ``split`` is the bundle's stored split of the case, when it knows the case; ``digest`` the
    case's hash, where it was asked for.
    """

    entry: Entry
    prediction: Prediction | None = None
    error: Exception | None = None
    split: str | None = None
    digest: str | None = None


def answers(
    bundle: Bundle,
    entries: Sequence[Entry],
    *,
    known: bool = False,
    wanted: Callable[[str | None], bool] | None = None,
    salt: str | None = None,
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
    salt:
        Hash each case that is run, under this salt.
    """
    workers = min(bundle.threads or os.cpu_count() or 1, 4)

    def read(entry: Entry) -> tuple[Answer, PreparedCase | None]:
        try:
            case: Case = entry.load()
            split = bundle.split_of(case) if known else None
            if wanted is not None and not wanted(split):
                return Answer(entry, split=split), None
            digest = None if salt is None else case_hash(case, salt)
            return Answer(entry, split=split, digest=digest), bundle.prepare(case)
        except InputError as error:
            return Answer(entry, error=error), None
        except DiaphaneError:
            raise
        except Exception as error:  # noqa: BLE001 - one odd file must not end a long batch
            return Answer(entry, error=error), None

    with ThreadPoolExecutor(workers) as pool:
        for chunk in _chunks(entries):
            done = list(pool.map(read, chunk))
            ready = [prepared for _, prepared in done if prepared is not None]
            predictions = iter(bundle.predict_prepared(ready))
            for answer, prepared in done:
                found = next(predictions) if prepared is not None else None
                yield replace(answer, prediction=found)


def _chunks(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), CHUNK):
        yield entries[start : start + CHUNK]

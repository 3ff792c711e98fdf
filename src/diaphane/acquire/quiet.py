"""Keep foreign libraries' warnings from the user's terminal, also while threads run.

``warnings.catch_warnings`` alone restores the wrong filters when threads overlap.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()


class _State:
    users = 0
    manager: warnings.catch_warnings[None] | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings inside the block; the last of several threads to leave restores them."""
    with _lock:
        if _State.users == 0:
            _State.manager = warnings.catch_warnings()
            _State.manager.__enter__()
            warnings.simplefilter("ignore")
        _State.users += 1
    try:
        yield
    finally:
        with _lock:
            _State.users -= 1
            if _State.users == 0 and _State.manager is not None:
                _State.manager.__exit__(None, None, None)
                _State.manager = None

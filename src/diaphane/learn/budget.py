"""A time budget: how many steps fit, and when training must come to its end.

The number of steps is set before the first one and frozen in the plan, so that a resumed run does
what the first one would have done. The clock decides one thing only: whether the learning rate
jumps to its final annealing, and that step is recorded.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from dataclasses import dataclass

_SAFETY = 0.97
"""Share of the time at hand that is planned for; the watch sees to it that slower steps end in time."""
_TAIL = 0.1
"""Share of all steps that the final annealing takes."""
_LAPS, _FEWEST_LAPS = 20, 5
"""Laps that a pace is taken from, at most and at least."""
_LEAST = 2.0
"""Seconds that are kept whatever was measured."""
_STALL = 3.0
"""Times the median lap beyond which a lap counts as no longer."""


@dataclass(frozen=True)
class Budget:
    """The time that one command may take, from its first line to its last.

    Attributes
    ----------
    seconds:
        All of it.
    began:
        When the command began, in seconds of :func:`time.monotonic`.
    """

    seconds: float
    began: float

    @property
    def ends(self) -> float:
        """When it is over, in seconds of :func:`time.monotonic`."""
        return self.began + self.seconds

    def left(self) -> float:
        """Seconds that are left; below 0 when it is over."""
        return self.ends - time.monotonic()

    def steps(
        self,
        seconds_per_step: float,
        members: int,
        reserve: float,
        *,
        least: int = 20,
        most: int | None = None,
    ) -> int:
        """How many steps each network may take.

        Parameters
        ----------
        seconds_per_step:
            Measured, reading ahead and looks at stopping cases included.
        members:
            Networks that are still to be trained, one after another.
        reserve:
            Seconds for all that follows: judging, export, tests, report.
        least, most:
            Bounds; ``least`` holds even where the time does not reach, ``most`` always.
        """
        room = _SAFETY * max(0.0, self.left() - reserve)
        steps = int(room / (max(seconds_per_step, 1e-9) * max(1, members)))
        steps = max(least, steps)
        return steps if most is None else min(steps, most)

    def watch(
        self,
        members: int,
        reserve: float,
        expected: float = 0.0,
        work: float = 0.0,
        pace: float | None = None,
    ) -> Watch:
        """The watch of the next of ``members`` networks that are still to be trained.

        Parameters
        ----------
        reserve:
            Seconds to keep for all that follows, room for surprises included.
        expected:
            Seconds that a step was measured to take; when steps turn out slower, so will all that
            follows.
        work:
            Of the reserve, what was measured: as much more of it is kept as steps are slower, once
            the room for surprises is used up.
        pace:
            Seconds that a step took of late, ``expected`` if ``None``.
        """
        now, known = time.monotonic(), expected if pace is None else pace
        return Watch(self.ends, now, max(1, members), expected, reserve, work, known)


@dataclass(frozen=True)
class Watch:
    """When one network must be done: at an equal share of the time until what follows must begin.

    Attributes
    ----------
    ends:
        When everything must be over, in seconds of :func:`time.monotonic`; ``None`` is never.
    begins:
        When this network began.
    members:
        Networks that share the time, this one included.
    expected:
        Seconds that a step should take; 0 if that is not known.
    reserve, work, pace:
        As in :meth:`Budget.watch`.
    """

    ends: float | None = None
    begins: float = 0.0
    members: int = 1
    expected: float = 0.0
    reserve: float = 0.0
    work: float = 0.0
    pace: float = 0.0

    def calls(self, step: int, steps: int, pace: float, *, now: float | None = None) -> bool:
        """Whether the final annealing must begin at ``step`` to end in time.

        Parameters
        ----------
        pace:
            Seconds that a step takes at present.
        now:
            The time, :func:`time.monotonic` if ``None``.
        """
        if self.ends is None or step + tail(steps) >= steps:
            return False
        at = time.monotonic() if now is None else now
        kept = max(self.reserve, self._needed(pace))
        return at + 1.1 * pace * tail(steps) >= self._share_ends(kept)

    def over(self, pace: float, *, now: float | None = None) -> bool:
        """Whether no further step fits, annealed or not: what follows would not end in time."""
        if self.ends is None:
            return False
        at = time.monotonic() if now is None else now
        room = 0.5 * max(0.0, self.reserve - self.work)
        kept = max(self.reserve - room, self._needed(pace))
        return at + pace >= self._share_ends(kept)

    def _needed(self, pace: float) -> float:
        """Seconds that what follows takes when steps take so long."""
        slower = max(1.0, pace / self.expected) if self.expected else 1.0
        return 1.1 * slower * self.work + _LEAST

    def _share_ends(self, kept: float) -> float:
        assert self.ends is not None
        return self.begins + max(0.0, self.ends - kept - self.begins) / self.members


class Laps:
    """How long a step takes at present, by the clock.

    A single stall, of a laptop that slept or a machine that was busy for a while, counts as a few
    steps: it must not end a training for which there still is time.

    Parameters
    ----------
    expected:
        Seconds that a step should take; believed until laps say otherwise.
    """

    def __init__(self, expected: float = 0.0) -> None:
        self._laps = deque([expected] * _FEWEST_LAPS if expected else [], maxlen=_LAPS)
        self._at = time.monotonic()

    def skip(self) -> None:
        """Begin the next lap now."""
        self._at = time.monotonic()

    def lap(self) -> float:
        """End a lap; seconds a step, 0 while too few are known."""
        now = time.monotonic()
        self._laps.append(now - self._at)
        self._at = now
        if len(self._laps) < _FEWEST_LAPS:
            return 0.0
        most = _STALL * statistics.median(self._laps)
        return statistics.fmean(min(lap, most) for lap in self._laps)


def tail(steps: int) -> int:
    """Steps of the final annealing."""
    return max(1, round(_TAIL * steps))


def last_step(steps: int, jump: int | None) -> int:
    """Steps that are taken in all, given the step at which the schedule jumped."""
    return steps if jump is None else min(steps, jump + tail(steps))


def annealing(step: int, steps: int, jump: int | None = None, *, warmup: float = 0.05) -> float:
    """Factor of the learning rate at a step from 0: linear warm-up, then a cosine to zero.

    From ``jump`` on, the factor falls from where it was to zero within :func:`tail` steps, again as
    a cosine (Loshchilov and Hutter 2017), so that a run that is cut short ends annealed.

    Parameters
    ----------
    steps:
        Of the whole schedule.
    jump:
        Step at which the final annealing began early, ``None`` if it did not.
    warmup:
        Share of all steps.
    """
    if jump is None or step < jump:
        rise = min(1.0, (step + 1) / max(1.0, warmup * steps))
        return rise * 0.5 * (1.0 + math.cos(math.pi * min(step, steps) / steps))
    begins = annealing(jump, steps, None, warmup=warmup)
    done = (step - jump) / max(1, last_step(steps, jump) - jump)
    return begins * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def read_duration(text: str) -> float:
    """Seconds from ``20m``, ``90s``, ``1.5h``, ``1h30m`` or a plain number of minutes.

    Raises
    ------
    ValueError
        It is none of these, or not above 0.
    """
    import re

    plain = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", plain):
        plain += "m"
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|min|m|s)", plain)
    if "".join(number + unit for number, unit in parts) != plain or not parts:
        raise ValueError(text)
    each = {"h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0}
    seconds = sum(float(number) * each[unit] for number, unit in parts)
    if seconds <= 0:
        raise ValueError(text)
    return seconds

"""The volumes of one series, told apart by what their images state.

Stacks, localisers, orientations and kernels are always separate. Everything else separates
images only where two of them lie at one place: a trait (echo time, b-value, cardiac phase, ...)
does so when each of its values covers the whole stack, or when the images of each value stack
by themselves; times that differ from slice to slice do so by their order at each place. Images
that nothing tells apart stay together, and are refused when they are stacked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from diaphane.acquire.facts import clean_kernel, is_localizer
from diaphane.acquire.planes import SAME_DIRECTION, Plane, same_place, stack
from diaphane.acquire.traits import IN_ORDER, TOLD
from diaphane.core.errors import InputError, MissingSlice

_OTHER_WAY = 0.98  # cosine: 11 degrees; smaller turns are no orientation of their own
_MANY_WAYS, _FEW = 200, 12
_ACROSS = 0.7  # cosine between the normals of a localiser's orientations


@dataclass(frozen=True)
class Part:
    """The planes of one volume.

    Attributes
    ----------
    told:
        What tells it from the series' others, by trait.
    places:
        How many planes a complete one has; ``None`` where that is not known.
    localizer:
        Whether it is one of several crossing orientations that plan others.
    among:
        How its object differs from the others of the series that make volumes by themselves.
    """

    planes: list[Plane]
    told: Mapping[str, Any] = field(default_factory=dict)
    places: int | None = None
    localizer: bool = False
    among: Mapping[str, Any] = field(default_factory=dict)

    def require_whole(self) -> None:
        """Refuse a volume that has fewer places than the others of its series."""
        if self.places is not None and len(self.planes) < self.places:
            raise MissingSlice(
                f"{self.places - len(self.planes)} of {self.places} slices are missing: the "
                "other volumes of this series have them.",
                path=self.planes[0].header.path.parent,
                remedy="Export the series again; gaps are never filled in.",
            )


def split(planes: Sequence[Plane]) -> Iterator[Part]:
    """The volumes that sections of one series make, in the order of what tells them apart."""
    stacks = _groups(planes, "stack", lambda p: p.traits.get("stack", ""))
    for place, (_, of_stack) in enumerate(stacks, start=1):
        stack_told = {"stack": place} if len(stacks) > 1 else {}
        scouts = _groups(of_stack, "localizer", lambda p: is_localizer(p.header))
        for scout_told, of_kind in scouts:
            turned = list(_orientations(of_kind))
            crossing = len(turned) > 1 and _cross(turned) and "DERIVED" not in _kind(of_kind[0])
            for number, of_way in enumerate(turned, start=1):
                way = {"orientation": number} if len(turned) > 1 else {}
                for kernel_told, of_kernel in _kernels(of_way):
                    told = {**stack_told, **scout_told, **way, **kernel_told}
                    for part in _untangle(of_kernel, told):
                        yield Part(part.planes, part.told, part.places, crossing)


def compared(parts: Sequence[Part]) -> list[Part]:
    """Volumes of objects that each make their own (mosaics, enhanced), with how they differ."""
    if len(parts) < 2:
        return list(parts)
    keys: list[dict[str, Any]] = [{} for _ in parts]
    told = [{f"told {name}": value for name, value in part.told.items()} for part in parts]

    def kinds(among: Sequence[Mapping[str, Any]]) -> int:
        return len({str([one, other]) for one, other in zip(told, among, strict=True)})

    for name in TOLD:
        more = [
            {**key, name: _shared(part.planes, name)} for key, part in zip(keys, parts, strict=True)
        ]
        if kinds(more) > kinds(keys):
            keys = more
    if kinds(keys) < len(parts):
        keys = [{**key, "time_point": number} for number, key in enumerate(keys, start=1)]
    return [
        replace(part, among={name: v for name, v in key.items() if v is not None})
        for key, part in zip(keys, parts, strict=True)
    ]


def _shared(planes: Sequence[Plane], name: str) -> Any:
    values = {plane.traits.get(name) for plane in planes}
    return values.pop() if len(values) == 1 else None


def _groups(
    planes: Sequence[Plane], name: str, key: Callable[[Plane], Any]
) -> list[tuple[dict[str, Any], list[Plane]]]:
    """Planes by ``key``, in its order; with what the key told where there are several."""
    found: dict[Any, list[Plane]] = defaultdict(list)
    for plane in planes:
        found[key(plane)].append(plane)
    several = len(found) > 1
    ordered = sorted(found, key=_size)  # stable: what has no size stays in the order of time
    return [({name: value} if several else {}, found[value]) for value in ordered]


def _kernels(planes: list[Plane]) -> list[tuple[dict[str, Any], list[Plane]]]:
    groups = _groups(planes, "kernel", lambda p: clean_kernel(p.traits.get("kernel", "")))
    return groups if not _is_stray(groups) else [({}, planes)]


def _is_stray(groups: Sequence[tuple[Any, Sequence[Plane]]]) -> bool:
    """Whether a lone image stands beside a stack: an error in it, not a volume of its own."""
    sizes = [len(planes) for _, planes in groups]
    return min(sizes) == 1 < max(sizes)


def _orientations(planes: Sequence[Plane]) -> Sequence[list[Plane]]:
    """Planes by direction, the first seen first; together where they differ by little."""
    if any(len(p.orientation) != 6 for p in planes):
        return [list(planes)]
    ways: list[list[Plane]] = []
    for plane in planes:
        for way in ways:
            if np.abs(np.subtract(way[0].orientation, plane.orientation)).max() <= SAME_DIRECTION:
                way.append(plane)
                break
        else:
            ways.append([plane])
        if len(ways) > _MANY_WAYS:
            return [list(planes)]
    heads = [way[0] for way in ways]
    few = len(ways) == len(planes) <= _FEW  # each reformatted by itself, as for spinal discs
    near = not few and any(
        min(float(np.dot(a.orientation[i : i + 3], b.orientation[i : i + 3])) for i in (0, 3))
        > _OTHER_WAY
        for k, a in enumerate(heads)
        for b in heads[:k]
    )
    if near or _is_stray([((), way) for way in ways]):
        return [list(planes)]
    return ways


def _cross(ways: Sequence[Sequence[Plane]]) -> bool:
    """Whether two of the orientations stand across each other."""
    normals = [np.cross(way[0].orientation[:3], way[0].orientation[3:]) for way in ways]
    return any(abs(float(a @ b)) < _ACROSS for k, a in enumerate(normals) for b in normals[:k])


def _untangle(planes: list[Plane], told: Mapping[str, Any]) -> Iterator[Part]:
    """Volumes of planes of one orientation, several of which may lie at each place."""
    places = _places(planes)
    most = max(len(inside) for inside in places)
    if most == 1 or _has_copies(places):
        yield Part(planes, told)
        return
    for name in TOLD:
        groups = _groups(planes, name, lambda p, n=name: p.traits.get(n))  # type: ignore[misc]
        if len(groups) == 1 or not _separates(places, name):
            continue
        covered = [_covered(places, {id(p) for p in inside}) for _, inside in groups]
        whole = sorted(map(len, covered))[1] == len(places)  # one may be cut short
        if whole or all(_stacks(inside) for _, inside in groups):
            for (value, inside), at in zip(groups, covered, strict=True):
                own = not whole or (at[-1] - at[0] >= len(at) and _stacks(inside))
                for part in _untangle(inside, {**told, **value}):
                    yield replace(part, places=part.places if own else len(places))
            return
    for name in IN_ORDER:
        times = [[p.traits.get(name) for p in inside] for inside in places]
        known = all(None not in row and len(set(row)) == len(row) for row in times)
        if known and all(len(row) == most for row in times):
            rows = [sorted(inside, key=lambda p, n=name: p.traits[n]) for inside in places]  # type: ignore[misc]
            for number in range(most):
                yield Part([row[number] for row in rows], {**told, "time_point": number + 1})
            return
    yield Part(planes, told)


def _places(planes: Sequence[Plane]) -> list[list[Plane]]:
    """Planes by their place along the normal."""
    first = planes[0]
    if any(len(p.position) != 3 or len(p.orientation) != 6 for p in planes):
        return [[plane] for plane in planes]
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    along = np.asarray([p.position for p in planes]) @ normal
    order = np.argsort(along, kind="stable")
    found = [[planes[order[0]]]]
    near = same_place(planes)
    for before, at in pairwise(order):
        if along[at] - along[before] < near:
            found[-1].append(planes[at])
        else:
            found.append([planes[at]])
    return found


def _covered(places: Sequence[Sequence[Plane]], chosen: set[int]) -> list[int]:
    """Numbers of the places where one of the chosen planes lies."""
    return [k for k, inside in enumerate(places) if any(id(p) in chosen for p in inside)]


def _has_copies(places: Sequence[Sequence[Plane]]) -> bool:
    return any(
        a.same_image(b) for inside in places for k, a in enumerate(inside) for b in inside[:k]
    )


def _separates(places: Sequence[Sequence[Plane]], name: str) -> bool:
    """Whether the trait differs between images at one place."""
    return any(len({p.traits.get(name) for p in inside}) > 1 for inside in places)


def _stacks(planes: list[Plane]) -> bool:
    if len(planes) < 2:
        return False
    try:
        stack(planes)
    except InputError:
        return False
    return True


def _kind(plane: Plane) -> tuple[str, ...]:
    return tuple(plane.traits.get("image_type", ()))


def _size(value: Any) -> float:
    """Numbers by size, after what is missing."""
    numeric = isinstance(value, bool | int | float) or (
        isinstance(value, str) and value.isdecimal()
    )
    return float(value) if numeric else -np.inf

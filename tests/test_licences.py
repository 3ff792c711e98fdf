"""What the base install pulls in is neither copyleft nor non-commercial."""

from __future__ import annotations

import csv
import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

TABLE = Path(__file__).with_name("licences.csv")
ALLOWED = frozenset(
    {
        *("0bsd", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "hpnd", "isc", "mit"),
        *("mit-0", "mit-cmu", "psf-2.0", "python-2.0", "unlicense", "zlib"),
    }
)
# As classifiers and free text of metadata say it, to SPDX.
KNOWN = {
    "mit license": "mit",
    "isc license (iscl)": "isc",
    "apache software license": "apache-2.0",
    "bsd license": "bsd-3-clause",
    "python software foundation license": "psf-2.0",
    "historical permission notice and disclaimer (hpnd)": "hpnd",
}
SYSTEMS = [
    {"extra": "", "sys_platform": short, "platform_system": long}
    for short, long in (("linux", "Linux"), ("win32", "Windows"), ("darwin", "Darwin"))
]
FORBIDDEN = re.compile(
    r"\b(a?gpl|lgpl|gnu|eupl|mpl|epl|cddl|sspl|cecill|cc-by-(nc|sa)|non-?commercial)\b",
    re.IGNORECASE,
)


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def project():
    """The project table of pyproject.toml, which an installation may lag behind."""
    with (Path(__file__).parents[1] / "pyproject.toml").open("rb") as stream:
        return tomllib.load(stream)["project"]


def base_install():
    """Distributions that ``diaphane`` needs without extras, on any system."""
    found, waiting = {}, [Requirement(text).name for text in project()["dependencies"]]
    while waiting:
        name = normal(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            found[name] = None  # of another system
            continue
        for text in metadata.requires(name) or []:
            needed = Requirement(text)
            if any(needed.marker is None or needed.marker.evaluate(system) for system in SYSTEMS):
                waiting.append(needed.name)
    return found


def stated(data):
    """The licences that metadata state, as SPDX names in lower case; empty where it is vague."""
    expression = data.get("License-Expression")
    if expression:
        return [part.strip("() ").lower() for part in re.split(r"\bAND\b", expression)]
    classifiers = [
        c.rpartition(" :: ")[2].lower()
        for c in data.get_all("Classifier") or []
        if c.startswith("License")
    ]
    classifiers = [c for c in classifiers if c != "osi approved"]
    text = (data.get("License") or "").strip().lower()
    return [KNOWN.get(c, c) for c in classifiers] or ([text] if text and len(text) < 40 else [])


def is_free(licence):
    """Whether one of the alternatives is allowed."""
    return any(choice.strip() in ALLOWED for choice in licence.split(" or "))


def table():
    with TABLE.open(encoding="utf-8", newline="") as stream:
        return {row["package"]: row for row in csv.DictReader(stream)}


def test_every_licence_of_the_base_install_is_permissive():
    looked_up = table()
    problems = []
    for name, data in sorted(base_install().items()):
        row = looked_up.get(name)
        licences = [row["licence"].lower()] if row else stated(data) if data else []
        said = " ".join([*(stated(data) if data else []), *licences])
        if not licences or not all(map(is_free, licences)) or FORBIDDEN.search(said):
            problems.append(f"{name}: {licences or 'unknown'}")
    assert problems == []


def test_the_table_holds_only_what_metadata_leave_vague():
    installed = base_install()
    for name, row in table().items():
        assert name in installed, f"{name} is no longer in the base install"
        assert row["reason"]
        data = installed[name]
        if data is not None:
            assert not stated(data) or not all(map(is_free, stated(data))), name


def test_copyleft_stands_in_extras_only():
    extras = project()["optional-dependencies"]
    holders = [name for name, needed in extras.items() if "libjpeg" in " ".join(needed)]
    assert holders == ["jpeg12"]
    assert "pylibjpeg-libjpeg" not in base_install()


def test_bundles_state_the_licence_of_their_data():
    from diaphane import bundle

    shipped = Path(bundle.__file__).parent / "shipped"
    for folder in (p for p in shipped.iterdir() if p.is_dir()):
        assert (folder / "LICENSE").read_text(encoding="utf-8").strip()

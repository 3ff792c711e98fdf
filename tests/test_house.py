"""The house rules that a reader relies on, held against the code."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import diaphane
from diaphane.core import errors

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "diaphane"
LEARNING = {"torch", "monai", "sklearn", "torchmetrics"}


def import_table() -> dict[str, set[str]]:
    """Room -> rooms it may import, read from ARCHITECTURE.md."""
    rows = re.findall(
        r"^\| `(\w+)/` \| (.+) \|$", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE
    )
    return {
        room: set() if "nothing" in allowed else set(allowed.split(", ")) for room, allowed in rows
    }


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module imported anywhere in a file, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.module or "", node.lineno
            for name in node.names:
                yield f"{node.module}.{name.name}", node.lineno


def test_every_room_is_in_the_table() -> None:
    rooms = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(import_table())


def test_imports_follow_the_table() -> None:
    table = import_table()
    broken = [
        f"{path.relative_to(SOURCE)}:{line} imports {name}"
        for path in modules()
        if (room := path.relative_to(SOURCE).parts[0]) in table
        for name, line in imports(path)
        if (parts := name.split("."))[0] == "diaphane"
        and len(parts) > 1
        and parts[1] in table
        and parts[1] != room
        and parts[1] not in table[room]
    ]
    assert not broken, "\n".join(broken)


def test_rooms_do_not_import_through_the_package_root() -> None:
    allowed = {"__version__", *import_table()}
    broken = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and node.module == "diaphane"
        and {name.name for name in node.names} - allowed
    ]
    assert not broken, "\n".join(broken)


def test_no_import_circles() -> None:
    known = {
        ".".join(("diaphane", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for path in modules()
    }
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        if name == "diaphane":
            continue
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        found = {target for target, _ in imports(path) if target in known}
        # A module of a room may use its siblings, whose package is loaded with them anyway.
        graph[name] = {t for t in found if t != package and t not in (name, "diaphane")}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for target in sorted(graph.get(name, ())):
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_only_models_and_learn_know_the_learning_libraries() -> None:
    broken = [
        f"{path.relative_to(SOURCE)}:{line} imports {name}"
        for path in modules()
        if path.relative_to(SOURCE).parts[0] not in ("models", "learn")
        # The one converter to MONAI imports inside its function.
        and path != SOURCE / "core" / "volume.py"
        for name, line in imports(path)
        if name.split(".")[0] in LEARNING
    ]
    assert not broken, "\n".join(broken)


def test_nothing_is_pickled() -> None:
    broken = []
    for path in modules():
        text = path.read_text(encoding="utf-8")
        for name, line in imports(path):
            if name.split(".")[0] in {
                "pickle",
                "cPickle",
                "dill",
                "cloudpickle",
                "joblib",
                "shelve",
            }:
                broken.append(f"{path}:{line} imports {name}")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant)
                if node.value.value is not False:
                    broken.append(f"{path}:{node.value.lineno} allows pickle")
            if isinstance(node, ast.Attribute) and ast.unparse(node) in {
                "torch.load",
                "torch.save",
            }:
                broken.append(f"{path}:{node.lineno} uses torch.{node.attr}")
    assert not broken, "\n".join(broken)


def test_tables_are_written_through_one_door() -> None:
    """Elsewhere a cell could be a formula: no writer of csv, and no table of pandas."""
    writers = {"csv.writer", "csv.DictWriter"}
    broken = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in modules()
        if path != SOURCE / "core" / "tables.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr == "to_csv")
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in writers)
        or (isinstance(node, ast.ImportFrom) and node.module == "csv")
    ]
    assert not broken, "\n".join(broken)


def test_no_room_for_leftovers() -> None:
    names = {part.removesuffix(".py") for path in modules() for part in path.parts}
    assert not names & {"utils", "util", "helpers", "helper", "common", "misc"}


def test_the_drawn_error_tree_is_the_real_one() -> None:
    drawn: dict[str, str] = {}
    trail: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^    ((?:[│ ]   )*)(?:[├└]── )?(\w+)", line)
        if not found:
            continue
        depth = line.index(found[2])
        while trail and trail[-1][0] >= depth:
            trail.pop()
        drawn[found[2]] = trail[-1][1] if trail else "Exception"
        trail.append((depth, found[2]))
    real = {
        name: thing.__base__.__name__
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, errors.DiaphaneError)
    }
    assert drawn == real


def test_public_surface() -> None:
    """A name that appears or goes is a decision: change this list with it."""
    assert diaphane.__all__ == [
        "Analysis",
        "Bundle",
        "Case",
        "DiaphaneError",
        "Evaluation",
        "Evidence",
        "Finding",
        "Geometry",
        "Identified",
        "Recipe",
        "Segmenter",
        "Series",
        "Volume",
        "__version__",
        "analyze",
        "calibrate",
        "compare",
        "evaluate",
        "load_bundle",
        "plan",
        "predict",
        "pretrain",
        "read",
        "read_series",
        "select",
        "train",
    ]
    for name in diaphane.__all__:
        assert getattr(diaphane, name) is not None
    assert dir(diaphane) == sorted(diaphane.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = diaphane.no_such_name


def test_a_verb_stays_a_verb_when_the_room_of_its_name_is_imported() -> None:
    from diaphane.batch import evaluate
    from diaphane.evaluate import evaluate_classification

    importlib.reload(sys.modules["diaphane.evaluate"])
    assert diaphane.evaluate is evaluate
    assert callable(evaluate_classification)


@pytest.mark.parametrize("room", sorted(import_table()))
def test_what_a_room_offers_exists(room: str) -> None:
    module = importlib.import_module(f"diaphane.{room}")
    offered = getattr(module, "__all__", [])
    assert sorted(set(offered)) == sorted(offered)
    for name in offered:
        assert hasattr(module, name), f"diaphane.{room}.{name}"


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import diaphane", {"numpy", "pydantic", "typer", "scipy", "SimpleITK", "pydicom"}),
        (
            "import diaphane.cli",
            {
                "torch",
                "monai",
                "scipy",
                "SimpleITK",
                "pydicom",
                "highdicom",
                "onnxruntime",
                "skimage",
            },
        ),
    ],
)
def test_imports_stay_light(statement: str, heavy: set[str]) -> None:
    code = f"{statement}; import sys; print(' '.join(sys.modules))"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert not heavy & set(out.split())


@pytest.mark.parametrize("entry", [[sys.executable, "-m", "diaphane"], ["diaphane"]])
def test_entry_points_are_the_same(entry: list[str]) -> None:
    if entry == ["diaphane"]:
        entry = [str(Path(sys.executable).with_name("diaphane"))]
    out = subprocess.run([*entry, "--version"], capture_output=True, text=True, check=True).stdout
    assert out.strip() == f"diaphane {diaphane.__version__}"


def test_wrong_usage_is_exit_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "diaphane", "no-such-verb"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no-such-verb" in done.stderr
    assert "Traceback" not in done.stderr

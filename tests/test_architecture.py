"""Direction of imports, vocabulary of each package, the single user of numba, and no other package of our names."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("devices", "crossbar", "mapping")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]

# Below mapping there are volts, amperes, siemens and codes; what they stand for is mapping's business.
# "Threading layer" is numba's and threadpoolctl's name for what starts threads.
FOREIGN_WORDS = re.compile(r"(?<![a-z])(?<!threading[ _])(weight|layer|image)s?(?![a-z])", re.IGNORECASE)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages__are_this_checkout(package):
    """PyPI has other packages of these names; an installed one must not win over ours."""
    found = importlib.import_module(package).__file__
    assert found is not None
    assert Path(found).resolve() == ROOT / package / "__init__.py", (
        f"another package named {package!r} hides ours; use an environment of its own, without {Path(found).parent}"
    )


def test_imports__go_up_only_and_contracts_hold():
    """The contracts are in setup.cfg; what an installed checkout may import is said there once."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"Contracts: [2-9]\d* kept, 0 broken", run.stdout), run.stdout


def test_words__devices_and_crossbar_know_no_networks():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in SOURCES
        if path.relative_to(ROOT).parts[0] != "mapping"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if FOREIGN_WORDS.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("weights", True),
        ("w_layer_2", True),
        ("Image of", True),
        ("bilayer", False),
        ("threading_layer", False),
        ("threading layers", False),
        ("weighted", False),
        ("g", False),
    ],
)
def test_words__the_fence_sees_what_it_should(text, foreign):
    assert bool(FOREIGN_WORDS.search(text)) is foreign


def test_numba__one_file_owns_the_compiler():
    found = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if re.search(r"\bn?jit\s*\(|@(numba\.)?(n?jit|vectorize|guvectorize)\b|\bnjit\b", path.read_text("utf-8"))
    ]
    assert found == ["devices/numerics/jit.py"]


FACES = sorted(path.parent for package in PACKAGES for path in (ROOT / package).rglob("__init__.py"))


@pytest.mark.parametrize("folder", FACES, ids=lambda path: str(path.relative_to(ROOT)))
def test_faces__every_name_is_there_and_no_file_hides_one(folder):
    """A face loads a name when it is asked for; a file of that name would come in its place."""
    if folder == ROOT / "mapping" / "training":
        pytest.importorskip("torch")
    face = importlib.import_module(".".join(folder.relative_to(ROOT).parts))
    assert face.__all__
    assert face.__doc__
    functions = {name for name in face.__all__ if not inspect.ismodule(getattr(face, name))}
    inside = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert not functions & inside
    text = (folder / "__init__.py").read_text(encoding="utf-8")
    assert text.partition('"""\n\n')[2] == (
        "import lazy_loader\n\n__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)\n"
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_help__begins_with_a_map(package):
    """help(package) names every folder and the names to start with."""
    face = importlib.import_module(package)
    first, second = face.__doc__.split("Start with:")
    for folder in (path.parent for path in (ROOT / package).glob("*/__init__.py")):
        assert folder.name in first
    starts = [name for line in second.strip().splitlines() for name in line.strip().split("  ")[0].split(", ")]
    assert len(starts) >= 5
    assert set(starts) <= set(face.__all__)


def test_folders__hold_about_fifteen_files_at_most():
    crowded = {
        str(folder.relative_to(ROOT)): len(files)
        for folder in FACES
        if len(files := [path for path in folder.glob("*.py") if path.name != "__init__.py"]) > 16
    }
    assert not crowded


def test_sources__nothing_of_the_tests_is_a_package():
    """An __init__.py below tests would hide the package of the same name in every import mode."""
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_container__a_build_leaves_out_what_git_ignores():
    """A virtual environment in the checkout would travel into every build of the container otherwise."""

    def ignored(file):
        lines = (line.split("#")[0].strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines())
        return {line.removeprefix("**/").rstrip("/") for line in lines} - {""}

    assert ignored(".gitignore") - ignored(".dockerignore") == set()

"""Documents: their Python blocks run, their links exist, and the equations that code cites exist."""

import json
import os
import re
import runpy
import sys
import tokenize
from functools import cache
from pathlib import Path

import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from mapping import Hardware

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
GALLERY = sorted((ROOT / "docs" / "gallery").glob("plot_*.py"))
SOURCES = [path for package in ("devices", "crossbar", "mapping") for path in sorted((ROOT / package).rglob("*.py"))]

MADE = ("docs/_build/html", "mapping/prices/measured_gpu.json")  # by commands that pages name


def name(path):
    return str(path.relative_to(ROOT))


def blocks(path, fence="```python"):
    """The blocks of a page behind a fence as one program whose lines keep their numbers; others stay out."""
    kept, inside = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip().startswith("```"):
            inside = line.strip() == fence and not inside
            kept.append("")
        else:
            kept.append(line if inside else "")
    return "\n".join(kept)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page).strip()], ids=name)
def test_pages__python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks(page), str(page), "exec"), {"__name__": "__page__"})  # noqa: S102


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name)
def test_pages__files_they_name_exist(page):
    """`crossbar/tiles/tile.py` and `tests/data/ngspice_*` exist, and the names of `mapping.workflow.compiled` occur."""
    text = page.read_text(encoding="utf-8")
    for given in re.findall(r"`((?:devices|crossbar|mapping|benchmarks|tests|docs)/[\w./*-]+)`", text):
        assert given in MADE or next(ROOT.glob(given.rstrip("/")), None), f"{name(page)}: {given}"
    for module in re.findall(r"`((?:devices|crossbar|mapping)(?:\.\w+)+)`", text):
        parts = module.split(".")
        known = [ROOT.joinpath(*parts[:n]) for n in range(len(parts), 0, -1)]
        found = next(path for path in known if path.is_dir() or path.with_suffix(".py").is_file())
        rest = parts[len(found.relative_to(ROOT).parts) :]
        assert all(part in names_of_sources() for part in rest), f"{name(page)}: {module}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages__code_fits_the_width_of_the_site(page):
    fence = ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip().startswith("```"):
            fence = "" if fence else line.strip()
        elif fence.startswith(("```python", "```sh", "```toml")):
            assert len(line) <= 88, f"{name(page)} line {number}"


@pytest.mark.slow
def test_pages__blocks_with_torch_run(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "ten_minutes.md"
    exec(compile(blocks(page, "```python torch"), str(page), "exec"), {"__name__": "__page__"})  # noqa: S102
    assert (tmp_path / "mine.npz").is_file()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages__keys_of_chips_that_they_name_exist(page):
    """`[wires] r_row, r_column` in a sentence or a table names keys of the section `[wires]`."""
    for section, keys in re.findall(r"`\[(\w+)\] (\w+(?:, \w+)*)`", page.read_text(encoding="utf-8")):
        held = getattr(Hardware(), section)
        unknown = [key for key in re.findall(r"\w+", keys) if not hasattr(held, key)]
        assert not unknown, f"{name(page)}: [{section}] has no {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages__no_merge_was_left_half_done(page):
    assert not re.findall(r"^(?:<{7}|>{7}) .*|^={7}$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages__links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        goal = (page.parent / file).resolve() if file else page
        assert goal.exists(), f"{name(page)}: {target}"
        if anchor and goal.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", goal.read_text(encoding="utf-8"), flags=re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{name(page)}: {target}"


NUMBER = r"\d+[a-z]?"
NUMBERS = rf"{NUMBER}(?:[-–]{NUMBER})?(?:(?:, and |, | and ){NUMBER}(?:[-–]{NUMBER})?)*"


def tags(page):
    """The numbers of the equations of a page: its \\tag{4}, \\tag{4a}."""
    return set(re.findall(rf"\\tag\{{({NUMBER})\}}", page.read_text(encoding="utf-8")))


def numbers(words):
    """`4, 6a and 7-9` as single numbers: 4, 6a, 7, 8, 9."""
    for first, last in re.findall(rf"({NUMBER})(?:[-–]({NUMBER}))?", words):
        if first.isdigit() and last.isdigit():
            yield from map(str, range(int(first), int(last) + 1))
        else:
            yield from filter(None, (first, last))


def missing(path, home=None):
    """Equations that a file names and that their page does not have.

    `reduction.md eq. 6a` is of that page. `eq. 3` alone is of `home`, or without one of the page named last before it.
    """
    text, last, end = path.read_text(encoding="utf-8"), None, 0
    for found in re.finditer(rf"(\w+)\.md|eqs?\. ({NUMBERS})(?!\.?\d)", text):
        if found[1]:
            pages = [folder / f"{found[1]}.md" for folder in (ROOT / "docs" / "equations", ROOT / "docs")]
            last, end = next((page for page in pages if page.is_file()), last), found.end()
            continue
        line = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
        if re.search(r"arXiv|doi|\(\d{4}\)", line):  # of an article
            continue
        page = last if home is None or found.start() - end < 4 else home
        known = tags(page) if page else set()
        where = name(page) if page else "no page"
        yield from (f"eq. {number} of {where}" for number in numbers(found[2]) if number not in known)


@pytest.mark.parametrize("source", SOURCES, ids=name)
def test_sources__equations_they_name_exist(source):
    """`docs/equations/nodal.md eq. 4` wants a \\tag{4} on that page."""
    assert not list(missing(source))


@pytest.mark.parametrize("page", [page for page in PAGES if "eq. " in page.read_text(encoding="utf-8")], ids=name)
def test_pages__equations_they_name_exist(page):
    """`[cells](cells.md) eq. 12` wants a \\tag{12} on that page; `eq. 5` alone is of the page itself."""
    assert not list(missing(page, home=page))


def in_the_code(page):
    """Names between backticks in the columns "in the code" of a page's tables."""
    column = None
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            column = None
        elif column is None:
            column = next((at for at, cell in enumerate(cells) if cell.startswith("in the code")), -1)
        elif 0 <= column < len(cells):
            yield from re.findall(r"`([^`]+)`", cells[column])


@cache
def names_of_sources():
    """Every name that the sources use; words of comments and docstrings are none."""
    found = set()
    for source in SOURCES:
        with source.open("rb") as lines:
            found |= {token.string for token in tokenize.tokenize(lines.readline) if token.type == tokenize.NAME}
    return found


@pytest.mark.parametrize("page", [page for page in PAGES if any(in_the_code(page))], ids=name)
def test_pages__names_in_the_code_occur_in_the_sources(page):
    known = names_of_sources()
    for given in in_the_code(page):
        code = re.sub(r"\[.*\]", "", given)  # `v_gate[b, i, j]` is `v_gate`
        unknown = [part for part in re.findall(r"[^\W\d]\w*", code) if part not in known]
        assert not unknown, f"{name(page)}: `{given}`, no {unknown} in the sources"


@pytest.mark.parametrize("script", GALLERY, ids=lambda path: path.stem)
def test_gallery__scripts_draw_a_figure(script, tmp_path, monkeypatch):
    """As docs/contributing.md asks: a title and what to see, one figure, nothing left behind."""
    monkeypatch.chdir(tmp_path)
    before = dict(plt.rcParams)
    space = runpy.run_path(str(script), run_name="gallery")
    title, empty, *seen = space["__doc__"].strip().splitlines()
    assert title.endswith(".")
    assert empty == ""
    assert len(seen) >= 2
    assert len(" ".join(seen)) <= 600
    figure = space["main"]()
    assert isinstance(figure, Figure)
    assert any(ax.has_data() for ax in figure.axes)
    figure.savefig("drawn.png", dpi=40)  # what is drawn late may fail late
    if os.environ.get("CROSSGATE_GALLERY"):  # the site's build takes it from there and does not draw again
        figure.savefig(Path(os.environ["CROSSGATE_GALLERY"]) / f"{script.stem.removeprefix('plot_')}.png", dpi=110)
    assert not plt.get_fignums()
    assert dict(plt.rcParams) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn.png"]
    saves = f'if __name__ == "__main__":\n    main().savefig("{script.stem.removeprefix("plot_")}.png", dpi=150)\n'
    assert script.read_text(encoding="utf-8").endswith(saves)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages__studies_and_chips_that_they_show_are_sound(page, tmp_path, monkeypatch):
    """Every block of TOML in a page loads as what it is: a study, else a chip."""
    from mapping import load_hardware
    from mapping.studies.study_files import load_study

    monkeypatch.chdir(tmp_path)
    blocks_of_toml = re.findall(
        r"^```toml\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for index, text in enumerate(blocks_of_toml):
        path = tmp_path / ("mine.toml" if "[[parameter]]" not in text else f"study_{index}.toml")
        path.write_text(text, encoding="utf-8")
        if "[[parameter]]" in text:
            study = load_study(path)
            for point in study.all_points():
                study.resolve(point)
        else:
            load_hardware(path)


FACES = sorted(path.parent.relative_to(ROOT) for path in ROOT.glob("*/*/__init__.pyi") if path.parts[-3] != "tests")


@pytest.mark.parametrize("folder", FACES, ids=str)
def test_folders__are_in_the_reference_and_on_the_architecture_page(folder):
    package, part = folder.parts
    reference = (ROOT / "docs" / "api" / f"{package}.md").read_text(encoding="utf-8")
    assert f".. automodule:: {package}.{part}\n" in reference
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition(f"### {package}\n")[2].partition("###")[0]
    assert f"`{part}/`" in table
    assert f">{part}/</text>" in (ROOT / "docs" / "static" / "architecture.svg").read_text(encoding="utf-8")


def test_gallery__index_lists_every_script():
    table = (ROOT / "docs" / "gallery" / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[(\w+\.py)\]\(\1\) \| .+ \|$", table, flags=re.MULTILINE)
    assert sorted(listed) == [script.name for script in GALLERY]


def test_chips__page_is_built_with_what_each_key_takes(monkeypatch):
    """The site's column of bounds comes from the code; every row of a key gets one."""
    pytest.importorskip("docutils")
    monkeypatch.setattr("sys.path", list(sys.path))
    built = runpy.run_path(str(ROOT / "docs" / "conf.py"))["bounds_of_keys"]
    source = [(ROOT / "docs" / "chips.md").read_text(encoding="utf-8")]
    built(None, "chips", source)
    rows = re.findall(r"^\| `(\w+)` \|(?:[^|\n]*\|){2}([^|\n]*)\|[^|\n]*\|[^|\n]*\|$", source[0], flags=re.MULTILINE)
    taken = dict(rows)
    assert len(rows) > 80
    assert all(words.strip() for words in taken.values())
    assert taken["gain_min"] == " ≥ 0 and ≤ 1 "
    assert taken["gate_nodes"] == " from 2 to 64 "
    assert taken["channel_attention"] == " one of digital, gates "
    assert taken["r_driver_far"] == " ≥ 0 Ω or inf "


NOTEBOOKS = sorted((ROOT / "docs" / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks__run_and_hold_no_outputs(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    assert all(len(line) <= 130 for cell in code for line in cell["source"])
    space = {"__name__": "__notebook__"}
    for cell in code:
        exec(compile("".join(cell["source"]), str(notebook), "exec"), space)  # noqa: S102
    plt.close("all")

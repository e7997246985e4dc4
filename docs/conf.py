"""Build the site: sphinx-build -W docs docs/_build/html (needs the docs extra). The gallery is drawn by the build.

CROSSGATE_GALLERY may name a folder of figures that were drawn before: NAME.png of plot_NAME.py is taken from there.
"""

import ast
import importlib.util
import math
import os
import re
import runpy
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

from docutils import nodes

os.environ.setdefault("MPLBACKEND", "Agg")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from mapping.hardware.description import Hardware  # noqa: E402  (of this checkout)

project = "Crossgate"
author = "Crossgate founders"
copyright = "2026, Crossgate founders"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "gallery/figures"]
highlight_language = "text"  # of maps in docstrings; code says what it is
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_title = "Crossgate"
toc_object_entries = False  # hundreds of fields would be copied into every page
default_role = "code"  # docstrings put names in single backticks
autodoc_typehints = "none"  # docstrings give shapes and units; the types of arrays are walls of text
maximum_signature_line_length = 88
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_mock_imports = [name for name in ("torch",) if importlib.util.find_spec(name) is None]  # an extra
python_use_unqualified_type_names = True

#: the side bar: heading -> pages, in their order; pages that nobody placed come last in the first
PARTS = {
    "Begin": ["start", "ten_minutes", "how_do_i", "first_questions", "which_solver"],
    "Devices": ["tutorial_measured_curve", "fitting", "which_number_goes_where", "gallery/index"],
    "Chips": ["chips", "build_the_array", "studies", "energy"],
    "Networks": ["import", "training", "data", "layouts", "cifar10"],
    "Change it": ["architecture", "extending", "contributing", "design"],
    "Look up": ["api/index", "nomenclature", "verification"],
    "Equations": sorted(f"equations/{path.stem}" for path in (HERE / "equations").glob("*.md")),
}  # fmt: skip
rest = sorted(path.stem for path in HERE.glob("*.md"))
PARTS["Begin"] += [page for page in rest if page != "index" and not any(page in pages for pages in PARTS.values())]

# Formulas need no network: MathJax lies beside the pages. Its package is not loaded as an extension, since it does not
# say that pages may be read side by side; without it, MathJax comes from its usual address.
MATHJAX = importlib.util.find_spec("sphinx-mathjax-offline")
if MATHJAX is not None:
    mathjax_path = "mathjax/tex-chtml.js"

DRAWN = HERE / "gallery" / "figures"  # made by the build, not kept


def scripts():
    """Scripts of the gallery, by stem."""
    return {path.stem: path for path in sorted((HERE / "gallery").glob("plot_*.py"))}


def draw_gallery(_app):
    """Run every script and keep its figure."""
    DRAWN.mkdir(exist_ok=True)
    ready = Path(os.environ["CROSSGATE_GALLERY"]) if os.environ.get("CROSSGATE_GALLERY") else None
    for stem, path in scripts().items():
        name = f"{stem.removeprefix('plot_')}.png"
        if ready is not None and (ready / name).is_file():
            shutil.copyfile(ready / name, DRAWN / name)
            continue
        start = time.perf_counter()
        runpy.run_path(str(path), run_name="gallery")["main"]().savefig(DRAWN / name, dpi=110)
        print(f"gallery: {path.name} drawn in {time.perf_counter() - start:.1f} s")


def side_bar(_app, docname, source):
    """Give the index its tables of contents; as a file of the repository it is read without them."""
    tables = {heading: pages for heading, pages in PARTS.items() if docname == "index"}
    if docname == "api/index":
        tables = {"Packages": ["devices", "crossbar", "mapping"]}
    for heading, pages in tables.items():
        source[0] += "\n".join(["", "```{toctree}", ":hidden:", f":caption: {heading}", "", *pages, "```", ""])


def show_gallery(_app, docname, source):
    """Put below the index of the gallery what its scripts draw and say, each with its code."""
    if docname != "gallery/index":
        return
    for stem, path in scripts().items():
        title, _, seen = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).partition("\n")
        code = f"```{{literalinclude}} {path.name}\n:language: python\n```"
        source[0] += "\n\n".join([
            "", f"## {title.rstrip('.')}", f"![{title}](figures/{stem.removeprefix('plot_')}.png)", seen.strip(),
            f"<details><summary>{path.name}</summary>", code, "</details>", "",
        ])  # fmt: skip


def allowed(part, key):
    """Say what a key of a chip takes, in the words with which the code refuses anything else."""
    words = ""
    for bad in (-(10**9), 10**9, "?"):
        try:
            replace(part, **{key: bad})
        except ValueError as error:
            found = re.match(rf"(?:\w+\.)?{key} must be (.+?), got", str(error))
            if found and not words:
                words = {"True or False": "true, false"}.get(found[1], re.sub("^a real number.*", "a number", found[1]))
    try:
        unbounded = isinstance(getattr(part, key), float) and replace(part, **{key: math.inf}) is not None
    except ValueError:
        unbounded = False
    return f"{words} or inf" if unbounded else f'{words} or "ideal"' if key == "bits" else words


def bounds_of_keys(_app, docname, source):
    """Give every table of keys in the page of chips a column of what the code takes."""
    if docname != "chips":
        return
    hardware, section, lines = Hardware(), None, []
    for held in source[0].split("\n"):
        line = held
        heading = re.fullmatch(r"## \[(\w+)\]", line)
        section = heading[1] if heading else None if line.startswith("## ") else section
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if section is not None and line.startswith("| ") and len(cells) == 5:
            key = re.fullmatch(r"`(\w+)`", cells[0])
            cells.insert(3, allowed(getattr(hardware, section), key[1]) if key else "allowed")
            line = f"| {' | '.join(cells)} |"
        elif section is not None and line.startswith("|---"):
            line += "---|"
        lines.append(line)
    source[0] = "\n".join(lines)


def numbered(_app, tree):
    """Keep formulas with a number of ours out of Sphinx's own environment for several lines, which allows none."""
    for node in tree.findall(nodes.math_block):
        text = node.astext()
        if "\\tag" in text and "\\\\" in text:
            node.children = [nodes.Text(f"\\begin{{equation}}{text}\\end{{equation}}")]
            node["no-wrap"] = True


def copy_mathjax(app, failed):
    """Put MathJax and its fonts beside the pages."""
    if failed is not None or MATHJAX is None or app.builder.format != "html":
        return
    held, to = Path(MATHJAX.origin).parent / "static" / "mathjax", Path(app.outdir) / "_static" / "mathjax"
    for part in ("tex-chtml.js", "output/chtml", "input/tex/extensions"):
        copy = shutil.copytree if (held / part).is_dir() else shutil.copyfile
        (to / part).parent.mkdir(parents=True, exist_ok=True)
        copy(held / part, to / part, **({"dirs_exist_ok": True} if (held / part).is_dir() else {}))


def plain_docstring(_app, what, _name, _obj, _options, lines):
    """Keep our docstrings as they were written: each line is prose, nothing in it is markup; a map of folders stays."""
    marks = str.maketrans({mark: f"\\{mark}" for mark in "\\*|_:"})
    prose, inside = [], False
    for line in lines:
        if what == "module" and line.startswith("    "):
            prose += [] if inside else ["::", ""]
            prose.append(line)
            inside = True
        else:
            parts = re.split(r"(`[^`\n]+`)", line.strip())
            prose.append("".join(quoted(part, marks) for part in parts))
            inside = inside and not line.strip()
    lines[:] = prose


def quoted(part, marks):
    """Return a piece of prose without markup, or a name between backticks as it is."""
    return part if part.startswith("`") and part.endswith("`") and len(part) > 2 else part.translate(marks)


def setup(app):
    app.connect("builder-inited", draw_gallery)
    app.connect("source-read", side_bar)
    app.connect("source-read", show_gallery)
    app.connect("source-read", bounds_of_keys)
    app.connect("autodoc-process-docstring", plain_docstring)
    app.connect("doctree-read", numbered)
    app.connect("build-finished", copy_mathjax)

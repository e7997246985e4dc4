"""Build the pages: sphinx-build docs docs/_build (needs the docs extra)."""

project = "Crossgate"
author = "Crossgate founders"
copyright = "2026, Crossgate founders"
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
suppress_warnings = ["toc.not_included"]  # index.md links its pages; GitHub shows the same file

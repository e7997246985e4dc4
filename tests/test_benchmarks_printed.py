"""Outputs in pages: found behind their commands, compared word by word, and those of README are of a run."""

import pytest

from benchmarks import printed

PAGE = """
```sh
crossgate models
```

Some words.

```text
name  1.50 nJ
```

```sh
crossgate chips
crossgate cache
```

```text
of two commands: not compared
```

<!-- not rerun: it needs images that are not bundled -->

```sh
crossgate run dvgg-cifar10
```

```text
99 %
```
"""


def test_outputs__follow_one_command():
    (found,) = printed.outputs(PAGE)
    assert found.command == "crossgate models"
    assert PAGE.splitlines()[found.start : found.stop] == ["name  1.50 nJ"]


@pytest.mark.parametrize(
    ("page", "run", "same"),
    [
        ("energy 77.7 nJ", "energy 77.9 nJ", True),
        ("energy 77.7 nJ", "energy 90.0 nJ", False),
        ("energy 77.7 nJ", "energy 77.7 pJ", False),
        ("error 0.3%", "error 0.5%", True),
        ("error 0.3%", "error 0.6%", False),
        ("│ conv1 │ 12,345 │", "┃ conv1 12,400", True),
        ("g 8.018e-07", "g 8.020e-07", True),
        ("g 8.018e-07", "g 8.018e-06", False),
        ("0 J", "0 J", True),
        ("a 1 2", "a 1", False),
    ],
)
def test_differences__words_exactly_and_numbers_nearly(page, run, same):
    assert (not printed.differences([page], [run])) is same


def test_readme__prints_what_a_run_prints():
    assert printed.outputs((printed.ROOT / "README.md").read_text(encoding="utf-8"))
    assert not printed.rerun(printed.ROOT / "README.md")


@pytest.mark.slow
def test_tutorial__prints_what_its_commands_print():
    page = printed.ROOT / "docs" / "tutorial_measured_curve.md"
    assert len(printed.outputs(page.read_text(encoding="utf-8"))) >= 4
    assert not printed.rerun(page)

"""The tables of docs/first_questions.md are what the script computes."""

from pathlib import Path

import pytest

from benchmarks import first_questions

PAGE = Path(__file__).resolve().parents[1] / "docs" / "first_questions.md"


def lines(rows):
    return [f"| {' | '.join(row)} |" for row in rows]


@pytest.mark.parametrize(
    "rows",
    [
        lambda: first_questions.size_and_loss((64, 128)),
        lambda: first_questions.pairs((16,)),
        first_questions.kernels_at_equal_gates,
        first_questions.reading_again,
    ],
    ids=["size", "pairs", "kernels", "reads"],
)
def test_page__rows_are_those_of_the_script(rows):
    page = PAGE.read_text(encoding="utf-8").splitlines()
    for line in lines(rows()):
        assert line in page


@pytest.mark.slow
def test_page__is_the_script_s():
    assert PAGE.read_text(encoding="utf-8") == first_questions.page()

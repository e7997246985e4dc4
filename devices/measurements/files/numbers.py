"""One cell of a table as a number: decimal commas, and the marks by which instruments say that there is no reading."""

import math
import re

# Each text matches in one way only, so that a cell of any length is looked at in linear time.
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eEdD][+-]?\d+)?")
COMMA = re.compile(r"[+-]?(?:\d+,\d*|,\d+)(?:[eEdD][+-]?\d+)?")
# Source: SCPI-99 volume 1, section 7.2.1.4 (9.9e37 infinity, 9.91e37 not a number); B1500A programming guide (the last)
NO_READING = (9.9e37, 9.91e37, 1.99999e101)
LEAST_MARK = 9e37  # below the smallest of them
NO_READING_WORDS = frozenset(
    {"#ref", "#ref!", "#n/a", "#num!", "#div/0!", "#value!", "overflow", "ovf", "ovfl", "ovflw", "ol"}
)


def is_number(text: str) -> bool:
    """Tell if a cell holds a number, also one that is not finite or stands for no reading."""
    plain = _plain(text)
    return bool(NUMBER.fullmatch(plain) or COMMA.fullmatch(plain)) or plain.lower().lstrip("+-") in {"nan", "inf"}


def is_finite(text: str) -> bool:
    """Tell if a cell holds a finite number that is a reading."""
    try:
        return is_number(text) and math.isfinite(number_in(text, comma=False))
    except ValueError:
        return False


def number_in(text: str, *, comma: bool) -> float:
    """Return the number in a cell, nan for the marks of no reading; comma: a comma may be the decimal point.

    Raises ValueError if the cell holds no finite number.
    """
    try:
        value = float(text)  # nearly always
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:
        value = _slowly(text, comma=comma)
    size = abs(value)
    if size > LEAST_MARK and any(abs(size - mark) <= 1e-3 * mark for mark in NO_READING):
        return math.nan
    return value


def _slowly(text: str, *, comma: bool) -> float:
    """Return the number in a cell that Python does not take as it stands, nan for words of no reading."""
    plain = _plain(text)
    if plain.lower() in NO_READING_WORDS:
        return math.nan
    if comma and COMMA.fullmatch(plain):
        plain = plain.replace(",", ".")
    if not NUMBER.fullmatch(plain):
        if plain.lower().lstrip("+-") in {"nan", "inf", "infinity"}:
            raise ValueError("must be finite")
        raise ValueError("must be a number")
    value = float(plain.replace("d", "e").replace("D", "e"))
    if not math.isfinite(value):
        raise ValueError("must be finite")
    return value


def _plain(text: str) -> str:
    return text.strip().replace("\u2212", "-")

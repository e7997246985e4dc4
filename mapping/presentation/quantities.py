"""Formats of numbers: SI prefixes, percentages, ratios, durations."""

PREFIXES = (
    (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"), (1e-15, "f"),
    (1e-18, "a"),
)  # fmt: skip


def ratio(value: float, whole: float) -> float:
    """Return value / whole, and 0 if whole is 0."""
    return value / whole if whole > 0.0 else 0.0


def si(value: float, unit: str) -> str:
    """Format a quantity with three digits and an SI prefix, a long time in minutes or more."""
    size = abs(value)
    if unit == "s" and size >= 999.5:  # nobody counts in kiloseconds
        return duration(value)
    for factor, prefix in PREFIXES:
        if factor * 0.9995 <= size < factor * 999.5:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def operations(count: float) -> str:
    """Format a number of operations with three digits, in millions from a hundred thousand on."""
    return f"{rounded(count / 1e6)} M" if count >= 1e5 else rounded(count)


def rounded(value: float, digits: int = 3) -> str:
    """Format a number with so many digits; a large one is rounded to them and has commas instead of an exponent."""
    short = f"{value:.{digits}g}"
    return f"{float(short):,.0f}" if "e+" in short else short


def duration(seconds: float) -> str:
    """Format a time with three digits, in years, days, hours or minutes if it is that long."""
    for size, unit in ((86400 * 365.25, "years"), (86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{rounded(seconds / size)} {unit}"
    return si(seconds, "s")


def percent(value: float, digits: int = 1) -> str:
    """Format a fraction of 1 in percent."""
    return f"{100.0 * value:.{digits}f} %"

"""How numbers look: SI prefixes, percentages and ratios."""


def ratio(value: float, whole: float) -> float:
    """Return value / whole, and 0 where the whole is nothing."""
    return value / whole if whole > 0.0 else 0.0


def si(value: float, unit: str) -> str:
    """Write a quantity with three digits and an SI prefix."""
    for factor, prefix in ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"), (1e-15, "f")):
        if abs(value) >= factor * 0.9995:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def percent(value: float, digits: int = 1) -> str:
    """Write a part of 1 in percent."""
    return f"{100.0 * value:.{digits}f} %"

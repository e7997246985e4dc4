"""Names of layers in drawings that have little room for them."""

BESIDE_BARS, BELOW_BARS = 40, 24  # largest numbers of characters, ours


def shortened(name: str, most: int = BESIDE_BARS) -> str:
    """Return a name of at most `most` characters: a long one loses its middle, as names differ at their ends."""
    if len(name) <= most:
        return name
    kept = most - 1
    return f"{name[: kept // 3]}…{name[len(name) - (kept - kept // 3) :]}"

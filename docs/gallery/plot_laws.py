"""Three laws on the same measured points.

Points of a cell whose current is ohmic and then limited by space charge, with 2 % of
noise. Three laws are fitted to them. Only the law behind the points leaves residuals
without a pattern; the others bend where they must not.
"""

import numpy as np
from matplotlib.figure import Figure

from devices.measurements import LAWS, Curves, compare_laws
from devices.plots import laws_figure


def main() -> Figure:
    rng = np.random.default_rng(4)
    v = np.geomspace(0.05, 4.0, 80)
    zero = np.zeros(80, dtype=np.int64)
    empty = Curves(v, np.ones(80), np.zeros(80), zero, zero, source="points")
    current = LAWS["space_charge"].currents(
        {"g": 1e-6, "v_x": 0.8, "power": 2.3}, empty
    )
    points = Curves(
        v,
        current * (1.0 + 0.02 * rng.standard_normal(80)),
        empty.v_gate,
        zero,
        zero,
        source="points",
    )
    return laws_figure(
        compare_laws(points, ["space_charge", "sinh", "poole_frenkel"], bound=2.0).fits
    )


if __name__ == "__main__":
    main().savefig("laws.png", dpi=150)

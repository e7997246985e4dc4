"""Random linear arrays for hypothesis: open cells, and wires and ends that differ from line to line."""

from math import inf

import numpy as np
from hypothesis import strategies as st

from crossbar import Wires


@st.composite
def linear_arrays(draw, most, segments):
    """Cells (m, n) [S] of up to most rows and columns, wires with one of the segments [Ω], and their generator."""
    m, n = draw(st.integers(1, most)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    g = 10.0 ** rng.uniform(-6, -3, (m, n)) * (rng.random((m, n)) < 0.9)
    pool = draw(st.sampled_from([[0.0], [1.0, 100.0], [0.0, 10.0, 1e3], [10.0, 50.0, inf]]))
    ends = [rng.choice(pool, count) for count in (m, n, m, n)]
    if draw(st.booleans()):
        ends[2], ends[3] = inf, inf
    row, column = draw(st.sampled_from(segments)), draw(st.sampled_from(segments))
    return g, Wires(row, column, ends[0], ends[1], r_driver_far=ends[2], r_sense_far=ends[3]), rng

"""What every test may ask for: a seeded generator, and one hypothesis profile for all machines."""

import os

import numpy as np
import pytest
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")

# The same examples on every machine, and no deadline: the first call of a kernel compiles it.
settings.register_profile("same", derandomize=True, deadline=None, max_examples=50, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20250425)

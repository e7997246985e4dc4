"""Small networks that several test modules compile."""

import numpy as np

from mapping.networks import (
    Activation,
    Add,
    Attention,
    Conv,
    DynamicConv,
    GlobalAveragePool,
    Linear,
    Network,
    Relu,
    Scale,
)


def joined(rng: np.random.Generator) -> Network:
    """conv on 6 × 5 pixels, a dynamic layer and a 1 × 1 convolution that join, pool, fc."""
    layers = (
        Conv("conv", ("input",), rng.normal(size=(4, 2, 3, 3)), None, (1, 1), (1, 1)),
        Relu("relu", ("conv",)),
        DynamicConv(
            "mixed", ("relu",), rng.normal(size=(3, 4, 4, 3, 3)), None, (1, 1), (1, 1), (1, 1), 1,
            Attention(rng.normal(size=(2, 4)), None, rng.normal(size=(3, 2)), None),
        ),
        Conv("side", ("relu",), rng.normal(size=(4, 4, 1, 1))),
        Add("add", ("mixed", "side")),
        GlobalAveragePool("pool", ("add",)),
        Linear("fc", ("pool",), rng.normal(size=(3, 4))),
    )  # fmt: skip
    return Network("joined", (2, 6, 5), tuple("abc"), layers)


def thorough(rng: np.random.Generator) -> Network:
    """Static convolutions, channel attention, a dynamic layer and a matrix: every part of a chip has work to do."""
    gate = Attention(rng.normal(size=(2, 4)), None, rng.normal(size=(3, 2)), None)
    layers = (
        Conv("conv", ("input",), rng.normal(size=(4, 2, 3, 3)), rng.normal(size=4), (1, 1), (1, 1)),
        Relu("relu", ("conv",)),
        Conv("next", ("relu",), rng.normal(size=(4, 4, 3, 3)), None, (1, 1), (1, 1)),
        GlobalAveragePool("mean", ("relu",)),
        Linear("fc1", ("mean",), rng.normal(size=(4, 4)), rng.normal(size=4)),
        Activation("open", ("fc1",), "sigmoid"),
        Scale("scale", ("next", "open")),
        Relu("relu2", ("scale",)),
        DynamicConv("mixed", ("relu2",), rng.normal(size=(3, 4, 4, 3, 3)), None, (1, 1), (1, 1), (1, 1), 1, gate),
        GlobalAveragePool("pool", ("mixed",)),
        Linear("fc", ("pool",), rng.normal(size=(3, 4))),
    )
    return Network("thorough", (2, 6, 5), tuple("abc"), layers)

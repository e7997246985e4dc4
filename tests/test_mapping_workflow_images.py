"""The images that a network is run and trained with: what does not fit the network is refused before anything else."""

import numpy as np
import pytest

from devices.errors import ParameterError
from mapping import Network
from mapping.networks import GlobalAveragePool, Linear
from mapping.workflow.images import data_name, images_of, training_images


def network(shape=(1, 8, 8), classes=10, **card):
    layers = (GlobalAveragePool("pool", ("input",)), Linear("fc", ("pool",), np.ones((classes, shape[0]))))
    return Network("mine", shape, tuple(map(str, range(classes))), layers, card)


@pytest.mark.parametrize("load", [images_of, training_images])
def test_images__must_fit_the_network(load):
    with pytest.raises(ParameterError, match=r"go up to 9, but mine has 4 classes, from 0 to 3"):
        load(network(classes=4, dataset="digits"))
    with pytest.raises(ParameterError, match=r"have shape \(1, 8, 8\), but mine takes \(1, 9, 8\)"):
        load(network((1, 9, 8), dataset="digits"))


def test_data_name__is_the_card_s_or_that_of_equal_images(tmp_path):
    assert data_name(network(dataset="mine")) == "mine"
    assert data_name(network()) == "digits"
    assert data_name(network(), tmp_path) == "images"
    with pytest.raises(ParameterError, match=r"mine names no data set, .* 4 classes: give a folder .* with --data"):
        data_name(network(classes=4))

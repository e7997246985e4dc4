"""Everything that makes a trained network, under one name: its layers, its graph and its file."""

from mapping.graph import Network
from mapping.layers import (
    INPUT,
    KINDS,
    Add,
    Attention,
    AveragePool,
    BatchNorm,
    Conv,
    DynamicConv,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Relu,
    Shape,
    Softmax,
    linear,
)
from mapping.network_file import load_network, read_card, save_network

__all__ = [
    "INPUT",
    "KINDS",
    "Add",
    "Attention",
    "AveragePool",
    "BatchNorm",
    "Conv",
    "DynamicConv",
    "Flatten",
    "GlobalAveragePool",
    "Layer",
    "Linear",
    "MaxPool",
    "Network",
    "Relu",
    "Shape",
    "Softmax",
    "linear",
    "load_network",
    "read_card",
    "save_network",
]

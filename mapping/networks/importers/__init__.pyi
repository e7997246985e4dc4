from .checkpoints import load_state as load_state
from .importing import import_onnx as import_onnx
from .importing import import_torch as import_torch

from .importing import import_onnx as import_onnx
from .importing import import_torch as import_torch
from .importing import load_state as load_state

"""Networks on crossbars: formats and data, compiling, writing, running, pricing; the only package that knows images."""

from mapping.chip import Chip
from mapping.datasets import Dataset, load_dataset
from mapping.hardware import Hardware, hardware_names, load_hardware
from mapping.importers import import_onnx, import_torch, load_state
from mapping.inference import RunResult, run
from mapping.models import load_model, model_card, model_names
from mapping.network import Network, load_network, save_network
from mapping.passes import compile_network
from mapping.program import Program
from mapping.report import Report, price, price_estimate
from mapping.writing import write

__all__ = [
    "Chip",
    "Dataset",
    "Hardware",
    "Network",
    "Program",
    "Report",
    "RunResult",
    "compile_network",
    "hardware_names",
    "import_onnx",
    "import_torch",
    "load_dataset",
    "load_hardware",
    "load_model",
    "load_network",
    "load_state",
    "model_card",
    "model_names",
    "price",
    "price_estimate",
    "run",
    "save_network",
    "write",
]

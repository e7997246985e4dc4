"""Which devices torch can compute on here, without loading it before that is known to be wanted."""

from importlib.util import find_spec

from devices.errors import ParameterError

DEVICES = ("cpu", "cuda")


def check_device(device: str, option: str = "device") -> None:
    """Raise ParameterError unless torch is installed and can compute on a device, "cpu" or "cuda"."""
    if device not in DEVICES:
        raise ParameterError(f"{option} must be one of {', '.join(DEVICES)}, got {device!r}")
    check_torch()
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ParameterError(
                f"{option} must be cpu on this machine, as torch {torch.__version__} finds no CUDA card"
            )


def check_torch() -> None:
    """Raise ParameterError unless torch is installed."""
    if find_spec("torch") is None:
        raise ParameterError("this needs torch: pip install 'crossgate[torch]'")

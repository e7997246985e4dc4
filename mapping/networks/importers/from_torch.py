"""PyTorch modules in: torch.export gives a functional graph of core operations, which is walked node by node.

Importing this file needs torch.
"""

import copy
import logging
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from devices.aliases import FloatArray
from devices.errors import ParameterError
from mapping.networks.importers.tensor_graph import Node, Tensor, TensorGraph
from mapping.networks.importers.torch_operations import ADVICE, OPERATIONS, array

Foreign = Any  # a module or tensor of torch, whose classes have no types here

#: what a converter is: it grows the graph by what a module does to a tensor
Converter = Callable[[TensorGraph, str, Any, Node], Tensor]

#: kept whole by the decomposition, because a layer of ours does the same
_WHOLE = (
    "linear", "lstm", "gru", "rnn_tanh", "rnn_relu", "hardswish", "hardsigmoid", "silu", "mish", "gelu", "softplus",
    "elu", "celu", "instance_norm", "leaky_relu", "prelu", "upsample_nearest2d",
    "upsample_nearest1d", "_upsample_nearest_exact2d",
    "upsample_bilinear2d", "upsample_linear1d", "upsample_bicubic2d", "avg_pool1d", "adaptive_avg_pool1d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "max_pool1d", "pixel_shuffle", "scaled_dot_product_attention", "pad",
    "reflection_pad2d", "replication_pad2d", "roll", "hardtanh", "relu6",
)  # fmt: skip


_UNUSED = {"dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking", "implicit"}


class Exported:
    """A module as torch.export sees it, walked into a tensor graph.

    Raises ParameterError that names the first node that cannot be imported.
    """

    def __init__(self, module: Foreign, input_shape: tuple[int, int, int], known: Mapping[str, Converter]) -> None:
        self.parts: list[tuple[str, Any, Converter]] = []
        if isinstance(module, (str, Path)):
            module = Path(module)
            self.program = _loaded(module)
        else:
            module = unwrapped(module)
            if not isinstance(module, nn.Module):
                raise ParameterError(f"import_torch takes a torch.nn.Module or the path of a .pt2, got {_kind(module)}")
            self.program = self._exported(module, input_shape, known)
        self.module = module
        self.name = module.stem if isinstance(module, Path) else _kind(module)
        self.sources: dict[str, Tensor] = {}  #: what the nodes of the exported graph became
        self.graph = TensorGraph((1, *input_shape))
        self.output = self._walked(input_shape)

    def _exported(self, module: Foreign, shape: tuple[int, int, int], known: Mapping[str, Converter]) -> Foreign:
        first = next(iter(module.parameters()), torch.zeros(()))
        dtype = first.dtype if first.is_floating_point() else torch.float32
        image = torch.rand(1, *shape, dtype=torch.float32).to(dtype).to(first.device)
        with evaluating(module), _quiet(), _replaced(module, image, known, self.parts):
            try:
                program = torch.export.export(module, (image,))
                return _decomposed(program)
            except Exception as error:
                said = " ".join(str(error).split())
                try:
                    module(image)
                except Exception as own:  # noqa: BLE001
                    raise ParameterError(
                        f"{_kind(module)} itself does not run on an image of {shape}: "
                        f"{' '.join(str(own).split())[:300] or _kind(own)}"
                    ) from error
                raise ParameterError(
                    f"{_kind(module)} cannot be exported by torch.export: {said[:300] or _kind(error)}; write its "
                    "forward without decisions on values, or say what the part in question does through `known`"
                ) from error

    def _walked(self, input_shape: tuple[int, int, int]) -> Node:
        program, found = self.program, self.sources
        held = self._held()
        images = 0
        for node in program.graph.nodes:
            if node.op == "placeholder":
                if node.name in held:
                    found[node.name] = array(held[node.name])
                    continue
                value = node.meta.get("val")
                if not isinstance(value, torch.Tensor):
                    found[node.name] = value
                    continue
                images += 1
                if images > 1:
                    raise ParameterError(f"the module takes more than one input: {node.name}; only images can come in")
                wanted = tuple(int(n) for n in value.shape)
                found[node.name] = self.graph.reshape("input", self.graph.input, wanted)
            elif node.op == "output":
                outputs = list(_flat(node.args[0]))
                given = [found[each.name] for each in outputs if each is not None]
                first = next((each for each in given if isinstance(each, Node)), None)
                if first is None or len([each for each in given if isinstance(each, Node)]) != 1:
                    raise ParameterError(
                        "the module must give back one tensor that depends on the images, "
                        f"but gives {len(given)}; wrap it in a module that returns the one"
                    )
                return first
            else:
                found[node.name] = self._node(node)
        raise ParameterError("the module gives nothing back")

    def _node(self, node: Foreign) -> Foreign:
        """Walk one node; whatever goes wrong names it."""
        found = self.sources
        args = torch.fx.node.map_arg(node.args, lambda each: found[each.name])
        kwargs = torch.fx.node.map_arg(node.kwargs, lambda each: found[each.name])
        if node.target is operator.getitem:
            return args[0][args[1]]
        name, kind = place(node)
        full = str(node.target)
        try:
            if full.startswith("crossgate."):
                where, part, converter = self.parts[args[1]]
                return converter(self.graph, where, part, args[0])
            if full.startswith("aten._assert"):
                return None
            everything = list(_flat([*args, *kwargs.values()]))
            if not any(isinstance(each, Node) for each in everything):
                return _constant(node, args, kwargs)
            operation = OPERATIONS.get(full.split(".")[1]) if full.startswith("aten.") else None
            if operation is None:
                raise ParameterError(f"there is no layer for {full.removesuffix('.default')}; {ADVICE}")  # noqa: TRY301
            kind_of_number = kwargs.get("dtype")
            if kind_of_number is not None and not kind_of_number.is_floating_point:
                raise ParameterError(f"it makes {kind_of_number} of values that depend on the image; {ADVICE}")  # noqa: TRY301
            given = {key: value for key, value in kwargs.items() if key not in _UNUSED}
            return operation(self.graph, name, *args, **given)
        except (ParameterError, TypeError, ValueError, AttributeError, RuntimeError, KeyError, IndexError) as error:
            reason = " ".join(str(error).split())
            raise ParameterError(f"{name} ({kind}) cannot be imported: {reason}") from error

    @property
    def precision(self) -> float:
        """Distance of 1 from the next number in the coarsest precision that the weights have."""
        kinds = {each.dtype for each in self.program.state_dict.values() if each.is_floating_point()}
        return float(max([torch.finfo(kind).eps for kind in kinds], default=torch.finfo(torch.float32).eps))

    def outputs(self, images: FloatArray) -> FloatArray:
        """What the module itself gives for (b, c, h, w) images."""
        if isinstance(self.module, Path):
            run, like = self.program.module(), self._image_like()
            with torch.no_grad():
                given = [run(torch.as_tensor(image).reshape(like.shape).to(like.dtype)) for image in images]
            return np.concatenate([_first_tensor(out).reshape(1, -1) for out in given])
        return outputs(self.module, images)

    def exact_outputs(self, images: FloatArray) -> FloatArray | None:
        """What a copy of the module gives in double precision; None if it has another precision or does not run so."""
        if isinstance(self.module, Path) or self.precision != torch.finfo(torch.float32).eps:
            return None
        try:
            return outputs(copy.deepcopy(self.module).double(), images)
        except Exception:  # noqa: BLE001  (a module that names a precision itself raises whatever it has)
            return None

    def _image_like(self) -> Foreign:
        """What the exported graph takes as its image."""
        held = self._held()
        return next(n.meta["val"] for n in self.program.graph.nodes if n.op == "placeholder" and n.name not in held)

    def _held(self) -> dict[str, Any]:
        """Weights and constants of the exported graph, by the names of its inputs."""
        signature, program = self.program.graph_signature, self.program
        held = {**program.state_dict, **program.constants}
        named = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        named |= getattr(signature, "inputs_to_lifted_tensor_constants", {})
        return {name: held[key] for name, key in named.items()}

    def values(self, image: FloatArray) -> Iterator[tuple[Node, FloatArray]]:
        """What every node of the source computes for one image (1, c, h, w), where a node of ours does the same."""
        kept: list[tuple[str, Any]] = []

        class Recorder(torch.fx.Interpreter):  # type: ignore[misc]  # torch has no types here
            def run_node(self, n: Foreign) -> Foreign:
                out = super().run_node(n)
                if isinstance(out, torch.Tensor):
                    kept.append((n.name, out.detach().double().cpu().numpy()))
                return out

        program, held = self.program, self._held()
        inputs = [held.get(node.name) for node in program.graph.nodes if node.op == "placeholder"]
        like = self._image_like()
        inputs = [torch.as_tensor(image).reshape(like.shape).to(like.dtype) if x is None else x for x in inputs]
        with torch.no_grad():
            Recorder(program.graph_module).run(*inputs)
        for name, value in kept:
            node = self.sources.get(name)
            if isinstance(node, Node):
                yield node, value


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what torch says while it exports: warnings about what it does itself, tracebacks of what it tries."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def unwrapped(module: Foreign) -> Foreign:
    """The module inside DataParallel or torch.compile."""
    while True:
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        elif hasattr(module, "_orig_mod"):
            module = module._orig_mod  # noqa: SLF001  (torch.compile calls it so)
        else:
            return module


@contextmanager
def evaluating(module: Foreign) -> Iterator[None]:
    """Put a module into evaluation mode, and every part of it back after."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def outputs(module: Foreign, images: FloatArray) -> FloatArray:
    """Run a module on (b, c, h, w) images, in the precision and on the device of its weights.

    Each image is run by itself, as a module may compute something else from several at once.
    """
    module = unwrapped(module)
    first = next(iter(module.parameters()), torch.zeros(()))
    dtype = first.dtype if first.is_floating_point() else torch.float32
    with evaluating(module):
        given = [module(torch.as_tensor(image[None]).to(dtype=dtype, device=first.device)) for image in images]
    return np.concatenate([_first_tensor(out).reshape(1, -1) for out in given])


def _first_tensor(out: Foreign) -> FloatArray:
    found: FloatArray = next(each for each in _flat([out]) if isinstance(each, torch.Tensor)).double().cpu().numpy()
    return found


def place(node: Foreign) -> tuple[str, str]:
    """Where a node stands in the module, and what it is called there."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    operation = str(node.target).removeprefix("aten.").split(".")[0]
    path, kind = (str(stack[-1][0]), str(stack[-1][1]).rpartition(".")) if stack else ("", ("", "", ""))
    path = path.removeprefix("L['self']").lstrip(".")
    if kind[0].startswith("torch.nn.modules") and path:
        return path, kind[2]
    return f"{path}.{node.name}".lstrip("."), operation


def _kind(value: object) -> str:
    return type(value).__name__


def _loaded(path: Path) -> Foreign:
    if not path.is_file():
        raise ParameterError(f"there is no archive {path}")
    try:
        with _quiet():
            return _decomposed(torch.export.load(str(path)))
    except Exception as error:  # noqa: BLE001  (zip, json and torch each have their own kinds)
        raise ParameterError(
            f"{path} is no sound archive of torch.export: {' '.join(str(error).split())[:200]}"
        ) from None


def _decomposed(program: Foreign) -> Foreign:
    table = torch.export.default_decompositions()
    for key in list(table):
        if str(key).split(".")[1] in _WHOLE:
            del table[key]
    return program.run_decompositions(table)


def _constant(node: Foreign, args: Foreign, kwargs: Foreign) -> Foreign:
    """Compute what does not depend on the images, by torch itself."""

    def back(value: Foreign) -> Foreign:
        return torch.as_tensor(value) if isinstance(value, np.ndarray) else value

    args = torch.utils._pytree.tree_map(back, args)  # noqa: SLF001  (torch has no public one)
    kwargs = torch.utils._pytree.tree_map(back, kwargs)  # noqa: SLF001
    out = node.target(*args, **kwargs)
    return torch.utils._pytree.tree_map(array, out)  # noqa: SLF001


def _flat(values: Foreign) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        elif isinstance(value, dict):
            yield from _flat(value.values())
        else:
            yield value


@contextmanager
def _replaced(
    module: Foreign, image: Foreign, known: Mapping[str, Converter], parts: list[tuple[str, Any, Converter]]
) -> Iterator[None]:
    """Let modules known by the name of their class stand as one operation, with the shapes that they give."""
    chosen = [(name, part) for name, part in module.named_modules() if type(part).__name__ in known]
    inner = {name for name, _ in chosen}
    chosen = [(name, part) for name, part in chosen if not any(name != o and name.startswith(f"{o}.") for o in inner)]
    if not chosen:
        yield
        return
    shapes: dict[int, tuple[int, ...]] = {}
    hooks = [
        part.register_forward_hook(lambda _m, _i, out, index=at: shapes.update({index: tuple(out.shape)}))
        for at, (_, part) in enumerate(chosen)
    ]
    try:
        module(image)
    finally:
        for hook in hooks:
            hook.remove()
    _STAND_IN_SHAPES.clear()
    _STAND_IN_SHAPES.update(shapes)
    for at, (name, part) in enumerate(chosen):
        parts.append((name or type(part).__name__, part, known[type(part).__name__]))
        part.forward = lambda x, index=at: torch.ops.crossgate.known(x, index)
    try:
        yield
    finally:
        for _, part in chosen:
            del part.forward


_STAND_IN_SHAPES: dict[int, tuple[int, ...]] = {}


@torch.library.custom_op("crossgate::known", mutates_args=())  # type: ignore[untyped-decorator]  # torch has no types here
def _known(x: torch.Tensor, index: int) -> torch.Tensor:
    return x.new_zeros(_STAND_IN_SHAPES[index])


@_known.register_fake  # type: ignore[untyped-decorator]
def _known_shape(x: torch.Tensor, index: int) -> torch.Tensor:
    return x.new_empty(_STAND_IN_SHAPES[index])

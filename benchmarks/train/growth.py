"""Grow a trained static network to k kernels in each convolution."""

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from scipy.special import softmax
from torch import Tensor, nn

from benchmarks.train.layers import Gate, mixed_convs, plain

SHRUNK = 0.1  # shrinkage: fraction of the mean variance that is added to the within-class variances, ours
ROUNDS = 60  # bisections for the scale of the logits, ours
LARGEST = 1e3  # upper bound of that scale, ours


def grown(model: nn.Module, held: dict[str, Tensor], growth: float) -> None:
    """Copy a static network's parameters; each of k kernels is the static kernel plus its own random perturbation.

    A perturbation has `growth` times the root mean square of the kernel.
    """
    state = model.state_dict()
    for name, value in held.items():
        if state[name].shape == value.shape:
            state[name] = value
        elif name.endswith("conv.weight") and state[name].shape[1:] == value.shape[1:] and len(value) == 1:
            noise = torch.randn(state[name].shape, device=value.device)
            state[name] = value + growth * value.square().mean().sqrt() * noise
        else:
            raise SystemExit(f"{name} has shape {tuple(value.shape)}, the new network wants {tuple(state[name].shape)}")
    model.load_state_dict(state)


@torch.no_grad()
def routed(model: nn.Module, images: Tensor, labels: Tensor, entropy: float, temperature: float) -> None:
    """Initialise each attention to separate groups of images by class, with equal mean attention weights.

    While the kernels are still nearly equal, attention has little effect.  Kernels that are trained on different images
    then become different.  `entropy` is the mean entropy over images at `temperature`, over ln k.
    """
    pooled: dict[Gate, list[Tensor]] = {conv.gate: [] for conv in mixed_convs(model)}
    hooks = [
        gate.register_forward_pre_hook(lambda gate, inputs: pooled[gate].append(inputs[0].mean(dim=(2, 3))))
        for gate in pooled
    ]
    model.eval()
    for batch in images.split(500):
        model(batch.contiguous(memory_format=torch.channels_last))
    for hook in hooks:
        hook.remove()
    for gate, held in pooled.items():
        _route(gate, torch.cat(held), plain(labels), entropy, temperature)


def _route(gate: Gate, pooled: Tensor, labels: np.ndarray, entropy: float, temperature: float) -> None:
    gate.mean.copy_(pooled.mean(0))
    gate.spread.copy_(pooled.var(0, unbiased=False).mean().sqrt())
    gate.seen.fill_(len(pooled))
    k = gate.second.out_features
    z = plain((pooled - gate.mean) / gate.spread).astype(np.float64)
    ways = _discriminants(z, labels, k - 1)
    along = z @ ways
    centres, _ = kmeans2(along, k, minit="++", rng=np.random.default_rng(0))
    scale, shift = _sharpened(2 * along @ centres.T - (centres**2).sum(axis=1), entropy)
    first, second = np.zeros(gate.first.weight.shape), np.zeros(gate.second.weight.shape)
    first[len(ways.T) * 2 :] = plain(gate.first.weight)[len(ways.T) * 2 :]
    for n, way in enumerate(ways.T):  # a number is the difference of its two rectified halves
        first[2 * n : 2 * n + 2] = way, -way
        second[:, 2 * n : 2 * n + 2] = 2 * scale * temperature * centres[:, n : n + 1] * [1, -1]
    biases = temperature * (shift - scale * (centres**2).sum(axis=1))
    for parameter, value in ((gate.first.weight, first), (gate.second.weight, second), (gate.second.bias, biases)):
        parameter.copy_(torch.as_tensor(value))
    gate.first.bias[: len(ways.T) * 2] = 0


def _discriminants(z: np.ndarray, labels: np.ndarray, number: int) -> np.ndarray:
    """Directions (c, number) along which the means of classes differ most, against the variance within classes."""
    means = np.array([z[labels == c].mean(axis=0) for c in np.unique(labels)])
    within = np.cov((z - means[np.searchsorted(np.unique(labels), labels)]).T)
    within += SHRUNK * np.trace(within) / len(within) * np.eye(len(within))
    values, vectors = np.linalg.eigh(within)
    white = vectors / np.sqrt(values)
    _, _, directions = np.linalg.svd((means - means.mean(axis=0)) @ white)
    return white @ directions[:number].T


def _sharpened(logits: np.ndarray, entropy: float) -> tuple[float, np.ndarray]:
    """Scale and shift (k,) that give softmax(scale * logits + shift) equal means and this mean entropy over ln k."""
    k = logits.shape[1]
    low, high = 0.0, LARGEST
    for _ in range(ROUNDS):
        scale = (low + high) / 2
        shift = np.zeros(k)
        for _ in range(ROUNDS):
            shift -= np.log(k * softmax(scale * logits + shift, axis=1).mean(axis=0) + 1e-12)
        shares = softmax(scale * logits + shift, axis=1)
        found = -(shares * np.log(shares + 1e-12)).sum(axis=1).mean() / np.log(k)
        low, high = (low, scale) if found < entropy else (scale, high)
    return scale, shift

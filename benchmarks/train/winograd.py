"""3x3 convolution with unit padding by Winograd's F(4x4, 3x3), of one or k mixed kernels, where there is no GPU.

A 6x6 window of the map turns into 36 numbers, a kernel into 36 numbers, and a 4x4 piece of the output is 16 sums of
their 36 products: a quarter of the multiplications. For k kernels the windows are weighed by each image's shares and
laid side by side, so that one batched product mixes as it multiplies. Source: Lavin and Gray, arXiv 1509.09308.
"""

# b = images, h, w = height, width of a map, i, o = input, output channels, k = kernels, t = windows of all images

import torch
from torch import Tensor
from torch.nn import functional

_B = torch.tensor(  # B^T of the source: windows
    [
        [4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
        [0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
        [0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
        [0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
        [0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
        [0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
    ]
)
_G = torch.tensor(  # kernels
    [
        [1 / 4, 0.0, 0.0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0.0, 0.0, 1.0],
    ]
)
_A = torch.tensor(  # A^T: pieces of the output
    [
        [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
        [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
        [0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
    ]
)
# both directions at once: a product with a 36-row matrix costs little beside the products of the channels
WINDOW, KERNEL, PIECE = (torch.kron(matrix, matrix) for matrix in (_B, _G, _A))


def convolve(x: Tensor, weight: Tensor, shares: Tensor | None = None) -> Tensor:
    """Convolve float32 (b, i, h, w) with (k, o, i, 3, 3), mixed by (b, k) shares; k = 1 without them."""
    b, _, h, w = x.shape
    k, o, i = weight.shape[:3]
    down, across = -(-h // 4), -(-w // 4)
    kernels = KERNEL @ weight.permute(3, 4, 0, 2, 1).reshape(9, -1)
    padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 4 * across - w + 3, 1, 4 * down - h + 3))
    squares = padded.reshape(b, down + 1, 4, across + 1, 4, i).permute(2, 4, 0, 1, 3, 5)
    windows = torch.cat([squares[:, :, :, :-1], squares[:2, :, :, 1:]])  # 4 rows, and 2 of the square below
    windows = torch.cat([windows[..., :-1, :], windows[:, :2, ..., 1:, :]], dim=1)
    values = (WINDOW @ windows.reshape(36, -1)).reshape(36, b, down * across, 1, i)
    if shares is not None:
        values = values * shares[:, None, :, None]
    sums = torch.bmm(values.reshape(36, -1, k * i), kernels.reshape(36, k * i, o))
    pieces = (PIECE @ sums.reshape(36, -1)).reshape(4, 4, b, down, across, o)
    return pieces.permute(2, 5, 3, 0, 4, 1).reshape(b, o, 4 * down, 4 * across)[:, :, :h, :w]

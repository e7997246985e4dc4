"""The page docs/layers.md, written from what running every kind of layer finds."""

from collections.abc import Mapping, Sequence

from mapping.studies.layer_support import ARRANGEMENTS, COLUMNS, Support


def layer_page_text(
    rows: Sequence[Support], shown: Mapping[str, Sequence[bool]], stored: Mapping[str, Sequence[str]]
) -> str:
    """Return the page as Markdown.

    rows: what each kind can do.  shown: for each deviation whether it shows in each of ARRANGEMENTS.  stored: for each
    way of storing weights a word for each of ARRANGEMENTS.
    """
    kinds = [_line(COLUMNS), _line(["---"] * len(COLUMNS)), *(_line(each.row) for each in rows)]
    heads = ("deviation", *ARRANGEMENTS)
    marks = [_line((name, *("yes" if mark else "" for mark in each))) for name, each in shown.items()]
    table = [_line(heads), _line(["---"] * len(heads)), *marks]
    held = [
        _line(("weights", *ARRANGEMENTS)),
        _line(["---"] * len(heads)),
        *(_line((k, *v)) for k, v in stored.items()),
    ]
    return PAGE.format(kinds="\n".join(kinds), deviations="\n".join(table), storage="\n".join(held))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")


PAGE = """# Layers

`crossgate layers` prints these tables. It runs a small network around every kind of layer
(`mapping/networks/layers/examples.py`). This page is its output: `crossgate layers --markdown > docs/layers.md`. A test
compares the two.

## What every kind can do

{kinds}

- **exact**: precisions in which `Network.forward` computes it. float32 differs from float64 by at most 1e-4 of the
  largest output.
- **ideal chip**: "exact" means that outputs on the chip `ideal` differ from the exact network's by at most 1e-12 of the
  largest one.
- **full chip**: "on tiles" means that its weights lie in arrays, and that it has errors of its own on the chip
  `adaptive2d`. "digital" means that the digital part computes it.
- **estimate**: "as run" means that an estimate counts what a run counts; counts that follow from histograms of inputs
  are within 5 %. Digital layers are "counted" from their shapes, or "free" if they only pass values on.
- **layouts**: those in which the kernels of a dynamic layer can be mixed, all of them exact on the ideal chip.
- **read noise**: "of its own" means that reads of its tiles are noisy.
- **trains**: what the gradient of `mapping.training` reaches: the layer's own weights ("its weights"), or the weights
  of layers before it ("passes on"). "no gradient" means that the function is flat; "no" means that training does not
  know the layer.

The fields of each kind are in the [reference](api/mapping.md#networks), its counts in [costs](equations/costs.md),
section 7.

## Which deviation shows in which layout, and what trains

Each deviation is switched on alone, on a chip that has no other. "yes" means that the outputs of the layer change. The
last row says where `mapping.training` has a gradient.

{deviations}

"one matrix" stands for every layer with weights but no kernels to mix. "gates of columns" is a convolution whose
channel attention sets gates ([columns](equations/columns.md)). The other arrangements are the [layouts](layouts.md) of
a dynamic layer.

## Which way of storing weights goes with which layout

Each way is tried on the chip `ideal` ([encoding](equations/encoding.md#9-slices-levels-and-offset-columns)). "exact"
means the outputs of the exact network, "rounded" those of the network whose weights are rounded to the levels of the
cells. Where nothing stands the compiler refuses in one sentence. `mapping.training` takes all of them, with
a gradient that rounding lets through.

{storage}
"""

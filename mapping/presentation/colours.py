"""Colours of components, phases and kinds of layers, the same in every figure and page.

A colour has one meaning. Each is legible on white and on a dark page.
"""

# Components: Paul Tol's bright scheme, which colour-blind readers can tell apart; the others are ours.
COLOURS = {
    "array": "#4477aa", "supply": "#7a8fd0", "sensing": "#ddaa33", "adc": "#ee6677", "drivers": "#228833",
    "gates": "#ccbb44", "writes": "#9966cc", "digital": "#66ccee", "buffers": "#aa3377", "memory": "#b0503c",
    "wires": "#ee8866", "clock": "#44bb99", "control": "#5a7d7c", "leakage": "#8c6d46", "parts": "#ffaabb",
}  # fmt: skip
ATTENTION = "#6464e0"  #: of attention weights, of the time to compute them and of the arrays that do
PHASE_COLOURS = {"attention": ATTENTION, "gates": COLOURS["gates"], "write": COLOURS["writes"], "read": "#8fae2e"}
KIND_COLOURS = {
    "conv": "#8d99a6", "linear": "#8d99a6", "dynamic conv": "#2a8a8a", "kernel": "#7fc1c1", "attention": ATTENTION,
    "transposed conv": "#8d99a6", "recurrent input": "#8d99a6", "recurrent state": "#8d99a6",
}  # fmt: skip
INK = "#333333"  #: own errors are filled with it, total errors are outlined with it

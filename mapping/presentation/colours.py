"""Colours of components, phases and kinds of layers, the same in every figure and page."""

# Paul Tol's bright scheme, which colour-blind readers can tell apart.
COLOURS = {
    "array": "#4477aa", "adc": "#ee6677", "drivers": "#228833", "gates": "#ccbb44", "writes": "#222255",
    "digital": "#66ccee", "buffers": "#aa3377", "wires": "#ee8866", "clock": "#44bb99", "leakage": "#777777",
    "parts": "#ffaabb",
}  # fmt: skip
PHASE_COLOURS = {"attention": "#ccbb44", "gates": "#8a7a00", "write": "#222255", "read": "#4477aa"}
KIND_COLOURS = {
    "conv": "#8d99a6", "linear": "#8d99a6", "dynamic conv": "#4477aa", "kernel": "#88aacc", "attention": "#ccbb44",
    "transposed conv": "#8d99a6", "recurrent input": "#8d99a6", "recurrent state": "#8d99a6",
}  # fmt: skip
ALONE, TOGETHER = "#4477aa", "#bbbbbb"  #: a layer's own error, and with those of the layers before it

"""What the heading of a column says: its quantity, its unit, which of several sweeps, and how sure that is."""

import re
from dataclasses import dataclass

PREFIXES = {
    "": 1.0, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3, "k": 1e3,
    "femto": 1e-15, "pico": 1e-12, "nano": 1e-9, "micro": 1e-6, "milli": 1e-3, "kilo": 1e3, "M": 1e6, "G": 1e9,
}  # fmt: skip
SYMBOLS = {
    "V": ("V", "v", "volt", "volts", "Volt", "Volts", "VOLTS"),
    "A": ("A", "a", "amp", "amps", "Amp", "Amps", "AMPS", "ampere", "amperes", "Ampere", "Amperes"),
    "s": ("s", "sec", "secs", "second", "seconds", "Sec", "Second", "Seconds"),
    "Ω": ("Ω", "Ω", "ohm", "ohms", "Ohm", "Ohms", "OHM"),
    "S": ("S", "siemens", "Siemens"),
}
UNITS = {"v": "V", "current": "A", "v_gate": "V", "time": "s", "resistance": "Ω", "conductance": "S"}
WORDS = {"v": "voltage", "current": "current", "v_gate": "gate voltage"}  # of quantities, for messages

MEASURED, PLAIN, PROGRAMMED, REMOTE = 0, 1, 3, 5  # ranks of headings; the lowest of a quantity is taken
NAMES: dict[str, tuple[str, ...]] = {
    "v": (
        "v",
        "voltage",
        "volt",
        "volts",
        "u",
        "bias",
        "potential",
        "v_cell",
        "cell_voltage",
        "v_read",
        "read_voltage",
        "readvoltage",
        "vread",
        "v_in",
        "vin",
        "v_bias",
        "bias_voltage",
        "v_dut",
        "drain_voltage",
        "drain_v",
        "drain_bias",
        "v_drain",
        "v_d",
        "vd",
        "v_ds",
        "vds",
        "anode_voltage",
        "anode_v",
        "av",
        "v_a",
        "v_ak",
        "vak",
        "v_app",
        "v_te",
        "te_v",
        "vmeas",
        "spannung",
        "tension",
        "voltaje",
        "tensione",
        "电压",
        "電圧",
        "电压_v",
        "전압",
    ),
    "current": (
        "i",
        "current",
        "amp",
        "amps",
        "i_cell",
        "i_read",
        "iread",
        "i_out",
        "iout",
        "cell_current",
        "i_dut",
        "drain_current",
        "drain_i",
        "i_drain",
        "i_d",
        "id",
        "i_ds",
        "ids",
        "anode_current",
        "anode_i",
        "ai",
        "i_a",
        "i_ak",
        "i_te",
        "te_i",
        "imeas",
        "strom",
        "courant",
        "corriente",
        "corrente",
        "电流",
        "電流",
        "전류",
    ),
    "v_gate": (
        "v_gate",
        "vgate",
        "gate",
        "gate_voltage",
        "gate_v",
        "gate_bias",
        "v_g",
        "vg",
        "v_gs",
        "vgs",
        "gv",
        "v_bg",
        "vbg",
        "v_tg",
        "vtg",
        "bg",
        "tg",
        "back_gate",
        "top_gate",
        "back_gate_voltage",
        "top_gate_voltage",
        "gatespannung",
        "栅压",
        "栅电压",
        "ゲート電圧",
    ),
    "time": (
        "time",
        "t",
        "elapsed",
        "time_stamp",
        "timestamp",
        "elapsed_time",
        "relative_time",
        "x_value",
        "zeit",
        "temps",
    ),
    "sweep": (
        "sweep",
        "sweep_number",
        "curve",
        "run",
        "cycle",
        "cycle_number",
        "loop",
        "repetition",
        "repeat",
        "iteration",
        "trace",
        *(f"{each}_{sign}" for each in ("sweep", "cycle", "loop", "run", "curve") for sign in ("no", "nr", "#")),
    ),
    "state": ("state", "filament", "family"),
    "resistance": ("r", "resistance", "r_cell", "ohm"),
    "conductance": ("g", "conductance", "g_cell"),
    "tag": ("tag",),
    "word_line": ("wordline", "word_line"),
    "bit_line": ("bitline", "bit_line"),
    "i_gate": ("gate_current", "gate_i", "i_gate", "i_g", "ig", "i_gs", "igs", "gi", "gate_leakage", "leakage"),
    "number": (
        "index",
        "item",
        "no",
        "nr",
        "n",
        "number",
        "point",
        "points",
        "pt",
        "row",
        "record",
        "sample",
        "data_point",
        "measurement_number",
        "point_number",
        "#",
    ),
}  #: names of columns, in lower case with _ between words, without words that say how they were got
AMPLITUDE = ("amplitude", "pulse_amplitude")  # of the pulse before a read, where no read voltage is given
PARTS = {
    "voltage": "v",
    "potential": "v",
    "bias": "v",
    "current": "current",
    "resistance": "resistance",
}  # of longer names
GATES = frozenset({"gate", "bg", "tg"})
QUANTITY = {name: quantity for quantity, names in NAMES.items() for name in names}
SILENT = frozenset({"avg", "average", "averaged", "mean", "dc", "smu", "ch", "channel", "dut", "value", "raw", "data"})
READ = frozenset({"measured", "meas", "measure", "sensed", "actual"})
SET = frozenset(
    {"programmed", "prog", "set", "setpoint", "forced", "force", "source", "sourced", "src", "applied", "nominal"}
)
DERIVED = frozenset(
    {"abs", "absolute", "log", "log10", "ln", "norm", "normalised", "normalized", "density", "gm", "std"}
)
LONGEST = 300  # characters of a title that is looked at, ours: the patterns take time by its square
SLOPE = re.compile(r"\|.*\||\bd[IV]\s*/\s*d[IV]\b")  # a magnitude or a derivative


@dataclass(frozen=True)
class Heading:
    """What one heading says."""

    title: str  #: as the file has it
    quantity: str | None = None  #: a key of NAMES, None for what is of no use or unknown
    rank: int = PLAIN  #: the lowest of a quantity is taken
    scale: float = 1.0  #: of its unit in SI
    unit: str = ""  #: symbol in SI, "" where none is given
    written: str = ""  #: the unit as the file has it
    trace: tuple[str, ...] = ()  #: which of several sweeps side by side, as (1) in DrainI(1)
    channel: str = ""  #: number behind the name, as 1 in V1
    gate: float | None = None  #: gate voltage that the heading names [V], as in I (Vg = 1 V)
    recorded: str = ""  #: "measured" or "programmed" where the heading says so

    @property
    def wrong_unit(self) -> bool:
        """Tell if the unit is that of another quantity."""
        return bool(self.unit) and self.quantity in UNITS and self.unit != UNITS[self.quantity]


def unit_in(text: str) -> tuple[str, float] | None:
    """Return the symbol and the size of a unit in SI, None if the text is no unit of an I-V curve."""
    plain = text.strip()
    for symbol, names in SYMBOLS.items():
        for name in names:
            if plain.endswith(name) and plain[: len(plain) - len(name)] in PREFIXES:
                prefix = plain[: len(plain) - len(name)]
                if len(prefix) > 1 and len(name) == 1:  # "microV" is no unit, "microvolt" is
                    continue
                return symbol, PREFIXES[prefix]
    return None


def read_heading(title: str, unit_below: str = "") -> Heading:
    """Return what a heading says; unit_below: the cell of a line of units under it."""
    if len(title) > LONGEST:
        return Heading(title)
    name, written, trace, gate = _without_brackets(title.strip())
    if name is None:
        return Heading(title)
    if not written and (match := re.fullmatch(r"(.*\S)\s*[/,:]\s*(\S+)", name)) and unit_in(match[2]):
        name, written = match[1], match[2]
    plain = _meaning(name)
    if plain is None and not written and (match := re.fullmatch(r"(.+?)(?:[\s_]+in)?[\s_]+([^\s_]+)", name)):
        shorter = _meaning(match[1])
        if shorter is not None and unit_in(match[2]):
            plain, written = shorter, match[2]
    if not written and unit_in(unit_below.strip("()[] ")):
        written = unit_below.strip("()[] ")
    symbol, scale = unit_in(written) or ("", 1.0)
    if plain is None and not written and unit_in(name):
        written = name
        symbol, scale = unit_in(name) or ("", 1.0)
    if plain is None:  # an unknown name: a word in it, or its unit alone, may do
        quantity = _part(name) or {"V": "v", "A": "current"}.get(symbol)
        if quantity is None or SLOPE.search(name) or DERIVED.intersection(_words(name)):
            return Heading(title, unit=symbol, scale=scale, written=written)
        return Heading(title, quantity, REMOTE, scale, symbol, written, trace, gate=gate)
    quantity, rank, channel, recorded = plain
    return Heading(title, quantity, rank, scale, symbol, written, trace, channel, gate, recorded)


def _without_brackets(title: str) -> tuple[str | None, str, tuple[str, ...], float | None]:
    """Return a title without what stands in brackets behind it: the unit, which sweep it is of, its gate voltage [V].

    The title is None for a density.
    """
    written, gate = "", None
    trace: list[str] = []
    for inner in re.finditer(r"\s*[\[(]\s*([^\[\]()]*?)\s*[\])](?=\s*\S)", title):  # as in Voltage (V) - Plot 0
        if not written and unit_in(inner[1]):
            written, title = inner[1], title.replace(inner[0], "", 1)
    while match := re.fullmatch(r"(.*\S)\s*[\[(]\s*([^\[\]()]*?)\s*[\])]", title):
        title, inside = match[1], match[2]
        if re.fullmatch(r"\d+", inside):
            trace.insert(0, inside)
        elif found := re.fullmatch(r"V_?(?:gs?|gate)\s*=\s*([+-]?\d*\.?\d+)\s*V?", inside, re.IGNORECASE):
            gate, trace = float(found[1]), [inside, *trace]  # finite: a title is short
        elif unit_in(inside):
            written = inside
        elif re.search(r"[/²^]|cm", inside):
            return None, "", (), None
        else:  # words in brackets are words
            return f"{title} {inside}", written, tuple(trace), gate
    return title, written, tuple(trace), gate


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case, taken apart at signs, numbers and capitals."""
    pieces = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-zà-ÿ]+|[A-Z]+|\d+|[^\W\d_a-zA-Z]+|#", name)
    return [piece.lower() for piece in pieces]


def _part(name: str) -> str | None:
    """Return the quantity that one word of a longer name says, None if there is none or several."""
    words = _words(name)
    found = {PARTS[word] for word in words if word in PARTS}
    if len(found) != 1:
        return None
    quantity = found.pop()
    return {"v": "v_gate", "current": "i_gate"}.get(quantity) if GATES.intersection(words) else quantity


def _meaning(name: str) -> tuple[str, int, str, str] | None:
    """Return the quantity, rank, channel and way of recording that a name without its unit says."""
    words = _words(name)
    known = frozenset(words)
    if SLOPE.search(name) or known & DERIVED or not words:
        return None
    recorded = "measured" if known & READ else "programmed" if known & SET else ""
    whole = "_".join(words)
    if whole in AMPLITUDE:
        return "v", PROGRAMMED + 1, "", ""
    left = [word for word in words if word not in SILENT | READ | SET]
    channel = ""
    while left and left[-1].isdigit():
        channel = left.pop()
        if whole in QUANTITY:
            break
    left = [word for word in left if not word.isdigit()]
    for candidate in (whole, "_".join(left), "".join(left)):
        if candidate in QUANTITY:
            rank = {"measured": MEASURED, "programmed": PROGRAMMED}.get(recorded, PLAIN)
            return QUANTITY[candidate], rank, channel, recorded
    return None

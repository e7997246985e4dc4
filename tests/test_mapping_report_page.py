"""The report as an HTML page: its contents, no external resources, and no errors in a browser."""

import html.parser
import json
import math
import re
import shutil
import subprocess

import numpy as np
import pytest

from mapping.hardware.description import Hardware
from mapping.hardware.description_files import load_hardware
from mapping.inference.running import run
from mapping.networks import Attention, Conv, DynamicConv, GlobalAveragePool, Linear, Network, Relu
from mapping.presentation.colours import COLOURS, INK, KIND_COLOURS, PHASE_COLOURS
from mapping.presentation.intervals import wilson
from mapping.presentation.names import shortened
from mapping.report.page_drawings import comparison
from mapping.report.plots import report_figure
from mapping.report.pricing import price, price_estimate
from mapping.report.values import COMPONENTS
from mapping.workflow.compiling import compile_network
from mapping.workflow.writing import write

ALWAYS = ["Layers", "Configuration"]
WITH_LAYERS = ["Energy by component", "Schedule"]
WITH_RUN = ["Floor plan", "Worst array"]
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# Before anything else of the page: what fails to load or to run, what is asked for, what the console is told.
SPY = """<script>
const wrong = [];
addEventListener("error", e => wrong.push(String(e.message || (e.target && e.target.outerHTML) || e)), true);
addEventListener("securitypolicyviolation", e => wrong.push("blocked: " + e.blockedURI));
for (const kind of ["error", "warn"]) console[kind] = (...words) => wrong.push(words.join(" "));
addEventListener("load", () => {
  const asked = performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:"));
  const boxed = e => e.closest(".scroll, .die figure");  // scrolls inside its own box
  const wide = [...document.querySelectorAll("main *")].filter(
    e => e.getBoundingClientRect().right > innerWidth + 1 && (!boxed(e) || e.matches(".scroll, .die figure")));
  const found = {wrong, asked, sections: [...document.querySelectorAll("h2")].map(e => e.textContent),
                 empty: [...document.images].filter(e => !e.naturalWidth).length,
                 width: innerWidth, across: document.documentElement.scrollWidth,
                 wide: wide.map(e => e.outerHTML.slice(0, 80))};
  const held = document.createElement("pre"); held.id = "found"; held.textContent = JSON.stringify(found);
  document.body.append(held);
});
</script>"""
# A page in a frame of some width; what the spy found is copied out of it.
FRAME = """<!DOCTYPE html><body style="margin: 0">
<iframe src="{name}" width="{width}" height="2000" style="border: 0"></iframe>
<script>
const frame = document.querySelector("iframe");
frame.onload = () => document.body.append(frame.contentDocument.querySelector("#found").cloneNode(true));
</script>"""


def network(rng, *, dynamic):
    first = Conv("conv", ("input",), rng.normal(size=(4, 2, 3, 3)), rng.normal(size=4), padding=(1, 1))
    second = Conv("mixed", ("relu",), rng.normal(size=(5, 4, 3, 3)))
    if dynamic:
        second = DynamicConv(
            "mixed", ("relu",), rng.normal(size=(3, 5, 4, 3, 3)), rng.normal(size=(3, 5)), (1, 1), (0, 0), (1, 1), 1,
            Attention(rng.normal(size=(2, 4)), rng.normal(size=2), rng.normal(size=(3, 2)), None),
        )  # fmt: skip
    layers = (
        first, Relu("relu", ("conv",)), second, GlobalAveragePool("pool", ("mixed",)),
        Linear("fc", ("pool",), rng.normal(size=(3, 5))),
    )  # fmt: skip
    return Network("small", (2, 6, 5), tuple("abc"), layers)


def deep(rng, count=50):
    """Many layers with long names and a character that HTML knows."""
    layers, last = [], "input"
    for index in range(count):
        name = f"stages.{index // 10}.blocks.{index % 10}.a_rather_long_name_of_a_convolution"
        layers.append(Conv(name, (last,), rng.normal(size=(3, 2 if last == "input" else 3, 1, 1))))
        last = name
    layers.append(GlobalAveragePool("pool", (last,)))
    return Network("a < b & c", (2, 2, 2), tuple("abc"), tuple(layers))


def simulated(exact, hardware, rng, count=6):
    images = rng.normal(size=(count, *exact.input_shape))
    return run(write(compile_network(exact, hardware, images[:4]), 2), images, seed=2)


@pytest.fixture(scope="module")
def results():
    rng = np.random.default_rng(8)
    tiles = ["tile.rows=16", "tile.columns=8"]
    gated, bare = Hardware().with_values(tiles), load_hardware("two_terminal").with_values(tiles)
    pool = Network("pool", (3, 4, 4), tuple("abc"), (GlobalAveragePool("pool", ("input",)),))
    return {
        "dynamic": simulated(network(rng, dynamic=True), gated, rng),
        "static": simulated(network(rng, dynamic=False), bare, rng),
        "deep": simulated(deep(rng), bare, rng, 4),
        "bare": simulated(pool, bare, rng),
    }


def made(results, name):
    """A page and its report; "unlabelled" is the dynamic network without labels, "alone" its report without the run."""
    result = results["dynamic" if name in ("unlabelled", "alone") else name]
    labels = None if name == "unlabelled" else np.zeros(len(result.logits), dtype=int)
    report = price(result, labels)
    return report.to_html(None if name == "alone" else result), report


def expected(name):
    sections = list(ALWAYS)
    sections += [] if name == "bare" else WITH_LAYERS
    sections += [] if name == "alone" else WITH_RUN[: 1 if name == "bare" else 2]
    return sections + (["Attention"] if name in ("dynamic", "unlabelled", "alone") else [])


def headings(page):
    return re.findall(r"<h2>(.*?)</h2>", page)


class Tags(html.parser.HTMLParser):
    """Checks that tags close in turn, and collects what a page would fetch."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.ids = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)
        self.fetched += [value for key, value in attrs if key in ("src", "href", "data", "action", "srcset")]

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


NAMES = ["dynamic", "static", "deep", "bare", "unlabelled", "alone"]


@pytest.mark.parametrize("name", NAMES)
def test_page__has_its_sections_and_needs_nothing_else(results, name):
    page, report = made(results, name)
    assert set(expected(name)) <= set(headings(page))
    assert ("Attention" in headings(page)) == ("Attention" in expected(name))
    assert ("Schedule" in headings(page)) == (name != "bare")
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    links = [target[1:] for target in tags.fetched if target.startswith("#")]
    assert links == re.findall(r'<section id="([\w-]+)">', page)
    assert len(links) == len(headings(page))
    assert all(target.startswith(("data:", "#")) for target in tags.fetched)
    assert not re.search(r"<script|@import|url\(|nan |>nan|None", page)
    assert f"<h1>{'a &lt; b &amp; c' if name == 'deep' else report.model} on {report.chip}</h1>" in page
    assert ("the run had no labels" in page) == (name == "unlabelled")
    for layer in report.layers:
        assert layer.name in page


def test_page__names_seeds_versions_and_every_key(results):
    page, report = made(results, "dynamic")
    assert "Seed of the chip: 2. Seed of the read noise: 2." in page
    for name, version in report.versions.items():
        assert f'<th scope="row">{name}</th><td>{version}</td>' in page
    for section in ("cell", "spread", "noise", "wires", "tile", "dac", "adc", "gate_dac", "costs"):
        for key in report.configuration[section]:
            assert f'<th scope="row">{key}' in page, (section, key)


def test_page__shortens_long_names_beside_drawings_only(results):
    page, _ = made(results, "deep")
    full = "stages.4.blocks.9.a_rather_long_name_of_a_convolution"
    assert f'<th scope="row">{full}</th>' in page
    assert shortened(full) != full
    assert f'<th scope="row" title="{full}">{shortened(full)}</th>' in page


def test_page__of_an_estimate_has_no_errors_and_no_seeds(results):
    program = results["dynamic"].chip.program
    report = price_estimate(program, np.random.default_rng(0).normal(size=(3, *program.network.input_shape)))
    for page in (report.to_html(), report._repr_html_()):
        tags = Tags()
        tags.feed(page)
        assert not tags.open
        assert not re.search(r"nan |>nan|None|[Oo]wn error|[Ss]eed", page)
    assert len(report_figure(report).axes) == 2
    assert len(report_figure(price(results["dynamic"])).axes) == 3


def test_shortened__keeps_both_ends():
    assert shortened("conv", 4) == "conv"
    assert shortened("node_Conv_1234", 7) == "no…1234"
    assert [len(shortened("x" * n, 24)) for n in (23, 24, 25, 900)] == [23, 24, 24, 24]


def test_page__draws_energies_on_a_logarithmic_axis_with_the_chips_band(results):
    """By hand: decades from the axis' first power of ten, as fractions of its length."""
    report = made(results, "dynamic")[1]
    drawn = comparison(report)
    ticks = [tick["energy"] for tick in drawn["ticks"]]
    assert ticks == pytest.approx([ticks[0] * 10.0**k for k in range(len(ticks))])
    decades = len(ticks) - 1
    for line, energies in zip(
        drawn["lines"], [report.energy_band_J_per_image, *(each.energy_J for each in report.comparison)], strict=True
    ):
        ends = [100.0 * np.log10(each / ticks[0]) / decades for each in energies]
        assert (line["x"], line["x"] + line["width"]) == pytest.approx(ends, abs=1e-6)
        assert 0.0 <= line["x"] <= line["x"] + line["width"] <= 100.0 + 1e-9
    assert drawn["strip"] == {"x": drawn["lines"][0]["x"], "width": drawn["lines"][0]["width"]}
    assert drawn["strip"]["x"] <= drawn["middle"] <= drawn["strip"]["x"] + drawn["strip"]["width"]


def test_page__hides_what_is_zero(results):
    """The bare chip has no gates, no parts of one's own and no writes."""
    page, report = made(results, "static")
    energy = page.partition('<section id="energy-by-component">')[2].partition("</section>")[0]
    named = re.findall(r'<th scope="row">(\w+)</th>', energy)
    spent = {name: sum(layer.energy_by_component_J[name] for layer in report.layers) for name in COMPONENTS}
    assert named == [name for name, value in spent.items() if value > 0.0]
    assert 0 < len(named) < len(COMPONENTS)
    assert "0 J<" not in energy


def test_colours__have_one_meaning_each():
    """Phases and components of one name share a colour; static layers of all kinds are grey."""
    meanings = {}
    for names in (COLOURS, PHASE_COLOURS, KIND_COLOURS, {"error": INK}):
        for name, colour in names.items():
            static = names is KIND_COLOURS and name not in ("dynamic conv", "kernel", "attention")
            meanings.setdefault(colour, set()).add("static layer" if static else name.rstrip("s"))
    assert all(len(each) == 1 for each in meanings.values()), meanings


def test_notebooks__show_report_program_and_chip(results):
    result = results["dynamic"]
    report = price(result)
    for value, words in (
        (report, "small on adaptive2d"), (result.chip.program, "compiled"), (result.chip, "written, seed 2")
    ):  # fmt: skip
        shown = value._repr_html_()
        assert words in shown
        tags = Tags()
        tags.feed(shown)
        assert not tags.open
        assert not tags.fetched


def test_dataframe__is_the_table_of_layers(results):
    pytest.importorskip("pandas")
    report = price(results["dynamic"])
    frame = report.to_dataframe()
    assert list(frame.index) == [layer.name for layer in report.layers]
    assert frame.loc["mixed", "energy_J"] == report.layers[1].energy_J
    assert [frame.index.name, *frame.columns] == report.to_csv().splitlines()[0].split(",")


def test_wilson__by_hand():
    """9 of 10: (0.9 + 1.9207 / 10 ± 1.96 sqrt(0.09 / 10 + 0.9604 / 100)) / 1.38415."""
    low, high = wilson(0.9, 10)
    half = 1.959963984540054 * math.sqrt(0.009 + 0.0384146 / 4)
    assert (low, high) == pytest.approx(((1.09207 - half) / 1.38415, (1.09207 + half) / 1.38415), rel=1e-4)
    assert wilson(1.0, 5)[1] == 1.0
    assert wilson(0.0, 0) == (0.0, 1.0)


@pytest.mark.skipif(BROWSER is None, reason="no chromium here")
def test_browser__finds_nothing_wrong(results, tmp_path):
    """All pages at the widths of a screen and of a phone: no error, no request, every picture drawn, nothing sticks
    out. The window of the browser has a least width, so the phone is a frame in it."""
    for name, width in (("dynamic", 1100), ("dynamic", 390), ("deep", 1100), ("deep", 390), ("bare", 390)):
        page, _ = made(results, name)
        path, outer = tmp_path / f"{name}.html", tmp_path / "outer.html"
        path.write_text(page.replace("<head>", f"<head>{SPY}", 1), encoding="utf-8")
        outer.write_text(FRAME.format(name=path.name, width=width), encoding="utf-8")
        done = subprocess.run(
            [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1100,2000",
             "--allow-file-access-from-files", "--dump-dom", outer.as_uri()],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        held = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, flags=re.DOTALL)
        found = json.loads(html.unescape(held[1]))
        assert (found["wrong"], found["asked"], found["empty"], found["wide"]) == ([], [], 0, []), name
        assert found["width"] == width
        assert found["across"] <= width, name
        assert found["sections"] == headings(page)

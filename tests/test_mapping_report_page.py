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
from mapping.presentation.intervals import wilson
from mapping.report.html_page import NAME
from mapping.report.pricing import price
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
  const wide = [...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1);
  const found = {wrong, asked, sections: [...document.querySelectorAll("h2")].map(e => e.textContent),
                 empty: [...document.images].filter(e => !e.naturalWidth).length,
                 wide: wide.map(e => e.outerHTML.slice(0, 80))};
  const held = document.createElement("pre"); held.id = "found"; held.textContent = JSON.stringify(found);
  document.body.append(held);
});
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
    assert all(target.startswith("data:") for target in tags.fetched)
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
    assert f">…{full[-NAME + 1 :]}</text>" in page


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
    """All pages, one after another in one frame each: no error, no request, every picture drawn, nothing sticks out."""
    for name in ("dynamic", "deep", "bare"):
        page, _ = made(results, name)
        path = tmp_path / f"{name}.html"
        path.write_text(page.replace("<head>", f"<head>{SPY}", 1), encoding="utf-8")
        done = subprocess.run(
            [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1100,2000",
             "--dump-dom", path.as_uri()],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        held = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, flags=re.DOTALL)
        found = json.loads(html.unescape(held[1]))
        assert (found["wrong"], found["asked"], found["empty"], found["wide"]) == ([], [], 0, []), name
        assert found["sections"] == headings(page)

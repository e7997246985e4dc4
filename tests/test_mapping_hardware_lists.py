"""Lists and tables as keys of a chip: wires that differ from segment to segment, and read noise that was measured."""

import json
import re

import numpy as np
import pytest

from crossbar import TileWires, Wires, reference_solve
from devices.errors import MappingError, ParameterError
from devices.noise import NoiseTable, ReadNoise, read_noise_table
from mapping import Network, compile_network, load_hardware, price, price_estimate, run, write
from mapping.chips import tile_circuit, write_netlist
from mapping.files import Cache
from mapping.networks import Conv, GlobalAveragePool, Linear
from mapping.placement.gate_lines import gate_lines
from mapping.workflow import written
from tests.small_networks import joined

QUIET = ("noise.flicker=false", "noise.thermal_shot=false", "adc.bits=ideal", "dac.bits=ideal")
SMALL = ("tile.rows=16", "tile.columns=8")
ALONG, ACROSS = [1.0, 40.0, 2.0, 3.0, 80.0, 1.0, 5.0], [float(ohms) for ohms in range(1, 16)]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).random((40, 2, 6, 5))


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(1)
    layers = (
        Conv("conv", ("input",), rng.normal(size=(6, 2, 3, 3)), None, (1, 1), (1, 1)),
        GlobalAveragePool("pool", ("conv",)),
        Linear("fc", ("pool",), rng.normal(size=(3, 6))),
    )
    return Network("static", (2, 6, 5), tuple("abc"), layers)


def chip(*settings):
    return load_hardware("two_terminal").with_values((*SMALL, *settings))


# wires


def test_wires__a_list_is_that_of_a_full_tile(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(f"""base = "two_terminal"
[tile]
rows = 16
columns = 8
[wires]
r_row = {ALONG}
r_column = {ACROSS}
""")
    hardware = load_hardware(path)
    assert hardware.wires == chip(f"wires.r_row={ALONG}", f"wires.r_column={ACROSS}").wires
    assert hardware.wires == TileWires(ALONG, ACROSS, 100.0, 10.0)
    assert type(chip("wires.r_row=2.0").wires) is Wires
    same = chip(f"wires.r_row={[[*ALONG]] * 16}").wires
    np.testing.assert_array_equal(same.row_segments(9, 4), hardware.wires.row_segments(9, 4))


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        (
            "wires.r_row=[1.0, 2.0]",
            "or 7 or 16 × 7 values for a tile of 16 × 8 cells, got 2",
        ),
        ("wires.r_column=[1.0]", "wires.r_column must be one value, or 15 or 15 × 8 values"),
        (f"wires.r_row={[*ALONG[:-1], -1.0]}", "r_row must be ≥ 0 everywhere, got -1"),
        (f"wires.r_row={[*ALONG[:-1], 0.0]}", "r_row must be above 0 Ω in every segment"),
        (f"wires.r_row={[*ALONG[:-1], 1e9]}", r"wires.r_row must be 0 or have a magnitude from 1e-09 to 100000 Ω"),
        ("wires.r_row=['a']", "r_row must be an array of real numbers"),
    ],
)
def test_wires__wrong_lists_are_one_sentence(setting, sentence):
    with pytest.raises(ParameterError, match=re.escape(sentence)):
        chip(setting)


def test_wires__each_tile_has_its_segments_in_currents_and_netlist(network, images, tmp_path):
    hardware = chip(*QUIET, f"wires.r_row={ALONG}", f"wires.r_column={ACROSS}", "tile.adjust_outputs=false")
    program = compile_network(network, hardware, images)
    held = write(program, seed=1)
    tile_shapes = {tile.shape for matrix in program.all_matrices for tile in matrix.tiles}
    assert any(2 * c < 8 or m < 16 for m, c in tile_shapes)  # some tile is not full
    for matrix in program.all_matrices:
        for at, tile in enumerate(matrix.tiles):
            m, n = tile.shape[0], 2 * tile.shape[1]
            g = held.written(matrix, at).g_filament[0]
            g = hardware.cell.terminal_conductance(g, 1.0, hardware.dac.v_read)
            own = Wires(np.tile(ALONG[: n - 1], (m, 1)), np.tile(np.array(ACROSS)[16 - m :, None], (1, n)), 100.0, 10.0)
            currents = reference_solve(g, np.eye(m), own).currents
            np.testing.assert_allclose(held.tiles[matrix.name][at].signal[0, 0], currents[:, 0::2] - currents[:, 1::2],
                                       rtol=1e-6, atol=1e-9 * np.abs(currents).max())  # fmt: skip
    matrix = program.matrices["fc"][0]
    write_netlist(program, tile_circuit(program, "fc"), tmp_path / "fc.cir")
    ohms = dict(
        re.findall(r"^(R(?:row|col)_\d+_\d+) \S+ \S+ (\S+)", (tmp_path / "fc.cir").read_text(), flags=re.MULTILINE)
    )
    m = matrix.tiles[0].shape[0]
    assert float(ohms["Rrow_0_1"]) == ALONG[1]
    assert float(ohms[f"Rcol_{m - 2}_0"]) == ACROSS[-1]


def test_wires__compensation_and_estimate_follow_the_segments(network, images):
    along = [ohms * 20.0 for ohms in ALONG]
    keys = ("window_low_ln_sigma", "window_high_cv", "write_error", "stuck_on", "stuck_off")
    exact = (f"spread.{key}=0" for key in keys)
    quiet = (*QUIET, *exact, "adc.offset=0", "tile.adjust_outputs=false", f"wires.r_row={along}")

    def error(*settings):
        found = run(write(compile_network(network, chip(*quiet, *settings), images)), images[:4])
        return np.sqrt(np.mean((found.logits - found.exact) ** 2) / np.mean(found.exact**2))

    assert error() < 0.2 * error("tile.compensate_wires=false")
    program = compile_network(network, chip(f"wires.r_row={along}"), images)
    ran, estimated = price(run(write(program), images)), price_estimate(program, images)
    for one, other in zip(ran.layers, estimated.layers, strict=True):
        assert other.energy_by_component_J["array"] == pytest.approx(one.energy_by_component_J["array"], rel=0.1)
    assert ran.to_json()


def test_wires__gate_lines_take_the_mean_of_the_segments(images):
    hardware = load_hardware("adaptive2d").with_values((*SMALL, "tile.gate_nodes=4", f"wires.r_row={ALONG}"))
    program = compile_network(joined(np.random.default_rng(7)), hardware, images)
    lines = gate_lines(program.matrices["mixed"][0], hardware)
    assert lines.r_segment == pytest.approx(hardware.gate_dac.r_relative * np.mean(ALONG))
    assert price_estimate(program, images[:2]).latency_s_per_image > 0.0


def test_wires__slopes_of_training_go_through_each_segment(network, images):
    pytest.importorskip("torch")
    from mapping.training.reduced_tiles import MatrixTiles

    rng = np.random.default_rng(5)
    even = [f"spread.{key}=0" for key in ("stuck_on", "stuck_off", "write_error", "window_low_ln_sigma")]
    settings = (*QUIET, *even, "spread.window_high_cv=0", f"wires.r_row={[20 * ohms for ohms in ALONG]}")
    program = compile_network(network, chip(*settings), images)
    matrix = program.matrices["fc"][0]  # a tile that is not full
    tiles = MatrixTiles(program, matrix, 1, 3)
    targets = rng.uniform(1e-5, 3e-5, matrix.conductances.shape)
    change = 1e-4 * targets * rng.uniform(-1.0, 1.0, targets.shape)
    by_signal = [rng.normal(size=tile.signal.shape) for tile in tiles.reduce(targets).tiles]

    def total(at):
        return sum(float((d * tile.signal).sum()) for d, tile in zip(by_signal, at.tiles, strict=True))

    slopes = tiles.gradient(tiles.reduce(targets), by_signal)
    quotient = (total(tiles.reduce(targets + change)) - total(tiles.reduce(targets - change))) / 2.0
    assert float((slopes * change).sum()) == pytest.approx(quotient, rel=1e-4)


def test_wires__a_broken_list_needs_no_compensation(network, images):
    broken = [*ALONG[:3], "inf", *ALONG[4:]]
    setting = f"wires.r_row=[{', '.join(map(str, broken))}]"
    with pytest.raises(MappingError, match=r"broken wires of chip 'two_terminal' cut cells off, .*_wires = false"):
        compile_network(network, chip(setting), images)
    program = compile_network(network, chip(setting, "tile.compensate_wires=false"), images)
    assert not np.any(write(program).tiles["conv"][0].signal[0, 0, :, 2:])


def test_wires__are_kept_and_shown(network, images, tmp_path, crossgate):
    program = compile_network(network, chip(f"wires.r_row={ALONG}", "cell.temperature=320"), images)
    cache = Cache(tmp_path / "cache")
    first, again = (written(program, 2, cache) for _ in range(2))
    np.testing.assert_array_equal(again.tiles["fc"][0].signal, first.tiles["fc"][0].signal)
    words = ("chips", "show", "two_terminal", "--set", "tile.columns=4", "--set", "wires.r_row=[1.0,2.5,4.0]")
    shown = crossgate(*words)
    assert shown[0] == 0
    assert "1 to 4 (3 values)" in shown[1]
    found = crossgate(
        "chips", "show", "two_terminal", "--set", "tile.columns=4", "--set", "wires.r_row=[1.0,2.5,4.0]", "--json"
    )
    values = {each["key"]: each["value"] for each in json.loads(found[1])["values"]}
    assert values["wires.r_row"] == [1.0, 2.5, 4.0]
    assert values["noise.table"] == "none"


# noise


TABLE = "conductance_uS,mean_uS,sigma_nS,about\n2,2.5,40,low\n20,19,150,\n40,41,600,high\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "noise.csv"
    path.write_text(TABLE)
    return path


def test_noise_table__is_interpolated_and_constant_beyond_its_ends(table, tmp_path):
    found = read_noise_table(table)
    assert found == NoiseTable((2e-6, 2e-5, 4e-5), (4e-8, 1.5e-7, 6e-7), (2.5e-6, 1.9e-5, 4.1e-5))
    np.testing.assert_allclose(found.means([2e-6, 11e-6, 30e-6, 50e-6, 0.0]), [2.5e-6, 10.75e-6, 30e-6, 51e-6, 0.5e-6])
    np.testing.assert_allclose(found.sigmas([1e-6, 2.5e-6, 1.9e-5, 3e-5, 1e-4]), [4e-8, 4e-8, 1.5e-7, 3.75e-7, 6e-7])
    (tmp_path / "brackets.csv").write_text("conductance (uS),sigma [nS]\n2,40\n20,150\n")
    assert read_noise_table(tmp_path / "brackets.csv") == NoiseTable((2e-6, 2e-5), (4e-8, 1.5e-7))
    toml = tmp_path / "noise.toml"
    toml.write_text("conductance_S = [2e-6, 2e-5, 4e-5]\nmean_uS = [2.5, 19.0, 41.0]\nsigma_uS = [0.04, 0.15, 0.6]\n")
    assert read_noise_table(toml).mean == pytest.approx(found.mean)
    noise = ReadNoise(telegraph=True, table=found)
    np.testing.assert_allclose(np.sqrt(noise.cell_variance(3e-5, 0.1, 1e-7)), 0.1 * 3.75e-7)
    assert not noise.silent
    for call in (lambda: noise.spectrum(1.0, 1e-5, 0.1), lambda: noise.variance(1e-5, 0.1, 1.0, 2.0)):
        with pytest.raises(ParameterError, match="table must be None for a spectrum or a trace"):
            call()


def test_noise_table__is_found_beside_the_chip_file(table, tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text('base = "two_terminal"\n[noise]\ntable = "noise.csv"\n')
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "other.toml").write_text('base = "../mine.toml"\n[noise]\ntable = "none"\n')
    monkeypatch.chdir(tmp_path / "below")
    assert load_hardware("../mine.toml").noise.table == read_noise_table(table)
    assert load_hardware("other.toml").noise.table is None
    assert load_hardware("two_terminal").with_values(["noise.table=../noise.csv"]).noise.table == read_noise_table(
        table
    )
    assert load_hardware("../mine.toml").idealised().noise.silent


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("conductance_uS,mean_uS\n1,1\n", "must have a column sigma_S (or _mS, _uS, _nS), got conductance_uS, mean_uS"),
        ("conductance,sigma\n1,1\n", "must have a column conductance_S"),
        ("", "must have a column conductance_S (or _mS, _uS, _nS), got none"),
        ("conductance_uS,sigma_uS\n", "conductance must hold at least one level"),
        ("conductance_uS,sigma_uS\n1,x\n", "line 2: sigma_uS must be a number, got 'x'"),
        ("conductance_uS,sigma_uS\n1,nan\n", "line 2: sigma_uS must be a number, got 'nan'"),
        ("conductance_uS,sigma_uS\n1,-1\n", "sigma must be ≥ 0 everywhere"),
        ("conductance_uS,sigma_uS\n2,1\n1,1\n", "conductance must rise from level to level"),
        ("conductance_uS,mean_uS,sigma_uS\n1,2,1\n2,1,1\n", "mean must rise from level to level"),
        ("conductance_uS,sigma_uS\n1\n", "line 2 must have 2 values, got 1"),
        ("conductance_S,sigma_S\n20,1\n", "conductance must be at most 1 in size everywhere"),
        ("conductance_S,conductance_uS,sigma_S\n1,1,1\n", "must have one column conductance, got two"),
    ],
)
def test_noise_table__refuses_in_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "noise.csv"
    path.write_text(text)
    with pytest.raises(ParameterError, match=re.escape(sentence)) as caught:
        load_hardware("ideal").with_values([f"noise.table={path}"])
    assert "\n" not in str(caught.value)
    with pytest.raises(ParameterError, match="there is no noise table"):
        read_noise_table(tmp_path / "missing.csv")


def test_noise_table__gives_the_reads_of_a_chip_their_deviation(network, images, table):
    """Wires without resistance: the variance of a column is the sum over its cells, and the mean is the table's."""
    parts = (
        "wires.r_row=0",
        "wires.r_column=0",
        "wires.r_driver=0",
        "wires.r_sense=0",
        "adc.bits=ideal",
        "dac.bits=ideal",
    )
    hardware = chip(*parts, f"noise.table={table}")
    program = compile_network(network, hardware, images)
    held = write(program, seed=4)
    matrix, tile = program.matrices["fc"][0], held.tiles["fc"][0]
    g = held.written(matrix, 0).g_filament[0]
    g = hardware.cell.terminal_conductance(g, 1.0, hardware.dac.v_read)
    found, v_read = read_noise_table(table), hardware.dac.v_read
    codes = np.full((400, 8, tile.rows), hardware.dac.full_code, dtype=np.float64)
    keys = np.arange(400, dtype=np.uint64)
    noisy, _ = tile.read(codes, None, keys, noise=True)
    quiet, _ = tile.read(codes, None, keys, noise=False)
    deviation = v_read * np.sqrt((found.sigmas(g) ** 2).reshape(tile.rows, -1, 2).sum((0, 2)))
    np.testing.assert_allclose((noisy - quiet).std((0, 1)), deviation, rtol=0.05)  # 3200 reads: 1.3 % per deviation
    np.testing.assert_allclose((noisy - quiet).mean((0, 1)), 0.0, atol=5 * deviation.max() / np.sqrt(3200))
    plain = write(compile_network(network, chip(*parts), images), seed=4).written(matrix, 0).g_filament[0]
    nominal = hardware.cell.terminal_conductance(plain, 1.0, v_read)
    np.testing.assert_allclose(g, found.means(nominal), rtol=1e-9)


def test_noise_table__more_noise_makes_larger_errors(network, images, tmp_path):
    errors = []
    for sigma in (0.0, 100.0, 1000.0):
        (tmp_path / "noise.csv").write_text(f"conductance_uS,sigma_nS\n1,{sigma}\n40,{sigma}\n")
        hardware = chip(f"noise.table={tmp_path / 'noise.csv'}")
        found = run(write(compile_network(network, hardware, images)), images[:16])
        errors.append(float(np.sqrt(np.mean((found.logits - found.exact) ** 2))))
    assert errors[0] < errors[1] < errors[2]

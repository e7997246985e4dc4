"""Energy and area of what a read needs beside its array: the supply, and the amplifiers and integrators of its pairs.

docs/equations/costs.md, section 13.
"""

import math

from crossbar.prices.component_model import NOTHING, Band
from crossbar.prices.periphery import Periphery
from crossbar.tiles.activity import Activity

#: [1/s] transit frequency at 22 nm where a transistor amplifies well for its current, ours: a third of the 347 GHz that
#: S. Ong et al., RFIC 2018, measured at the peak; in inverse proportion to the node
TRANSIT = 116e9
THERMAL = 0.0388  # [V] current over transconductance in weak inversion: 1.5 kT/q at 300 K, textbook


def loop_current(periphery: Periphery, node: float) -> float:
    """Return the current [A] of the gain stages of a pair, beside the bias of its outputs.

    They lower a transistor's input resistance to r_sense, and settle within t_settle to half a code.
    Source: docs/equations/costs.md eq. 30, ours.
    """
    if not periphery.r_sense or periphery.sense.stage == "none":
        return 0.0
    fast = periphery.adc.width * math.log(2.0) / max(periphery.sense.t_settle, 1e-12)
    ratio = fast / (2.0 * math.pi * TRANSIT * 22e-9 / node)
    return 2.0 * THERMAL * ratio / periphery.r_sense


def sensing(done: Activity, periphery: Periphery, node: float) -> Band:
    """Return the energy [J] of amplifiers, mirrors and integrators: the charge that they draw, times their supply.

    They draw it from the beginning of a read until they have settled. Two amplifiers in class A draw the range of the
    pair's converter each; push-pull ones their quiescent current and the current of the cells. The band spans both.
    Source: docs/equations/costs.md eq. 29.
    """
    sense, dac = periphery.sense, periphery.dac
    if sense.stage == "none":
        return NOTHING
    longer = 1.0 + sense.t_settle / dac.t_read
    both = longer * (done.sense_charge / sense.division + done.sense_time * loop_current(periphery, node))
    class_a = 2.0 * longer * done.sense_charge
    push_pull = sense.quiescent * class_a + done.joules_array / dac.v_read
    nominal = class_a if sense.stage == "class-a" else push_pull
    return Band(
        *(sense.v_supply * (both + each) for each in (min(class_a, push_pull), nominal, max(class_a, push_pull)))
    )


def supply_loss(done: Activity, periphery: Periphery) -> Band:
    """Return the energy [J] that is lost where the read voltage is made: what is drawn less what the array gets.

    A linear regulator passes the current of the rows on from the supply; the band spans both kinds.
    Source: docs/equations/costs.md eq. 28.
    """
    sense = periphery.sense
    switched = 1.0 / sense.efficiency - 1.0
    linear = max(sense.v_supply / periphery.dac.v_read - 1.0, 0.0)
    nominal = linear if sense.regulator == "linear" else switched
    return Band(min(switched, linear), nominal, max(switched, linear)).scaled(done.joules_array)


def capacitor(full_scale: float, periphery: Periphery) -> float:
    """Return the capacitance [F] that integrates a pair's current of `full_scale` [A] over a read.

    Source: docs/equations/costs.md eq. 31.
    """
    sense = periphery.sense
    return full_scale * periphery.dac.t_read / (sense.division * sense.v_swing)

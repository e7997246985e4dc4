from .chip_module import ChipModule as ChipModule
from .device_run import run_on_device as run_on_device
from .devices_of_torch import check_device as check_device
from .devices_of_torch import check_torch as check_torch
from .fine_tuning import Images as Images
from .fine_tuning import Schedule as Schedule
from .fine_tuning import fine_tune as fine_tune
from .fine_tuning import learning_figure as learning_figure

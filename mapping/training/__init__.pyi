from .chip_module import ChipModule as ChipModule
from .fine_tuning import Images as Images
from .fine_tuning import Schedule as Schedule
from .fine_tuning import fine_tune as fine_tune
from .fine_tuning import learning_figure as learning_figure

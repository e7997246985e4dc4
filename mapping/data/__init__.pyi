from .datasets import CIFAR10_CLASSES as CIFAR10_CLASSES
from .datasets import SPLITS as SPLITS
from .datasets import Dataset as Dataset
from .datasets import load_dataset as load_dataset

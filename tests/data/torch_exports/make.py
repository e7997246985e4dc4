"""How the files here were made: small networks written by PyTorch's exporter, with what PyTorch computes.

    python tests/data/torch_exports/make.py

Needs torch. The modules are those of tests/test_mapping_networks_importers.py, in smaller widths. NAME.csv: one line
for each image, of the outputs of PyTorch in float64; the images are those of `pictures` there.
"""

import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

import test_mapping_networks_importers as theirs  # noqa: E402  (found beside this folder)

MODULES = {
    "vgg11": lambda: theirs.vgg(theirs.VGG11, 1 / 32),
    "vgg16": lambda: theirs.vgg(theirs.VGG16, 1 / 32),
    "resnet18": lambda: theirs.ResNet(2, (2, 3, 4, 6), large_stem=True),
    "resnet20": lambda: theirs.ResNet(3, (2, 3, 4)),
    "mobilenet_v2": lambda: theirs.mobilenet_v2(1 / 16, expansion=2),
    "se_resnet": lambda: theirs.ResNet(1, (4, 6), squeeze=theirs.Squeeze),
    "dynamic_traced": theirs.NETWORKS["dynamic_traced"],
}


def main():
    for name, build in MODULES.items():
        torch.manual_seed(1)
        module, shape = theirs.lived(build()), theirs.image_size(name)
        theirs.exported(module, shape, HERE / f"{name}.onnx")
        outputs = module.double()(torch.tensor(theirs.pictures(shape, 2))).detach().numpy()
        np.savetxt(HERE / f"{name}.csv", outputs, delimiter=",")


if __name__ == "__main__":
    main()

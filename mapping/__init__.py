"""Networks on crossbars: compiling, writing, running and pricing; the only package that knows weights and images.

The folders, lowest first; each imports only those above it in this list:

    files, presentation       files that appear whole; how numbers look
    networks, data, hardware  a trained network; images with labels; chip descriptions
    placement                 a network on tiles: Program
    chips                     a program in cells: Chip
    inference, prices         a chip reads images: RunResult; what a program takes
    workflow, report          compiling, writing, the cache; a run priced: Report
    studies, training         sweeps over chip descriptions; networks fine-tuned through the exact chip
    cli                       the crossgate command

Start with:

    load_model, load_dataset  a network of the zoo and its images
    compile_network           network x chip description -> Program
    write                     Program x seed -> Chip
    run                       Chip x images -> RunResult
    price                     RunResult -> Report
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

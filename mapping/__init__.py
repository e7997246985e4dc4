"""Networks on crossbars: compile, write, run and price. This is the only package that knows weights and images.

The folders, lowest first; each imports only those above it in this list:

    files, presentation       atomic writes, cache, downloads; formats of numbers
    networks, data, hardware  a trained network; images with labels; chip descriptions
    placement                 a network on tiles: Program
    chips                     a program in cells: Chip
    inference, prices         images through a chip: RunResult; energy, latency and area
    workflow, report          compiling, writing, the cache; the priced run: Report
    studies, training         sweeps over chip descriptions; networks fine-tuned for a chip
    building                  tables and netlists to build a chip from; its measured cells
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

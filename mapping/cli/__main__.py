"""`python -m mapping.cli` is the `crossgate` command."""

from mapping.cli.command import main

main()

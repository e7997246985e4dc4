"""Rerun the commands of README and the tutorial, and compare or replace what the pages say they print.

    python -m benchmarks.printed            compare; exit status 1 where a page differs
    python -m benchmarks.printed --write    put what the commands print today into the pages

A block of output is fenced as ```text and follows the ```sh block of its command; all commands of a page run in one
folder, one after another.  Words must agree; numbers may differ by TOLERANCE or by two units of their last digit, since
the last digits of a run depend on the processor.  Lines after a mark such as <!-- not rerun: WHY --> are left alone.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/tutorial_measured_curve.md")
TOLERANCE = 0.05
WIDE = 88  # columns of a block with longer lines than 80: the site shows so many without a scroll bar
NOT_RERUN = "<!-- not rerun:"
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")


class Output(NamedTuple):
    """A block of a page that a command printed."""

    command: str
    start: int  #: first line of the block's text
    stop: int  #: the line behind it
    columns: int  #: how wide the terminal was: the longest line, at least 80


def outputs(text: str) -> list[Output]:
    """Return the blocks of a page that follow a command."""
    found: list[Output] = []
    lines, command, at = text.splitlines(), "", 0
    while at < len(lines):
        fence = re.fullmatch(r"```(\w*).*", lines[at])
        if lines[at].startswith(NOT_RERUN):
            break
        if fence is None:
            at += 1
            continue
        end = next(k for k in range(at + 1, len(lines)) if lines[k].startswith("```"))
        body = lines[at + 1 : end]
        if fence[1] == "sh":
            commands = [line for line in body if "crossgate " in line and not line.startswith("#")]
            command = commands[0] if len(commands) == 1 else ""
        elif fence[1] == "text" and command:
            found.append(Output(command, at + 1, end, WIDE if max(map(len, body)) > 80 else 80))
            command = ""
        at = end + 1
    return found


def printed(command: str, folder: Path, columns: int) -> list[str]:
    """Run a command of a page in a folder and return the lines it prints, refusals included."""
    environment = os.environ | {"COLUMNS": str(columns), "PYTHONPATH": str(ROOT)}
    line = command.removeprefix("pip install -e . && ").replace("crossgate ", f"{sys.executable} -m mapping.cli ", 1)
    done = subprocess.run(line, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S602
    if done.returncode not in (0, 2):
        raise SystemExit(f"{command}: exit status {done.returncode}: {done.stderr}")
    return [each.rstrip() for each in (done.stdout + done.stderr).rstrip().splitlines()]


def differences(page: list[str], run: list[str]) -> list[str]:
    """Say where two outputs differ: in their words, or in numbers by more than is allowed."""
    one, two = (" ".join(re.sub(r"[┏━┳┓┃┡╇┩│└─┴┘├┼┤]", " ", " ".join(lines)).split()) for lines in (page, run))
    if NUMBER.sub("#", one) != NUMBER.sub("#", two):
        return [f"words differ:\n  page: {one}\n  run:  {two}"]
    found = []
    for a, b in zip(NUMBER.findall(one), NUMBER.findall(two), strict=True):
        x, y = (float(each.replace(",", "")) for each in (a, b))
        mantissa = a.partition("e")[0]
        unit = 10.0 ** -len(mantissa.partition(".")[2]) * (abs(x / float(mantissa.replace(",", ""))) if x else 1.0)
        if abs(x - y) > max(TOLERANCE * abs(x), 2.0 * unit) * (1.0 + 1e-9):
            found.append(f"{a} in the page, {b} now")
    return found


def rerun(page: Path, *, write: bool = False) -> list[str]:
    """Run the commands of a page; return what differs, and with `write` replace it."""
    text = page.read_text(encoding="utf-8")
    lines, found = text.splitlines(), []
    fresh: list[tuple[Output, list[str]]] = []
    with tempfile.TemporaryDirectory() as folder:
        if (ROOT / "docs" / "data").is_dir():
            shutil.copytree(ROOT / "docs" / "data", Path(folder) / "docs" / "data")
        for block in outputs(text):
            run = printed(block.command, Path(folder), block.columns)
            fresh.append((block, run))
            found += [
                f"{page.name}: {block.command}: {each}" for each in differences(lines[block.start : block.stop], run)
            ]
    if write:
        for block, run in reversed(fresh):
            lines[block.start : block.stop] = run
        page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return found


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="replace what differs")
    options = parser.parse_args()
    found = [each for page in PAGES for each in rerun(ROOT / page, write=options.write)]
    print("\n".join(found) or "every output is that of a run")
    raise SystemExit(bool(found) and not options.write)


if __name__ == "__main__":
    main()

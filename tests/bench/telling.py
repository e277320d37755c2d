"""How benchmarks begin and end: where and by whom they are run, and a line for each figure."""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any

Row = tuple[str, str, str]
"""What was measured, the figure, and what it must reach."""


def options(description: str) -> argparse.ArgumentParser:
    """Those of every benchmark that tells its figures by `tell`; ends the program for whoever is not root."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    if os.geteuid() != 0:
        parser.exit(1, "needs root: makes namespaces and loads BPF programs\n")
    return parser


def machine() -> str:
    """Kernel, processor and cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")] or ["processor"]
    return f"Linux {os.uname().release}, {os.cpu_count()} x {models[0]}"


def spread(values: list[float]) -> str:
    return f"median {statistics.median(values):.4g}, worst of {len(values)} {max(values):.4g}" if values else "none"


def tell(figures: dict[str, Any], rows: list[Row], *, as_json: bool) -> None:
    """figures: the fields of `--json`, `machine` among them."""
    print(figures["machine"])
    for what, figure, wanted in rows:
        print(f"{what:<52} {figure:<40} {wanted}")
    if as_json:
        print(json.dumps(figures))

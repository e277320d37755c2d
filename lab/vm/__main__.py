"""A farm of two Debian machines under QEMU, tried from the first step to an upgrade: sudo ./lab/vm/run

Software emulation is the default, since hardware virtualisation is often not to be had inside of a virtual machine.
Exit status 1 if the farm misbehaved.
"""

from __future__ import annotations

import argparse
import sys
import time

from rich.console import Console

from lab.showing import judge, showing
from lab.vm.image import cached
from lab.vm.network import VirtualFarm
from lab.vm.scenes import Scenes, as_json


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("vm", description="Try the product on two Debian machines under QEMU.")
    parser.add_argument("--name", default="vm", help="the lab's name; labs of different names run side by side")
    parser.add_argument("--accel", default="tcg,thread=multi", help="QEMU's accelerator (default: tcg; or kvm)")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    return parser.parse_args()


def main() -> int:
    """Runs all scenes; the exit status."""
    arguments = _arguments()
    console = Console(stderr=arguments.json)
    start = time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - start:6.0f} s  {text}", highlight=False, markup=False, soft_wrap=True)

    with showing("vm", console):
        image = cached(say)
        say("Booting two machines.")
        with VirtualFarm(arguments.name, 2, image, arguments.accel) as farm:
            outcome = Scenes(farm, say).run()
    faults = outcome.faults()
    status = judge("farm", faults, console)
    say("All is as it should be." if not faults else f"{len(faults)} things are not as they should be.")
    if arguments.json:
        print(as_json(outcome))
    return status


if __name__ == "__main__":
    sys.exit(main())

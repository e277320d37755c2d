"""A farm of two Debian machines under QEMU, tried from the first step to an upgrade: sudo ./lab/vm/run

With --mirror it is a mirror with a PostgreSQL, and with --tests PATH ... one machine, in which tests of the checkout
are run. Software emulation is the default, since hardware virtualisation is often not to be had inside of a virtual
machine. Exit status 1 if the farm or mirror misbehaved, or tests failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

from rich.console import Console

from lab.showing import judge, showing
from lab.vm import mirror_scenes, scenes, testing
from lab.vm.image import Image, cached
from lab.vm.network import VirtualLab


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("vm", description="Try the product on two Debian machines under QEMU.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--mirror", action="store_true", help="a mirror instead of a farm")
    tests_help = "last: arguments of pytest, for tests that need no lab, such as tests/mirror"
    what.add_argument("--tests", nargs=argparse.REMAINDER, metavar="ARGUMENT", help=tests_help)
    alias_help = "with --mirror: an address announced by ARP; no filter is compiled, minutes of an emulated processor"
    parser.add_argument("--alias", action="store_true", help=alias_help)
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

    with showing("vm", console), cached(say) as image:
        if arguments.tests:
            return testing.run(arguments.name, image, arguments.accel, arguments.tests, say)
        outcome = _played(arguments, image, say)
    faults = outcome.faults()
    status = judge("mirror" if arguments.mirror else "farm", faults, console)
    say("All is as it should be." if not faults else f"{len(faults)} things are not as they should be.")
    if arguments.json:
        print(json.dumps(asdict(outcome) | {"faults": faults}))
    return status


def _played(
    arguments: argparse.Namespace, image: Image, say: Callable[[str], None]
) -> scenes.Outcome | mirror_scenes.Outcome:
    say("Booting two machines.")
    networks = 2 if arguments.mirror else 1
    with VirtualLab(arguments.name, 2, image, arguments.accel, networks) as lab:
        if arguments.mirror:
            return mirror_scenes.Scenes(lab, say, alias=arguments.alias).run()
        return scenes.Scenes(lab, say).run()


if __name__ == "__main__":
    sys.exit(main())

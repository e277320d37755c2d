"""farmctl: the one command line. Its verbs are in farmd.commands."""

from __future__ import annotations

import argparse
import json
import os
import sys

from farmd.commands import first_steps, look, mirrors, services, steer, top
from farmd.commands.asking import Run, Verbs
from farmd.errors import FarmError


def main() -> None:
    """The command `farmctl`."""
    arguments = _parser().parse_args()
    try:
        run: Run = arguments.run
        sys.exit(run(arguments))
    except FarmError as error:
        if arguments.json:
            print(json.dumps({"ok": False, "error": str(error)}))
        sys.exit(f"farmctl: {error}")
    except BrokenPipeError:  # `farmctl status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    what = "Look at farms and mirrors and steer them, from any of their nodes."
    parser = argparse.ArgumentParser("farmctl", description=what)
    verbs = Verbs(parser)
    for kind in (look, top, steer, mirrors, services, first_steps):
        kind.add(verbs)
    return parser


if __name__ == "__main__":
    main()

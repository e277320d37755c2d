"""Verbs for a machine on which no farm runs yet."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from farmd.commands.asking import Verbs


def add(verbs: Verbs) -> None:
    check = verbs.verb("check-config", _check_config, "whether a configuration is right; touches nothing")
    check.add_argument("file", type=Path)
    check.add_argument("--here", action="store_true", help="and fits this machine: it is a node, the interface exists")


def _check_config(arguments: argparse.Namespace) -> int:
    from farmd.config_file import load

    config = load(arguments.file)
    vmac = config.farm.vmac.hex(":")
    answer = {"ok": True, "farm": config.farm.name, "nodes": len(config.nodes), "vmac": vmac}
    text = f"{arguments.file}: right. Farm {config.farm.name}, {len(config.nodes)} nodes, virtual MAC {vmac}."
    if arguments.here:
        from farmd import identity, links

        links.interface_mac(config.farm.interface)
        answer["node"] = identity.find_node(config, None).name
        text += f" This machine is {answer['node']}."
    print(json.dumps(answer) if arguments.json else text)
    return 0

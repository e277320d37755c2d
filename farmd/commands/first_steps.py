"""Verbs for a machine on which no farm runs yet."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farmd.commands.asking import Verbs
from farmd.errors import ConfigError, MachineError

if TYPE_CHECKING:
    from farmd.setup.draft import Draft
    from farmd.setup.mirror_draft import MirrorDraft


def add(verbs: Verbs) -> None:
    setup = verbs.verb("setup", _setup, "make this machine ready: user and group, /etc/farmd, systemd units, farmctl")
    setup.add_argument("--with-commands", action="store_true", help="for services that are commands or OCF agents: "
                       "they are children of farmd, so its unit gives up what restricts it")  # fmt: skip
    setup.add_argument("--dry-run", action="store_true", help="only say what would be done")
    setup.add_argument("--remove", action="store_true", help="stop every farm and mirror here and undo it all")
    keygen = verbs.verb("keygen", _keygen, "a new secret for a farm or mirror")
    keygen.add_argument("file", type=Path, nargs="?", help="where to, with mode 0600 (default: standard output)")
    keygen.add_argument("--force", action="store_true", help="replace a file that is there")
    _add_init(verbs)
    check = verbs.verb("check-config", _check_config, "whether a configuration is right; touches nothing")
    check.add_argument("file", type=Path)
    check.add_argument("--here", action="store_true", help="and fits this machine: it is a node, the interface exists")


def _add_init(verbs: Verbs) -> None:
    init = verbs.verb("init", _init, "write a first configuration, and a key; asks for what the flags do not say")
    init.add_argument("--mirror", action="store_true", help="a mirror of two nodes instead of a farm")
    init.add_argument("--name", help="its name (default: web; of a mirror: db)")
    init.add_argument("--directory", action="append", metavar="FOLDER", help="mirror: what is replicated; "
                      "once for each")  # fmt: skip
    init.add_argument("--vip", action="append", help="a virtual address; once for each")
    init.add_argument("--interface", help="where clients come in (default: that of the default route)")
    init.add_argument("--node", action="append", metavar="NAME=ADDR[,ADDR]", help="a node and its addresses, "
                      "one for each heartbeat network; once for each")  # fmt: skip
    init.add_argument("--witness", action="append", metavar="ADDR", help="mirror: an address outside of it that "
                      "answers pings (default: the router's; -: none)")  # fmt: skip
    init.add_argument("--key", metavar="FILE", help="its key, made if it is not there "
                      "(default: /etc/farmd/NAME.key)")  # fmt: skip
    init.add_argument("--service", action="append", metavar="KIND=VALUE", help="such as unit=nginx.service")
    init.add_argument("--check", action="append", metavar="KIND=VALUE", help="such as http=http://127.0.0.1/")
    init.add_argument("--output", metavar="FILE", help="where to (default: /etc/farmd/NAME.toml; -: standard output)")
    init.add_argument("--force", action="store_true", help="replace a configuration that is there")


def _setup(arguments: argparse.Namespace) -> int:
    from farmd.setup import plan, systemd

    systemd.require(root=not arguments.dry_run)
    wanted = plan.plan(Path(sys.argv[0]).resolve().parent, with_commands=arguments.with_commands)
    if arguments.remove and not arguments.dry_run:
        systemd.stop_units()
    take = plan.remove if arguments.remove else plan.apply
    done = {}
    for step, outcome in take(wanted, dry_run=arguments.dry_run):
        done[str(step)] = outcome
        if not arguments.json:
            print(f"{step}: {outcome}")
    if not arguments.dry_run:
        systemd.reload_units()
    following = [] if arguments.remove else _after_setup()
    _tell(arguments, {"dry_run": arguments.dry_run, "steps": done, "next": following}, "")
    return 0


def _after_setup() -> list[str]:
    """What is left to do on a machine that has no farm yet."""
    from farmd.setup.steps import CONFIGURATION

    try:
        found = any(path.name != "health.toml" for path in CONFIGURATION.glob("*.toml"))
    except PermissionError:  # a dry run by somebody who may not look
        return []
    return [] if found else ["farmctl init    # or init --mirror; on one node: copy what it writes to the others"]


def _keygen(arguments: argparse.Namespace) -> int:
    from farmd.setup import files

    key = files.new_key()
    if arguments.file is None:
        print(json.dumps({"ok": True, "key": key}) if arguments.json else key)
        return 0
    _write(arguments.file, key + "\n", mode=0o600, force=arguments.force)
    _tell(arguments, {"file": str(arguments.file)}, f"{arguments.file}: a new key. It must be the same on every node.")
    return 0


def _init(arguments: argparse.Namespace) -> int:
    from farmd.setup import files, here, interview

    if not arguments.mirror and (arguments.directory or arguments.witness):
        raise ConfigError("init", "--directory and --witness are a mirror's; a farm has none (--mirror)")
    given = interview.Given(
        arguments.name,
        _optional(arguments.vip),
        arguments.interface,
        arguments.key and os.path.abspath(arguments.key),
        _optional(arguments.node),
        _optional(arguments.service),
        _optional(arguments.check),
        _optional(arguments.directory),
        _optional(arguments.witness),
    )
    draft_of = interview.mirror if arguments.mirror else interview.farm
    draft = draft_of(given, here.proposals(), _ask if sys.stdin.isatty() else None)
    if arguments.output == "-":
        print(json.dumps({"ok": True, "text": draft.text()}) if arguments.json else draft.text(), end="")
        return 0
    path = Path(os.path.abspath(arguments.output or f"/etc/farmd/{draft.name}.toml"))
    key = Path(draft.key)
    _refuse_to_replace(path, force=arguments.force)
    fresh = not key.exists()
    if fresh:
        _write(key, files.new_key() + "\n", mode=0o600, force=False)
    _write(path, draft.text(), mode=0o644, force=arguments.force)
    answer = {"file": str(path), "key": str(key), "key_is_new": fresh, "next": _after_init(draft, path)}
    _tell(arguments, answer, f"{path}: the configuration.\n{key}: {'a new key' if fresh else 'the key'}.")
    return 0


def _after_init(draft: Draft | MirrorDraft, path: Path) -> list[str]:
    """What is left to do once the configuration is written."""
    from farmd import links

    own = set(map(str, links.own_addresses()))
    others = [node.name for node in draft.nodes if own.isdisjoint(node.addresses)]
    copies = [f"{shlex.join(['scp', '-p', str(path), draft.key])} {name}:{path.parent}/" for name in others]
    check = shlex.join(["farmctl", "check-config", "--here", str(path)])
    start = f"systemctl enable --now {draft.unit} farm-health"
    return [*copies, f"{check}    # on every node", f"{start}    # on every node", *draft.at_last]


def _optional(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _ask(question: str) -> str:
    """Asked on standard error, since standard output may be where the configuration goes."""
    print(question, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        print(file=sys.stderr)
        raise MachineError("init has ended before all was answered; nothing is written")
    return line


def _write(path: Path, text: str, *, mode: int, force: bool) -> None:
    from farmd.setup import files

    _refuse_to_replace(path, force=force)
    files.write(path, text, mode=mode, replace=force)


def _refuse_to_replace(path: Path, *, force: bool) -> None:
    if path.exists() and not force:
        raise MachineError(f"{path} is there already; --force replaces it")


def _tell(arguments: argparse.Namespace, answer: dict[str, Any], text: str) -> None:
    """The answer as JSON, or the text and what comes next."""
    if arguments.json:
        print(json.dumps({"ok": True, **answer}))
        return
    if text:
        print(text)
    if answer.get("next"):
        print("\nNext:", *answer["next"], sep="\n  ")


def _check_config(arguments: argparse.Namespace) -> int:
    from farmd.config_file import load
    from farmd.kit import toml

    tables = toml.parse(arguments.file)
    if "farm" not in tables and "mirror" not in tables:
        raise ConfigError(str(arguments.file), "has neither a [farm] nor a [mirror]")
    if "mirror" in tables:
        from mirrord import checking

        answer, text = checking.check(arguments.file, here=arguments.here)
        print(json.dumps(answer) if arguments.json else text)
        return 0
    config = load(arguments.file)
    vmac = config.farm.vmac.hex(":")
    answer = {"ok": True, "farm": config.farm.name, "nodes": len(config.nodes), "vmac": vmac}
    text = f"{arguments.file}: right. Farm {config.farm.name}, {len(config.nodes)} nodes, virtual MAC {vmac}."
    if arguments.here:
        from farmd import identity, links
        from farmd.supervision import machine

        links.interface_mac(config.farm.interface)
        machine.check(config.services, config.checks)
        answer["node"] = identity.find_node(config.nodes, None).name
        text += f" This machine is {answer['node']}."
    print(json.dumps(answer) if arguments.json else text)
    return 0

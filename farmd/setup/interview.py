"""From flags and a person's answers to a draft; an answer that is wrong is asked for again, with the reason."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from farmd.errors import ConfigError, MachineError
from farmd.setup.draft import Draft
from farmd.setup.mirror_draft import MirrorDraft
from farmd.setup.tables import CHECK_KINDS, NodeDraft, Watched

T = TypeVar("T")
D = TypeVar("D", Draft, MirrorDraft)

Ask = Callable[[str], str]
"""Shows a question and returns the answer, a line."""

_END = ("", "-")

_ONE = NodeDraft("n1", ("198.18.0.2",))
_FARM = Draft("web", ("198.18.0.1",), "eth0", "/etc/farmd/web.key", (_ONE,))
_OTHER = NodeDraft("n2", ("198.18.0.3",))
_MIRROR = MirrorDraft("db", ("/srv/db",), (), "", (), "/etc/farmd/db.key", (_ONE, _OTHER))
"""These stand for what is not known yet while an answer is checked; the addresses are nobody's (RFC 2544)."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says; None: nothing."""

    name: str | None = None
    vips: tuple[str, ...] | None = None
    interface: str | None = None
    key: str | None = None
    nodes: tuple[str, ...] | None = None
    services: tuple[str, ...] | None = None
    checks: tuple[str, ...] | None = None
    directories: tuple[str, ...] | None = None
    """A mirror's; a farm has none."""
    witness: tuple[str, ...] | None = None
    """A mirror's, likewise."""


@dataclass(frozen=True, slots=True)
class Proposals:
    """What is most likely right on this machine; empty: nothing."""

    interface: str
    """The one of the default route."""
    router: str
    """Its gateway."""
    node: str
    """NAME=ADDR of this machine."""
    service: str
    """A web server that is installed."""
    check: str
    """Whether it answers."""


def farm(given: Given, here: Proposals, ask: Ask | None) -> Draft:
    """A farm's. ask: None where nobody can be asked. Raises ConfigError for a wrong flag, MachineError when a needed
    one is missing and nobody can be asked.
    """
    needed = {"--vip": given.vips, "--node": given.nodes, "--interface": given.interface or here.interface}
    asked = _Interview(_FARM, _if_needed(ask, needed))
    asked.one("name", given.name, "Name of the farm", "web", str)
    asked.one("interface", given.interface, "Interface that clients come in by", here.interface, str)
    asked.one("vips", given.vips, "Virtual addresses that clients will use, with commas between", "", _listed)
    asked.many("nodes", given.nodes, NodeDraft.parse, "Node {}, NAME=ADDRESS", here.node, least=1)
    _ask_the_rest(asked, given, "farm", here.service, here.check)
    return asked.draft


def mirror(given: Given, here: Proposals, ask: Ask | None) -> MirrorDraft:
    """A mirror's, likewise."""
    needed = {"--directory": given.directories, "--node": given.nodes}
    asked = _Interview(_MIRROR, _if_needed(ask, needed))
    asked.one("name", given.name, "Name of the mirror", "db", str)
    asked.one("directories", given.directories, "Folders to replicate, with commas between", "", _listed)
    asked.one("interface", given.interface, "Interface that clients come in by", here.interface, str)
    question = "Virtual addresses that clients will use, with commas between (empty: none)"
    asked.one("vips", given.vips, question, "", _listed)
    asked.many("nodes", given.nodes, NodeDraft.parse, "Node {}, NAME=ADDRESS", here.node, least=2, most=2)
    question = "Witness, an address outside of the mirror that answers pings (- for none)"
    witness = None if given.witness is None else _listed(",".join(given.witness))
    asked.one("witness", witness, question, here.router, _listed)
    _ask_the_rest(asked, given, "mirror", "", "")
    asked.draft.check()
    return asked.draft


def _ask_the_rest(asked: _Interview[D], given: Given, kind: str, service: str, check: str) -> None:
    key = f"/etc/farmd/{asked.draft.name}.key"
    asked.one("key", given.key, f"File with the {kind}'s key, made if it is not there", key, os.path.abspath)
    asked.many("services", given.services, Watched.service, "Service {}, unit=NAME or ocf=AGENT", service)
    kinds = ", ".join(CHECK_KINDS)
    asked.many("checks", given.checks, Watched.check, f"Check {{}}, KIND=VALUE, one of {kinds}", check)


def _if_needed(ask: Ask | None, needed: dict[str, Any]) -> Ask | None:
    """Who says all that is needed is not asked about the rest."""
    missing = [flag for flag, value in needed.items() if not value]
    if missing and ask is None:
        raise MachineError(f"there is no terminal to ask on; init needs {' and '.join(missing)}")
    return ask if missing else None


class _Interview(Generic[D]):
    """One run of init."""

    def __init__(self, draft: D, ask: Ask | None) -> None:
        """ask: None where nobody is to be asked; then proposals count."""
        self.draft: D = draft
        self._ask = ask

    def one(self, part: str, given: object, question: str, proposal: str, parse: Callable[[str], object]) -> None:
        """A part that is one answer."""
        if given is not None:
            self.draft = self.draft.with_answer(**{part: given})
        elif self._ask is None:
            self.draft = self.draft.with_answer(**{part: parse(proposal)})
        else:
            self._answer(part, parse, _prompt(question, proposal), proposal)

    def many(
        self,
        part: str,
        given: tuple[str, ...] | None,
        parse: Callable[[str], object],
        question: str,
        proposal: str,
        least: int = 0,
        most: int | None = None,
    ) -> None:
        """From `least` to `most` answers; what is proposed is the first of them."""
        if given is not None or self._ask is None:
            self.draft = self.draft.with_answer(**{part: tuple(map(parse, given or ()))})
            return
        found: tuple[object, ...] = ()
        while most is None or len(found) < most:
            offered = "" if found else proposal
            end = "" if len(found) < least else " (- for none)" if offered else " (empty: no more)"

            def more(text: str, found: tuple[object, ...] = found) -> tuple[object, ...]:
                return found if text in _END and len(found) >= least else (*found, parse(text))

            answered = self._answer(part, more, _prompt(question.format(len(found) + 1) + end, offered), offered)
            if answered == found:
                return
            found = answered

    def _answer(self, part: str, parse: Callable[[str], T], prompt: str, proposal: str) -> T:
        """Ask until the answer makes a draft that is right."""
        assert self._ask is not None
        complaint = ""
        while True:
            try:
                answer = parse(self._ask(complaint + prompt).strip() or proposal)
                self.draft = self.draft.with_answer(**{part: answer})
                return answer
            except ConfigError as error:
                complaint = f"  {error.sentence}\n"


def _prompt(question: str, proposal: str) -> str:
    return f"{question} [{proposal}]: " if proposal else f"{question}: "


def _listed(text: str) -> tuple[str, ...]:
    """What is between commas; nothing for the answer that means so."""
    return () if text in _END else tuple(part.strip() for part in text.split(","))

"""From flags and a person's answers to a draft; an answer that is wrong is asked for again, with the reason."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from farmd.errors import ConfigError, MachineError
from farmd.setup.draft import CHECK_KINDS, Draft, NodeDraft, Watched

T = TypeVar("T")

Ask = Callable[[str], str]
"""Shows a question and returns the answer, a line."""

_END = ("", "-")

_PLACEHOLDER = Draft("web", ("198.18.0.1",), "eth0", "/etc/farmd/web.key", (NodeDraft("n1", ("198.18.0.2",)),))
"""Stands for what is not known yet while an answer is checked; the addresses are nobody's (RFC 2544)."""


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


@dataclass(frozen=True, slots=True)
class Proposals:
    """What is most likely right on this machine; empty: nothing."""

    interface: str
    """The one of the default route."""
    node: str
    """NAME=ADDR of this machine."""
    service: str
    """A web server that is installed."""
    check: str
    """Whether it answers."""


class Interview:
    """One run of init."""

    def __init__(self, given: Given, proposals: Proposals, ask: Ask | None) -> None:
        """ask: None where nobody can be asked."""
        self._given = given
        self._proposals = proposals
        self._missing = _missing(given, proposals)
        self._ask = ask if self._missing else None  # who says all that is needed is not asked about the rest
        self._draft = _PLACEHOLDER

    def draft(self) -> Draft:
        """Raises ConfigError for a wrong flag, MachineError when a needed one is missing and nobody can be asked."""
        if self._missing and self._ask is None:
            raise MachineError(f"there is no terminal to ask on; init needs {' and '.join(self._missing)}")
        given, here = self._given, self._proposals
        self._one("name", given.name, "Name of the farm", "web", str)
        self._one("interface", given.interface, "Interface that clients come in by", here.interface, str)
        self._one("vips", given.vips, "Virtual addresses that clients will use, with commas between", "", _addresses)
        self._many("nodes", given.nodes, NodeDraft.parse, "Node {}, NAME=ADDRESS", here.node, least=1)
        key = f"/etc/farmd/{self._draft.name}.key"
        self._one("key", given.key, "File with the farm's key, made if it is not there", key, os.path.abspath)
        self._many("services", given.services, Watched.service, "Service {}, unit=NAME or ocf=AGENT", here.service)
        kinds = ", ".join(CHECK_KINDS)
        self._many("checks", given.checks, Watched.check, f"Check {{}}, KIND=VALUE, one of {kinds}", here.check)
        return self._draft

    def _one(self, part: str, given: object, question: str, proposal: str, parse: Callable[[str], object]) -> None:
        if given is not None:
            self._draft = self._draft.with_answer(**{part: given})
        elif self._ask is None:
            self._draft = self._draft.with_answer(**{part: parse(proposal)})
        else:
            self._answer(part, parse, _prompt(question, proposal), proposal)

    def _many(
        self,
        part: str,
        given: tuple[str, ...] | None,
        parse: Callable[[str], object],
        question: str,
        proposal: str,
        least: int = 0,
    ) -> None:
        """Any number of answers, from `least` up; what is proposed is the first of them."""
        if given is not None or self._ask is None:
            self._draft = self._draft.with_answer(**{part: tuple(map(parse, given or ()))})
            return
        found: tuple[object, ...] = ()
        self._draft = dataclasses.replace(self._draft, **{part: found})  # type: ignore[arg-type]
        while True:
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
                self._draft = self._draft.with_answer(**{part: answer})
                return answer
            except ConfigError as error:
                complaint = f"  {error.sentence}\n"


def _prompt(question: str, proposal: str) -> str:
    return f"{question} [{proposal}]: " if proposal else f"{question}: "


def _missing(given: Given, proposals: Proposals) -> list[str]:
    needed = {"--vip": given.vips, "--node": given.nodes, "--interface": given.interface or proposals.interface}
    return [flag for flag, value in needed.items() if not value]


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(address.strip() for address in text.split(","))

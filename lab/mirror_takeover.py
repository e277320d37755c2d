"""How long an application's clients waited while another node took over, and for what: by the nodes' events, and by
the log of PostgreSQL, if it is that."""

from __future__ import annotations

from dataclasses import dataclass

from lab import mirror_postgresql
from lab.errors import LabError
from lab.mirror import MirrorLab

ON_ITS_WAY_S = 0.2
"""A confirmation that was sent before may come so much later."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """One of them, in seconds."""

    total_s: float
    """From what was done until a client was served."""
    suspicion_s: float
    """Of it, the silence after which the node that served counts as gone."""
    ended_s: float
    """Of it, PostgreSQL's own shutdown; other applications' is not known, and part of the rest."""
    started_s: float
    """Of it, the application's own start; after a crash with its recovery."""

    @property
    def own_s(self) -> float:
        """The rest: what mirrord needed itself, and clients to connect anew."""
        return max(0.0, self.total_s - self.suspicion_s - self.ended_s - self.started_s)


def measured(
    lab: MirrorLab, gave: str, took: str, began_s: float, total_s: float, service: str = "postgresql"
) -> Takeover:
    """What `total_s` from `began_s` (Unix time) on consisted of. `gave`, `took`: the node that served, and that serves;
    they may be one. LabError if the application was not started."""
    events = lab.farmctl(took, "events", "--last", "200")["events"]
    later = [event for event in events if event["time"] >= began_s]

    def told(text: str) -> float | None:
        return next((float(event["time"]) for event in later if text in event["text"]), None)

    silent, started, runs = (told(text) for text in (f"{gave} is silent", f"{service} is started", f"{service} runs"))
    if started is None or runs is None:
        raise LabError(f"{took} does not tell that it started {service}: {[event['text'] for event in later]}")
    return Takeover(
        total_s=total_s,
        suspicion_s=silent - began_s if silent is not None and silent < started else 0.0,
        ended_s=mirror_postgresql.shutdown_s(lab, gave, began_s) if lab.powered(gave) else 0.0,
        started_s=runs - started,
    )

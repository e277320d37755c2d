"""The files that systemd gets: templates beside this module, in which @NAME@ stands for a value."""

from __future__ import annotations

from pathlib import Path

CAPABILITIES = (
    "CAP_NET_ADMIN",  # the filter on the interface, the VIP, the vmac, arp_ignore
    "CAP_BPF",  # the filter's maps and programs
    "CAP_PERFMON",  # bcc's code spills pointers, which the verifier lets nobody else do
    "CAP_NET_RAW",  # witnesses and checks that are pinged
    "CAP_SYS_NICE",  # real-time priority
)
"""The least that farmd works with, found by taking away one after the other (Linux 6.1, lab/vm)."""


def rendered(name: str, folder: Path) -> str:
    """The unit file of this name; `folder` is where the product's commands are."""
    text = (Path(__file__).parent / name).read_text()
    values = {"BIN": str(folder), "CAPABILITIES": " ".join(CAPABILITIES)}
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text

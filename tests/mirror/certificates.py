"""Certificates for the replication stream, by authorities of the tests' own."""

from __future__ import annotations

import subprocess
from pathlib import Path


def certificate(folder: Path, node: str, signer: str = "ca") -> dict[str, str]:
    """What the node has for `tls`: its certificate by this authority, its key, and the authority that it trusts, `ca`.
    They are files in the folder."""
    for authority in {"ca", signer}:
        if not (folder / f"{authority}.pem").exists():
            subject = f"-subj /CN={authority} -keyout {authority}.key -out {authority}.pem"
            _openssl(f"req -x509 -newkey ed25519 -nodes -days 2 {subject}", folder)
    _openssl(f"req -newkey ed25519 -nodes -subj /CN={node} -keyout {node}.key -out {node}.csr", folder)
    _openssl(f"x509 -req -in {node}.csr -CA {signer}.pem -CAkey {signer}.key -days 2 -out {node}.pem", folder)
    files = {"certificate": f"{node}.pem", "key": f"{node}.key", "ca": "ca.pem"}
    return {name: str(folder / file) for name, file in files.items()}


def _openssl(command: str, folder: Path) -> None:
    subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)

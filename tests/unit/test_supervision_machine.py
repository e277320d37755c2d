"""Whether services and checks fit this machine, on this very machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from farmd.errors import ConfigError
from farmd.supervision import cgroup, machine, ocf, systemd
from farmd.supervision.schema import Check, Service

AGENTS = pytest.mark.skipif(not ocf.agent("heartbeat:Dummy").exists(), reason="needs the package resource-agents")


def fault(*services: Service, checks: tuple[Check, ...] = ()) -> tuple[str, str]:
    with pytest.raises(ConfigError) as caught:
        machine.check(services, checks)
    return caught.value.key, caught.value.sentence


def command(start: str = "true", stop: str = "true", status: str = "true") -> Service:
    return Service(start=start, stop=stop, status=status)


def test_what_is_there_fits() -> None:
    machine.check([command("/bin/sleep 1", "sh -c 'exit 0'")], [Check("c", exec="true"), Check("d", tcp="nowhere:1")])


def test_a_command_that_is_none(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch(mode=0o644)
    assert fault(command(), command("no-such-command -x")) == (
        "service[1].start", "there is no command no-such-command on this machine")  # fmt: skip
    assert fault(command(stop="/no/such/file")) == (
        "service[0].stop", "there is no command /no/such/file on this machine")  # fmt: skip
    assert fault(command(status=f"{plain} -x")) == ("service[0].status", f"{plain} is not executable")
    assert fault(checks=(Check("c", exec="true"), Check("d", exec="/tmp"))) == ("check[1].exec", "/tmp is a folder")


def test_a_service_whose_processes_cannot_be_known_needs_a_status_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "own", lambda: None)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    machine.check([command()], [])
    assert fault(command(status="")) == (
        "service[0].status",
        "is needed here: without a cgroup v2 to write to, nobody can tell whether it lives",
    )


@pytest.mark.skipif(systemd.runs(), reason="systemd runs here")
def test_a_unit_where_no_systemd_runs() -> None:
    assert fault(Service(unit="nginx.service")) == ("service[0].unit", "systemd does not run on this machine")


def test_an_agent_that_is_not_there() -> None:
    assert fault(Service(ocf="heartbeat:Nonsense")) == (
        "service[0].ocf",
        "there is no agent heartbeat:Nonsense on this machine (/usr/lib/ocf/resource.d/heartbeat/Nonsense); "
        "Debian's are in resource-agents",
    )


@AGENTS
def test_parameters_of_an_agent() -> None:
    machine.check([Service(ocf="heartbeat:Dummy", params={"state": "/run/x"})], [])
    assert fault(Service(ocf="heartbeat:Dummy", params={"sate": "/run/x"})) == (
        "service[0].params.sate", "is no parameter of heartbeat:Dummy; it has state, fake")  # fmt: skip
    assert fault(Service(ocf="heartbeat:anything")) == (
        "service[0].params.binfile", "is missing; heartbeat:anything needs it")  # fmt: skip


def agents(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str, mode: int = 0o755) -> Service:
    """An agent that is this script."""
    monkeypatch.setattr(ocf, "ROOT", folder)
    path = folder / "resource.d/own/agent"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(mode)
    return Service(ocf="own:agent")


@pytest.mark.parametrize(
    ("script", "mode", "sentence"),
    [
        ("exit 5", 0o755, "own:agent cannot describe itself: something that it needs is not installed here "
                          "(OCF_ERR_INSTALLED)"),
        ("exit 77", 0o755, "own:agent cannot describe itself: exit code 77"),
        ("echo '<a>'", 0o755, "own:agent describes itself in XML that is not right: "
                             "no element found: line 2, column 0"),
        ("", 0o644, "ROOT/resource.d/own/agent is not executable"),
    ],
)  # fmt: skip
def test_an_agent_that_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, mode: int, sentence: str
) -> None:
    service = agents(tmp_path, monkeypatch, script, mode)
    assert fault(service) == ("service[0].ocf", sentence.replace("ROOT", str(tmp_path)))


def test_an_agent_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocf, "META_TIMEOUT_S", 0.2)
    service = agents(tmp_path, monkeypatch, "exec sleep 978")
    assert fault(service) == ("service[0].ocf", "own:agent does not describe itself within 0.2 s")

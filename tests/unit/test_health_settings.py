"""The settings of farm-health, and the command's refusals."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from farmd.errors import ConfigError
from healthcheck import settings
from healthcheck.settings import Agent, Metrics, Settings, Tls


def load(folder: Path, text: str) -> Settings:
    path = folder / "health.toml"
    path.write_text(text)
    return settings.load(path)


def test_nothing_need_be_set(tmp_path: Path) -> None:
    assert load(tmp_path, "") == Settings()
    assert [key for key, _, _ in settings.ports(Settings())] == ["port"]


def test_everything_can_be_set(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        """
port = 80
addresses = ["10.0.0.1", "fd00::1"]
farms = ["web"]
drain_status = 404
detail = true
[tls]
certificate = "/c.pem"
key = "/k.pem"
[[agent]]
port = 5481
[[agent]]
port = 5483
farm = "web"
[metrics]
port = 5482
addresses = ["127.0.0.1"]
""",
    )
    assert (found.port, found.farms, found.drain_status, found.detail) == (80, ("web",), 404, True)
    assert found.tls == Tls("/c.pem", "/k.pem")
    assert found.agents == (Agent(5481), Agent(5483, "web"))
    assert [(key, port, len(addresses)) for key, port, addresses in settings.ports(found)] == [
        ("port", 80, 2), ("agent[0].port", 5481, 2), ("agent[1].port", 5483, 2), ("metrics.port", 5482, 1),
    ]  # fmt: skip


def test_metrics_listen_where_the_page_does(tmp_path: Path) -> None:
    found = load(tmp_path, 'addresses = ["127.0.0.1"]\n[metrics]\nport = 1\n')
    assert found.metrics == Metrics(1)
    assert {addresses for _, _, addresses in settings.ports(found)} == {found.addresses}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("port = 0", "port: must be 1 to 65535, not 0"),
        ("port = 65536", "port: must be 1 to 65535"),
        ('port = "5480"', "port: must be an integer"),
        ("prot = 1", "prot: is not a known key; did you mean port?"),
        ("drain_status = 200", "drain_status: must be 503 or 404, not 200"),
        ("[[agent]]", "agent[0].port: is missing"),
        ("[[agent]]\nport = 5480", "agent[0].port: 5480 is taken by port"),
        ("[[agent]]\nport = 7\n[[agent]]\nport = 7", "agent[1].port: 7 is taken by agent[0].port"),
        ("[metrics]\nport = 5480", "metrics.port: 5480 is taken by port"),
        ("[metrics]\nport = -1", "metrics.port: must be 1 to 65535"),
        ('[metrics]\naddresses = ["::1"]', "metrics.addresses: make no sense without metrics.port"),
        ('[tls]\nkey = "x"', "tls: must have both"),
        ('addresses = ["eth0"]', "addresses[0]: must be an IPv4 or IPv6 address"),
    ],
)
def test_a_mistake_is_named_by_its_key(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(sentence)


def run(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "health.toml").write_text(text)
    command = [sys.executable, "-m", "healthcheck.program", "--config", str(folder / "health.toml"), *arguments]
    environment = os.environ | {"FARMD_RUN": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=environment)


def test_settings_can_be_checked_without_being_used(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = f'addresses = ["127.0.0.1"]\nport = {taken.getsockname()[1]}\n'
        done = run(tmp_path, text, "--check-config")
        assert (done.returncode, done.stdout, done.stderr) == (0, "the settings are right\n", "")
    done = run(tmp_path, "port = 0", "--check-config")
    assert (done.returncode, done.stderr) == (1, "farm-health: port: must be 1 to 65535, not 0\n")


def test_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(tmp_path, f'addresses = ["127.0.0.1"]\n[metrics]\nport = {port}\n[[agent]]\nport = 1\n')
        first = run(tmp_path, f'addresses = ["127.0.0.1"]\nport = {port}\n')
    assert (first.returncode, first.stderr) == (1, f"farm-health: port: another program listens at {port} already\n")
    assert done.returncode == 1
    assert done.stderr == f"farm-health: metrics.port: another program listens at {port} already\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('addresses = ["192.0.2.1"]', "port: one of 192.0.2.1 is not an address of this machine"),
        ('[tls]\ncertificate = "/nowhere"\nkey = "/nowhere"', "tls: certificate and key cannot be read: No such file"),
        ('[tls]\ncertificate = "/etc/hostname"\nkey = "/etc/hostname"', "tls: certificate and key make no pair"),
    ],
)
def test_what_this_machine_cannot_do_is_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    done = run(tmp_path, text)
    assert done.returncode == 1
    assert done.stderr.startswith(f"farm-health: {sentence}")
    assert done.stderr.count("\n") == 1


def has_account() -> bool:
    return any(entry.pw_name == "farmd" for entry in pwd.getpwall())


@pytest.mark.skipif(os.geteuid() != 0 or has_account(), reason="needs root, and no user farmd")
def test_root_does_not_answer_strangers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    done = run(tmp_path, f'addresses = ["127.0.0.1"]\nport = {port}\n')
    assert done.returncode == 1
    assert done.stderr.startswith("farm-health: there is no user and group farmd to run as instead of root")

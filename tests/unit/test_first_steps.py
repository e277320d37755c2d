"""keygen, init and setup as they are typed: the real farmctl, real files, a real terminal."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pty
import select
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from farmd.config_file import load
from farmd.supervision.schema import Check, Service
from mirrord.config import Mirror
from mirrord.config_file import load as load_mirror

WAIT_S = 20.0
FARMCTL = [sys.executable, "-m", "farmd.cli"]
FLAGS = ["--name=shop", "--vip=10.0.0.100", "--vip=fd00::100", "--interface=lan0",
         "--node=n1=10.0.0.1,10.99.0.1", "--node=n2=10.0.0.2,10.99.0.2"]  # fmt: skip

MIRROR_FLAGS = ["--mirror", "--name=files", "--directory=/srv/files", "--directory=/var/lib/files", "--vip=10.0.0.200",
                "--interface=lan0", "--witness=10.0.0.254", "--node=n1=10.99.0.1,10.0.0.1",
                "--node=n2=10.99.0.2,10.0.0.2", "--service=unit=files.service", "--check=tcp=127.0.0.1:80"]  # fmt: skip


def farmctl(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run farmctl without a terminal."""
    command = [*FARMCTL, *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- keygen


def test_a_key_is_32_random_bytes() -> None:
    first, second = (farmctl("keygen").stdout.strip() for _ in range(2))
    assert len(base64.b64decode(first, validate=True)) == 32
    assert first != second
    assert len(base64.b64decode(json.loads(farmctl("keygen", "--json").stdout)["key"], validate=True)) == 32


def test_a_key_file_is_its_owners_alone_and_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "web.key"
    farmctl("keygen", path)
    key = path.read_text().strip()
    assert mode(path) == 0o600
    assert len(base64.b64decode(key, validate=True)) == 32

    refused = farmctl("keygen", path, status=1)
    assert refused.stderr == f"farmctl: {path} is there already; --force replaces it\n"
    assert path.read_text().strip() == key

    path.chmod(0o644)
    farmctl("keygen", path, "--force")
    assert path.read_text().strip() != key
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    refused = farmctl("keygen", tmp_path / "missing" / "web.key", status=1)
    assert refused.stderr == f"farmctl: {tmp_path}/missing/web.key cannot be written: No such file or directory\n"


# --- init


@pytest.mark.parametrize("services", [[], ["unit=nginx.service"], ["unit=nginx.service", "ocf=heartbeat:Dummy"]])
@pytest.mark.parametrize("checks", [[], ["http=http://127.0.0.1/", "http=http://127.0.0.1:81/", "tcp=127.0.0.1:80",
                                         "ping=10.0.0.254, 10.0.0.253", "process=nginx", "interface=lan0",
                                         "exec=/bin/true --quickly"]])  # fmt: skip
def test_the_flags_become_a_configuration_that_loads(tmp_path: Path, services: list[str], checks: list[str]) -> None:
    path, key = tmp_path / "shop.toml", tmp_path / "shop.key"
    more = [f"--service={one}" for one in services] + [f"--check={one}" for one in checks]
    farmctl("init", *FLAGS, f"--key={key}", f"--output={path}", *more)

    config = load(path)
    assert config.farm.name == "shop"
    assert list(map(str, config.farm.vips)) == ["10.0.0.100", "fd00::100"]
    assert config.farm.interface == "lan0"
    found = [(node.id, node.name, list(map(str, node.addresses))) for node in config.nodes]
    assert found == [(1, "n1", ["10.0.0.1", "10.99.0.1"]), (2, "n2", ["10.0.0.2", "10.99.0.2"])]
    assert [meant(service) for service in config.services] == services
    assert [meant(check) for check in config.checks] == [check.replace(", ", ",") for check in checks]
    assert farmctl("check-config", path).stdout.startswith(f"{path}: right.")
    assert (mode(path), mode(key)) == (0o644, 0o600)


def meant(part: Service | Check) -> str:
    """A service or check as its flag would say it."""
    kinds = ("unit", "ocf") if isinstance(part, Service) else ("tcp", "http", "exec", "process", "ping", "interface")
    (kind,) = (kind for kind in kinds if getattr(part, kind))
    value = getattr(part, kind)
    return f"{kind}={','.join(map(str, value)) if isinstance(value, tuple) else value}"


def test_a_key_that_is_there_is_used(tmp_path: Path) -> None:
    key = tmp_path / "shop.key"
    farmctl("keygen", key)
    before = key.read_text()
    answer = json.loads(farmctl("init", *FLAGS, f"--key={key}", f"--output={tmp_path}/a.toml", "--json").stdout)
    assert (answer["key"], answer["key_is_new"]) == (str(key), False)
    assert key.read_text() == before


def test_a_relative_key_is_the_one_where_init_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    (tmp_path / "there").mkdir()
    farmctl("init", *FLAGS, "--key=shop.key", "--output=there/shop.toml")
    assert (tmp_path / "shop.key").exists()
    load(tmp_path / "there" / "shop.toml")


def test_a_configuration_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text("mine")
    command = ["init", *FLAGS, f"--key={tmp_path}/shop.key", f"--output={path}"]
    assert farmctl(*command, status=1).stderr == f"farmctl: {path} is there already; --force replaces it\n"
    assert path.read_text() == "mine"
    assert not (tmp_path / "shop.key").exists()
    farmctl(*command, "--force")
    load(path)


def test_a_key_that_cannot_be_made_leaves_no_configuration(tmp_path: Path) -> None:
    refused = farmctl("init", *FLAGS, f"--key={tmp_path}/missing/shop.key", f"--output={tmp_path}/shop.toml", status=1)
    assert refused.stderr == f"farmctl: {tmp_path}/missing/shop.key cannot be written: No such file or directory\n"
    assert list(tmp_path.iterdir()) == []


def test_standard_output_gets_the_configuration_and_nothing_else() -> None:
    assert 'name = "shop"' in farmctl("init", *FLAGS, "--output=-").stdout
    assert 'name = "shop"' in json.loads(farmctl("init", *FLAGS, "--output=-", "--json").stdout)["text"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--vip=10.0.0.300"], "farm.vips[0]: must be an IPv4 or IPv6 address, not '10.0.0.300'"),
        (["--name=Shop!"], "farm.name: must be 1 to 32 lower-case letters, digits and, not first, hyphens"),
        (["--node=n3"], "node: 'n3' must have the form NAME=ADDRESS, such as n1=10.0.0.1"),
        (["--service=nginx"], "service: 'nginx' must have the form KIND=VALUE with one of unit, ocf, "
                              "such as unit=nginx.service"),
    ],
)  # fmt: skip
def test_a_wrong_flag_is_one_sentence(tmp_path: Path, flags: list[str], sentence: str) -> None:
    merged = [flag for flag in FLAGS if flag.split("=")[0] != flags[0].split("=")[0]] + flags
    refused = farmctl("init", *merged, f"--output={tmp_path}/shop.toml", status=1)
    assert refused.stderr == f"farmctl: {sentence}\n"
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_what_is_missing_is_one_sentence() -> None:
    refused = farmctl("init", "--interface=lan0", status=1)
    assert refused.stderr == "farmctl: there is no terminal to ask on; init needs --vip and --node\n"
    assert json.loads(farmctl("init", "--interface=lan0", "--json", status=1).stdout)["ok"] is False


def test_the_flags_become_a_mirror_that_loads(tmp_path: Path) -> None:
    path, key = tmp_path / "files.toml", tmp_path / "files.key"
    told = farmctl("init", *MIRROR_FLAGS, f"--key={key}", f"--output={path}").stdout

    config = load_mirror(path)
    assert config.mirror == Mirror(
        "files", (Path("/srv/files"), Path("/var/lib/files")), config.mirror.keys, (ip_address("10.0.0.200"),), "lan0",
        witness=(ip_address("10.0.0.254"),),
    )  # fmt: skip
    found = [(node.id, node.name, list(map(str, node.addresses))) for node in config.nodes]
    assert found == [(1, "n1", ["10.99.0.1", "10.0.0.1"]), (2, "n2", ["10.99.0.2", "10.0.0.2"])]
    assert [meant(service) for service in config.services] == ["unit=files.service"]
    assert [meant(check) for check in config.checks] == ["tcp=127.0.0.1:80"]
    assert farmctl("check-config", path).stdout.startswith(f"{path}: right. Mirror files, nodes n1 and n2")
    assert "systemctl enable --now mirrord@files farm-health" in told
    assert told.rstrip().endswith("farmctl promote    # once, on the node that has the data")


def test_a_mirror_needs_no_address_no_service_and_no_witness(tmp_path: Path) -> None:
    path = tmp_path / "db.toml"
    few = ["--directory=/srv/db", "--node=n1=10.0.0.1", "--node=n2=10.0.0.2", "--witness=-", f"--key={tmp_path}/k"]
    farmctl("init", "--mirror", *few, f"--output={path}")
    config = load_mirror(path)
    assert (config.mirror.name, config.mirror.vips, config.mirror.witness) == ("db", (), ())
    assert (config.services, config.checks) == ((), ())


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--directory=files"], "mirror.directories[0]: must be a full path without \"..\", not 'files'"),
        (["--node=n1=10.0.0.1"], "node: a mirror has two nodes, not 1"),
        (
            ["--witness=10.0.0.2"],
            "mirror.witness[0]: 10.0.0.2 is node n2's address; a witness is outside of the mirror",
        ),
        (["--vip=10.0.0.1"], "mirror.vips[0]: 10.0.0.1 is node n1's own address; a virtual address belongs to no node"),
    ],
)
def test_a_wrong_flag_of_a_mirror_is_one_sentence(tmp_path: Path, flags: list[str], sentence: str) -> None:
    merged = [flag for flag in MIRROR_FLAGS if flag.split("=")[0] != flags[0].split("=")[0]] + flags
    refused = farmctl("init", *merged, f"--output={tmp_path}/files.toml", status=1)
    assert refused.stderr == f"farmctl: {sentence}\n"
    assert list(tmp_path.iterdir()) == []


def test_what_only_a_mirror_has_is_refused_for_a_farm() -> None:
    refused = farmctl("init", *FLAGS, "--witness=10.0.0.254", "--output=-", status=1)
    assert refused.stderr == "farmctl: init: --directory and --witness are a mirror's; a farm has none (--mirror)\n"


@dataclass
class Dialogue:
    """farmctl init on a terminal of its own."""

    child: subprocess.Popen[bytes]
    terminal: int
    seen: str = ""

    def expect(self, text: str) -> None:
        """Read until it has asked this."""
        while text not in self.seen:
            assert select.select([self.terminal], [], [], WAIT_S)[0], f"waited for {text!r}; it said: {self.seen}"
            self.seen += os.read(self.terminal, 4096).decode()
        self.seen = self.seen.partition(text)[2]

    def answer(self, question: str, line: str) -> None:
        self.expect(question)
        os.write(self.terminal, f"{line}\n".encode())


@pytest.fixture
def dialogue(tmp_path: Path) -> Iterator[Dialogue]:
    with _dialogue(tmp_path) as started:
        yield started


@contextlib.contextmanager
def _dialogue(folder: Path, *flags: str) -> Iterator[Dialogue]:
    terminal, other = pty.openpty()
    command = [*FARMCTL, "init", f"--output={folder}/out.toml", "--interface=lan0", *flags]
    with subprocess.Popen(command, stdin=other, stdout=other, stderr=other, close_fds=True) as child:
        os.close(other)
        yield Dialogue(child, terminal)
        child.kill()
    os.close(terminal)


def test_a_person_is_asked_and_asked_again(dialogue: Dialogue, tmp_path: Path) -> None:
    dialogue.answer("Name of the farm [web]:", "Not This")
    dialogue.answer("must be 1 to 32 lower-case letters", "shop")
    dialogue.answer("Virtual addresses", "10.0.0.300")
    dialogue.answer("must be an IPv4 or IPv6 address", "10.0.0.100, fd00::100")
    dialogue.answer("Node 1, NAME=ADDRESS", "n1=10.0.0.1")
    dialogue.answer("Node 2, NAME=ADDRESS (empty: no more):", "n2=10.0.0.1")
    dialogue.answer("is the same as", "n2=10.0.0.2")
    dialogue.answer("Node 3, NAME=ADDRESS (empty: no more):", "")
    dialogue.answer("[/etc/farmd/shop.key]:", f"{tmp_path}/k")
    dialogue.answer("Service 1,", "unit=nginx.service")
    dialogue.answer("Service 2,", "")
    dialogue.answer("Check 1,", "-")
    dialogue.expect("a new key.")
    assert dialogue.child.wait() == 0
    config = load(tmp_path / "out.toml")
    assert [node.name for node in config.nodes] == ["n1", "n2"]
    assert [service.unit for service in config.services] == ["nginx.service"]
    assert config.checks == ()


def test_a_person_is_asked_for_a_mirror(tmp_path: Path) -> None:
    with _dialogue(tmp_path, "--mirror") as dialogue:
        dialogue.answer("Name of the mirror [db]:", "")
        dialogue.answer("Folders to replicate", "/srv/a, /srv/a/b")
        dialogue.answer("/srv/a/b is inside of /srv/a", "/srv/a, /srv/b")
        dialogue.answer("Virtual addresses", "")
        dialogue.answer("Node 1, NAME=ADDRESS", "n1=10.0.0.1")
        dialogue.answer("Node 2, NAME=ADDRESS", "n2=10.0.0.1")
        dialogue.answer("is the same as", "n2=10.0.0.2")
        dialogue.answer("Witness", "10.0.0.254")
        dialogue.answer("[/etc/farmd/db.key]:", f"{tmp_path}/k")
        dialogue.answer("Service 1,", "unit=postgresql@15-main.service")
        dialogue.answer("Service 2,", "")
        dialogue.answer("Check 1,", "")
        dialogue.expect("a new key.")
        assert dialogue.child.wait() == 0
    config = load_mirror(tmp_path / "out.toml")
    assert config.mirror.directories == (Path("/srv/a"), Path("/srv/b"))
    assert [node.name for node in config.nodes] == ["n1", "n2"]


def test_who_ends_the_dialogue_has_written_nothing(dialogue: Dialogue, tmp_path: Path) -> None:
    dialogue.expect("Name of the farm")
    os.write(dialogue.terminal, b"\x04")  # Ctrl-D
    dialogue.expect("init has ended before all was answered; nothing is written")
    assert dialogue.child.wait() == 1
    assert list(tmp_path.iterdir()) == []


# --- setup


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="systemd runs this machine; lab/vm tries setup there")
def test_setup_says_that_it_needs_systemd() -> None:
    refused = farmctl("setup", "--dry-run", status=1)
    assert refused.stderr.startswith("farmctl: setup is for machines that systemd runs, and it does not run this one")

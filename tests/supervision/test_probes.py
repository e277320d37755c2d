"""The other checks, against the real things: commands, processes, echo requests, interfaces."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from farmd.core.supervision_events import Probed
from farmd.supervision.prober import Prober
from farmd.supervision.probes import probe
from farmd.supervision.schema import Check
from lab.waiting import until as wait_until
from tests.datapath.namespaces import Namespace, run
from tests.supervision.attending import kill, lives, status, until, within
from tests.supervision.probing import server, silent, tried


def result(check: Check) -> Probed:
    return within(lambda: tried(check))


# -- tcp ---------------------------------------------------------------------------------------------------------------


def test_tcp() -> None:
    async def scenario() -> tuple[Probed, Probed]:
        async with server(silent) as target:
            return await tried(Check("c", tcp=target)), await tried(Check("c", tcp="[::1]:1"))

    accepted, refused = within(scenario)
    assert (accepted.passed, accepted.text) == (True, "accepts connections")
    assert (refused.passed, refused.text) == (False, "connection refused")


def test_tcp_is_closed_politely() -> None:
    async def scenario() -> bytes:
        seen: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                seen.set_result(await reader.read())
            except OSError as error:
                seen.set_exception(error)

        async with server(serve) as target:
            await tried(Check("c", tcp=target))
            return await seen

    assert within(scenario) == b""


@pytest.mark.needs_root
def test_tcp_tries_every_address_of_a_name(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.2 twice.example\n127.0.0.1 twice.example\n")

    async def scenario() -> Probed:
        second = socket.getaddrinfo("twice.example", 0, type=socket.SOCK_STREAM)[1][4][0]
        async with server(silent, str(second)) as target:
            return await tried(Check("c", tcp=f"twice.example:{target.rpartition(':')[2]}", timeout_s=5))

    space = Namespace()
    with space.entered():
        run(f"mount --bind {hosts} /etc/hosts")
        assert within(scenario).text == "accepts connections"
    space.close()


# -- exec --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "passed", "text"),
    [
        ("true", True, "exit code 0"),
        ("sh -c 'echo all is well; echo really'", True, "all is well"),
        ("sh -c 'echo \"no disk\" >&2; exit 4'", False, "exit code 4: no disk"),
        ("sh -c 'echo; echo \"  later  \"; exit 1'", False, "exit code 1: later"),
        ("sh -c 'kill -9 $$'", False, "killed by SIGKILL"),
        ("printf 'a\\tb\\033[2J\\n'", True, "a b [2J"),
        ("/", False, "/ cannot be started: Permission denied"),
        ("no-such-command", False, "no-such-command cannot be started: No such file or directory"),
        ("sleep 982", False, "it has not ended within 0.5 s"),
        ("yes", False, "it has not ended within 0.5 s"),
    ],
)
def test_exec(command: str, passed: bool, text: str) -> None:
    tried = result(Check("c", exec=command, timeout_s=0.5))
    assert (tried.passed, tried.text) == (passed, text)


def test_much_output_is_no_fault() -> None:
    tried = result(Check("c", exec="sh -c 'echo first; head -c 50000000 /dev/zero'", timeout_s=30))
    assert (tried.passed, tried.text) == (True, "first")


def test_a_flood_does_not_keep_the_processor_busy() -> None:
    before_s = time.process_time()
    result(Check("c", exec="yes", timeout_s=1))
    assert time.process_time() - before_s < 0.4


@pytest.mark.parametrize(("command", "timeout_s"), [("exit 0", 5), ("sleep 981", 0.3)])
def test_all_that_a_command_started_ends_with_it(tmp_path: Path, command: str, timeout_s: float) -> None:
    """In time or late; what holds its output open does not make it late."""
    pid_file = tmp_path / "pid"
    line = f"sh -c 'sleep 980 & echo $! > {pid_file}; {command}'"
    assert result(Check("c", exec=line, timeout_s=timeout_s)).passed == (command == "exit 0")
    within(lambda: until(lambda: not lives(int(pid_file.read_text())), "what was left to die"))


def test_one_instance_at_a_time(tmp_path: Path) -> None:
    """However often it is woken."""
    log = tmp_path / "log"
    check = Check("c", exec=f"sh -c 'echo begin >> {log}; sleep 0.05; echo end >> {log}'", timeout_s=5)

    async def scenario() -> None:
        results: list[Probed] = []
        prober = Prober("c", 0.1, 5, 1.0, results.append)
        task = asyncio.create_task(prober.run(probe(check, prober.wake)))
        while len(results) < 5:
            prober.wake()
            await asyncio.sleep(0.002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    within(scenario)
    lines = log.read_text().split()
    assert lines[: len(lines) // 2 * 2] == ["begin", "end"] * (len(lines) // 2)


# -- process -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of a program whose name the kernel cuts off."""
    program = tmp_path / "a-name-of-more-than-15-characters"
    program.write_bytes(Path("/bin/sleep").resolve().read_bytes())
    program.chmod(0o755)
    with subprocess.Popen([program, "979"]) as process:
        yield process
        process.kill()


def test_process_by_name(sleeper: subprocess.Popen[bytes]) -> None:
    within(lambda: until(lambda: status(sleeper.pid, "Name") == "a-name-of-more-", "exec"))
    found = result(Check("c", process="a-name-of-more-than-15-characters"))
    assert (found.passed, found.text) == (True, f"process {sleeper.pid} runs")
    missed = result(Check("c", process="a-name-of-more-than-fifteen"))
    assert (missed.passed, missed.text) == (False, "no process of a-name-of-more-than-fifteen runs")


def test_process_by_the_file_of_its_number(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    file = tmp_path / "pid"
    check = Check("c", process=f"@{file}")
    assert result(check).text == f"there is no {file}"
    file.write_text(f"{sleeper.pid}\n")
    assert result(check).passed
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert result(check).text == f"process {sleeper.pid} of {file} does not run", "a zombie does not run"
    for text in ("", "nonsense", "-1", "0", "99999999999999999999"):
        file.write_text(text)
        assert not result(check).passed


def test_the_death_of_a_process_is_noticed_at_once(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(str(sleeper.pid))

    async def scenario() -> None:
        results: list[Probed] = []
        prober = Prober("c", 3600, 5, 1.0, results.append)
        task = asyncio.create_task(prober.run(probe(Check("c", process=f"@{tmp_path}/pid"), prober.wake)))
        await until(lambda: [each.passed for each in results] == [True], "it to be found")
        kill(sleeper.pid)
        await until(lambda: [each.passed for each in results] == [True, False], "its death to be noticed")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    within(scenario)


# -- ping and interface, in a network of their own ---------------------------------------------------------------------


@pytest.fixture
def network() -> Iterator[Namespace]:
    space = Namespace()
    with space.entered():
        run("ip link add eth0 type veth peer name far")
        run("ip addr add 10.0.0.1/24 dev eth0")
        run("ip addr add fd00::1/64 dev eth0 nodad")
        run("ip link set eth0 up")
        run("ip link set far up")
        yield space
    space.close()


def ping(*addresses: str, needs: str = "any") -> Probed:
    chosen = tuple(map(ip_address, addresses))
    return result(Check("c", ping=chosen, needs=needs, timeout_s=0.5))  # type: ignore[arg-type]


@pytest.mark.needs_root
def test_ping(network: Namespace) -> None:
    assert ping("127.0.0.1").text == "1 of 1 answer"
    assert ping("10.0.0.1", "::1", needs="all").text == "2 of 2 answer"
    assert ping("10.0.0.2").text == "no answer from 10.0.0.2 within 0.5 s"
    assert ping("192.0.2.1", "fd00::1").passed, "one of them is enough, and one without a route is no answer"
    failed = ping("10.0.0.1", "10.0.0.2", "fd00::2", needs="all")
    assert (failed.passed, failed.text) == (False, "no answer from 10.0.0.2, fd00::2 within 0.5 s")


def turn(state: str) -> None:
    """The kernel takes a moment to see what the other end does."""
    wait_until(lambda: f" state {state} " in run("ip -o link show eth0"), f"eth0 to be {state}")


@pytest.mark.needs_root
def test_interface(network: Namespace) -> None:
    def look(name: str = "eth0", address: str = "") -> tuple[bool, str]:
        tried = result(Check("c", interface=name, address=ip_address(address) if address else None, timeout_s=5))
        return tried.passed, tried.text

    turn("UP")
    assert look() == (True, "up, with carrier")
    assert look("lo") == (True, "up, with carrier")
    assert look("eth7") == (False, "there is no interface eth7")
    assert look(address="10.0.0.1") == (True, "up, with carrier and 10.0.0.1")
    assert look(address="fd00::1") == (True, "up, with carrier and fd00::1")
    assert look(address="10.0.0.9") == (False, "eth0 has no address 10.0.0.9")
    assert look(address="127.0.0.1") == (False, "eth0 has no address 127.0.0.1; lo has it")
    run("ip link set far down")
    turn("LOWERLAYERDOWN")
    assert look() == (False, "eth0 has no carrier")
    run("ip link set eth0 down")
    assert look() == (False, "eth0 is down")

"""The lab itself, without farmd: everything is there, cuts cut, power cuts kill, and nothing is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

from lab import machine, processes, services
from lab.errors import LabError
from lab.machine import MACHINE_MARK
from lab.network import Lab
from lab.topology import FAR, LAN, Topology
from lab.waiting import until
from tests.lab.hearing import hearing

pytestmark = pytest.mark.needs_root

NODES = ("n1", "n2", "n3")


def name(suffix: str) -> str:
    """A lab's name that no other test run uses."""
    return f"t{os.getpid()}-{suffix}"


@pytest.fixture(scope="module")
def built() -> Iterator[Lab]:
    lab = Lab(name("shared"), networks=2)
    lab.up(start=False)
    yield lab
    lab.down()


@pytest.fixture
def lab(built: Lab) -> Iterator[Lab]:
    """The shared lab, as `up` left it."""
    yield built
    built.heal()
    for node in built.topology.node_names:
        if not built.powered(node):
            built.boot(node)


def get(lab: Lab, place: str, address: str) -> str:
    """What the web server at an address answers to a place; empty if nothing does."""
    host = f"[{address}]" if ":" in address else address
    script = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=0.5).read().decode(), end='')"
    return lab.exec(place, sys.executable, "-c", script, f"http://{host}/", check=False).stdout


def inside(lab: Lab) -> set[tuple[int, str]]:
    """Every process in a lab's namespaces, whatever its environment says: its number, and when it was started, for the
    number may be another one's later, and so may that of a namespace."""
    own = {namespace for one in machine.running(lab.name).values() for namespace in namespaces(one.pid)}
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return {(pid, since) for pid in pids if namespaces(pid) & own and (since := started(pid))}


def namespaces(pid: int) -> set[str]:
    """What a process is in; none when it has ended, buried or not."""
    try:
        return {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("net", "mnt", "uts", "ipc")}
    except OSError:
        return set()


def started(pid: int) -> str:
    """When a process was started (proc(5), field 22 of stat); empty when it has ended, buried or not."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def mounts() -> set[str]:
    return set(Path("/proc/mounts").read_text().splitlines())


MOUNTED_BEFORE = mounts()
"""Other people's network namespaces are none of ours."""


def left_of(lab: Lab, known: set[tuple[int, str]]) -> list[str]:
    """What a lab has left on this machine: processes, marked or known, and with them or with mounts their namespaces;
    files, interfaces."""
    left = [mark.value for mark in processes.marked(MACHINE_MARK) if mark.value.startswith(f"{lab.name}/")]
    left += [f"process {pid}" for pid, since in known if started(pid) == since]
    left += [str(lab.state.folder)] if lab.state.exists() else []
    left += [line for line in mounts() - MOUNTED_BEFORE if "farmd-lab" in line or "/netns" in line]
    left += [link for link in os.listdir("/sys/class/net") if link.removesuffix("-hb") in Topology(16).places]
    return left


def wait_nothing_left(lab: Lab, known: set[tuple[int, str]], timeout_s: float = 5.0) -> None:
    """Who was killed is known no more by its mark, and takes a moment to end."""
    until(lambda: left_of(lab, known) == [], f"nothing of {lab.name} to be left", timeout_s)


@pytest.mark.parametrize("place", [LAN, FAR, "n3"])
@pytest.mark.parametrize("node", NODES)
def test_every_nodes_web_server_answers_by_its_own_address(lab: Lab, place: str, node: str) -> None:
    number = lab.topology.node_number(node)
    assert get(lab, place, f"10.0.0.{number}") == f"{node}\n"
    assert get(lab, place, f"fd00::{number}") == f"{node}\n"


def test_a_node_has_its_own_name_processes_run_and_bpf_file_system(lab: Lab) -> None:
    assert lab.exec("n2", "uname", "-n").stdout == "n2\n"
    assert lab.exec("n2", "ps", "-o", "pid=", "-p", "1").stdout.split() == ["1"]
    assert lab.exec("n2", "stat", "-f", "-c", "%T", "/run", "/sys/fs/bpf").stdout == "tmpfs\nbpf_fs\n"
    assert "farm-lab" not in lab.exec("n2", "ls", "/run").stdout.split()
    assert set(lab.exec("n2", "ls", "/sys/class/net").stdout.split()) == {"eth0", "eth1", "lo"}
    lab.exec("n1", "mkdir", "/sys/fs/bpf/mine")
    assert "mine" not in lab.exec("n2", "ls", "/sys/fs/bpf").stdout.split()


def test_a_nodes_orphans_are_buried(lab: Lab) -> None:
    lab.exec("n1", "sh", "-c", "setsid --fork true")
    zombies = "ps -e -o state= | grep -c Z"
    until(lambda: lab.exec("n1", "sh", "-c", zombies, check=False).stdout == "0\n", "the orphan's burial")


def test_what_a_service_leaves_behind_is_not_taken_for_it(lab: Lab) -> None:
    there = lab.machine("n1")
    there.start_service("some", ["sh", "-c", "setsid sleep 60 & wait"], lab.state.log("n1"))
    until(lambda: len(marked_in("n1", lab)) == 2, "the service and its child")
    running = there.service("some")
    assert running is not None
    machine.signal_service(running, signal.SIGKILL, wait_s=5)
    left = marked_in("n1", lab)
    assert len(left) == 1
    assert there.service("some") is None
    os.kill(left[0], signal.SIGKILL)


def marked_in(node: str, lab: Lab) -> list[int]:
    """The processes of a node's services, and what these have started."""
    namespace = processes.namespace_of(lab.machine(node).pid)
    found = [process.pid for process in processes.marked(machine.SERVICE_MARK)]
    return [pid for pid in found if processes.namespace_of(pid) == namespace]


def test_the_switch_floods_what_it_never_learnt_and_learns_what_it_hears(lab: Lab) -> None:
    """Whoever knows an address that nobody has sent from yet can reach everybody with it."""
    unknown = "02:00:00:00:12:34"
    seen = "import socket, sys; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5));"
    seen += "s.bind(('eth0', 0x88b5)); print('listening', flush=True); print(s.recv(99)[:6].hex(':'))"
    send = "import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('eth0', 0));"
    send += f"s.send(bytes.fromhex('{unknown.replace(':', '')}') + s.getsockname()[4] + b'\\x88\\xb5' + bytes(46))"
    ears = [lab.popen(node, sys.executable, "-c", seen, stdout=subprocess.PIPE) for node in NODES]
    for ear in ears:
        assert ear.stdout is not None
        assert ear.stdout.readline() == b"listening\n"
    lab.exec(LAN, sys.executable, "-c", send)
    assert [ear.communicate(timeout=5)[0].decode() for ear in ears] == [f"{unknown}\n"] * 3
    client = lab.exec(LAN, "cat", "/sys/class/net/eth0/address").stdout.strip()
    learnt = lab.exec("switch", "bridge", "fdb", "show", "br", "br0", "dynamic").stdout
    assert f"{client} dev lan" in learnt
    assert unknown not in learnt


def test_the_switch_hands_nothing_to_iptables(lab: Lab) -> None:
    script = "cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null || echo 0"
    assert lab.exec("switch", "sh", "-c", script).stdout == "0\n"


def test_without_cuts_all_hear_all(lab: Lab) -> None:
    assert hearing(lab, *NODES, LAN) == set(permutations((*NODES, LAN), 2))


def test_a_cut_is_between_the_two_only(lab: Lab) -> None:
    lab.cut("n1", "n2")
    silent = {("n1", "n2"), ("n2", "n1")}
    assert lab.cuts() == silent | {("n1-hb", "n2-hb"), ("n2-hb", "n1-hb")}
    assert hearing(lab, *NODES, LAN) == set(permutations((*NODES, LAN), 2)) - silent
    assert hearing(lab, *NODES, broadcast="10.99.0.255") == set(permutations(NODES, 2)) - silent
    lab.heal()
    assert lab.cuts() == set()
    assert hearing(lab, *NODES) == set(permutations(NODES, 2))


def test_a_one_way_cut_silences_the_first_for_the_second(lab: Lab) -> None:
    lab.cut("n1", "n2", one_way=True)
    assert hearing(lab, *NODES) == set(permutations(NODES, 2)) - {("n1", "n2")}


def test_a_cut_of_one_network_leaves_the_other(lab: Lab) -> None:
    lab.cut("n1", "n2,n3", network=2)
    assert hearing(lab, *NODES) == set(permutations(NODES, 2))
    assert hearing(lab, *NODES, broadcast="10.99.0.255") == {("n2", "n3"), ("n3", "n2")}


def test_a_partition_puts_clients_on_a_side(lab: Lab) -> None:
    lab.cut("n1,lan", "n2,n3,far")
    assert hearing(lab, *NODES, LAN) == {("n1", LAN), (LAN, "n1"), ("n2", "n3"), ("n3", "n2")}
    assert [get(lab, FAR, f"10.0.0.{number}") for number in (1, 2)] == ["", "n2\n"]
    assert [get(lab, LAN, f"fd00::{number}") for number in (1, 2)] == ["n1\n", ""]


def test_a_power_cut_is_immediate_and_leaves_nothing_of_the_node(lab: Lab) -> None:
    assert get(lab, LAN, "10.0.0.1") == "n1\n"
    inside = lab.popen("n1", "sleep", "1000")
    start = time.monotonic()
    lab.kill("n1")
    took = time.monotonic() - start
    assert took < 1.0
    assert inside.wait(timeout=1) != 0
    assert not lab.powered("n1")
    assert "n1" not in lab.exec("switch", "ls", "/sys/class/net").stdout.split()
    assert get(lab, LAN, "10.0.0.1") == ""
    assert get(lab, LAN, "10.0.0.2") == "n2\n"
    with pytest.raises(LabError, match="n1 is off"):
        lab.exec("n1", "true")
    with pytest.raises(LabError, match="n1 is off"):
        lab.kill("n1")
    lab.boot("n1")  # with the Ethernet address that others remember
    assert get(lab, LAN, "10.0.0.1") == "n1\n"


@pytest.mark.parametrize("place", ["n4", "nonsense", "n1/../n2", ""])
def test_a_place_that_is_none_is_refused(lab: Lab, place: str) -> None:
    with pytest.raises(LabError, match="there is no"):
        lab.exec(place, "true")


def test_a_bound_command_ends_with_its_caller(lab: Lab) -> None:
    child = lab.popen(LAN, "sh", "-c", "echo $$; exec sleep 1000", stdout=subprocess.PIPE)
    assert child.stdout is not None
    number = child.stdout.readline().decode().strip()
    assert lab.exec(LAN, "ps", "-p", number, check=False).returncode == 0
    child.terminate()
    child.communicate(timeout=5)
    until(lambda: lab.exec(LAN, "ps", "-p", number, check=False).returncode == 1, "the command to end")


def test_two_labs_side_by_side(lab: Lab) -> None:
    with_same_addresses = Lab(name("other"), nodes=2)
    with_same_addresses.up(start=False)
    try:
        with_same_addresses.kill("n1")
        assert get(with_same_addresses, LAN, "10.0.0.1") == ""
        assert get(lab, LAN, "10.0.0.1") == "n1\n"
    finally:
        with_same_addresses.down()
    assert get(lab, LAN, "10.0.0.2") == "n2\n"


def test_a_second_lab_of_the_same_name_is_refused_and_harms_nothing(lab: Lab) -> None:
    with pytest.raises(LabError, match="is up"):
        Lab(lab.name).up(start=False)
    assert get(lab, LAN, "10.0.0.3") == "n3\n"


def test_nothing_is_left_after_down() -> None:
    lab = Lab(name("gone"), networks=2)
    lab.up(start=False)
    known = inside(lab)
    machines = {one.pid for one in machine.running(lab.name).values()}
    assert len(machines) == 7
    assert machines < {pid for pid, _ in known}
    assert len({namespace for pid in machines for namespace in namespaces(pid)}) == 4 * 7
    assert left_of(lab, known)
    lab.down()
    wait_nothing_left(lab, known)
    lab.down()


def test_a_failure_in_the_middle_of_up_undoes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "nginx_config", lambda node: "nonsense;" if node == "n2" else "events {}")
    lab = Lab(name("fails"))
    with pytest.raises(LabError, match="nginx failed on n2"):
        lab.up(start=False)
    wait_nothing_left(lab, set())


def up_in_a_process(lab: Lab, machines: int) -> subprocess.Popen[bytes]:
    """`lab up` in a process of its own, caught when it has started so many machines."""
    command = [sys.executable, "-m", "lab", "up", "--no-start", "--nodes", "8", "--name", lab.name]
    building = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until(lambda: len(machine.running(lab.name)) >= machines, f"{machines} machines")
    return building


@pytest.mark.parametrize("machines", [1, 6, 12])
def test_down_clears_up_after_an_up_that_was_killed(machines: int) -> None:
    lab = Lab(name(f"killed{machines}"))
    building = up_in_a_process(lab, machines)
    building.kill()
    assert building.wait() == -signal.SIGKILL
    assert left_of(lab, set())
    lab.down()
    wait_nothing_left(lab, set())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_undoes_itself(number: signal.Signals) -> None:
    lab = Lab(name(f"interrupted{number}"))
    building = up_in_a_process(lab, 1)
    building.send_signal(number)
    assert building.wait(timeout=10) == 128 + number
    wait_nothing_left(lab, set())

"""Loading, attaching, sharing, taking over and leaving, on a real interface in a namespace of the test's own."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest

import bpf.layout
from bpf import hooks, kernel, vips
from farmd import compiled
from farmd.attachment import TC_HANDLE, TC_PRIORITY
from farmd.compiled import cache_folder
from farmd.datapath import Datapath
from farmd.errors import MachineError
from farmd.kit.lock import farm_lock_is_held, hold_farm_lock, run_folder
from farmd.pins import Pins, bpffs_folder
from farmd.slots import Slots
from lab.waiting import until
from tests.datapath.conftest import INTERFACE
from tests.datapath.constant_program import load_constant
from tests.datapath.farm import XDP_PASS
from tests.datapath.namespaces import Namespace, run
from tests.datapath.packets import NODE_MAC, VIP4, VMAC, ip4, to_vip, udp

pytestmark = [pytest.mark.needs_root, pytest.mark.usefixtures("namespace")]

PATIENCE_S = 10
LEASE_NS = 3600 * 10**9
ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def opened(farm: str = "web", mode: str = "auto") -> Iterator[Datapath]:
    lock = hold_farm_lock(farm)
    try:
        datapath = Datapath.open(INTERFACE, farm, mode)
        try:
            yield datapath
        finally:
            datapath.close()
    finally:
        lock.release()


@contextlib.contextmanager
def daemon(farm: str = "web", mode: str = "auto", vip: str = str(VIP4)) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process with a slot, and the first line that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.datapath.holder", INTERFACE, farm, mode, vip],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(PATIENCE_S)


def own_sources(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what the filter is compiled from, to be changed, and no cache."""
    copy = folder / "sources"
    copy.mkdir()
    for name in (*bpf.layout.SOURCES, "compiler.py"):
        (copy / name).write_text((bpf.layout.FOLDER / name).read_text())
    monkeypatch.setenv("FARMD_CACHE", str(folder / "cache"))
    monkeypatch.setattr("bpf.layout.FOLDER", copy)
    return copy


def left_behind() -> dict[str, object]:
    """What a filter on the interface consists of; empty when nothing is left."""
    every = {
        "pins": [path.name for path in bpffs_folder().glob("farmd/**")],
        "files": [path.name for path in run_folder().glob("*")],
        "xdp": hooks.xdp_query(ifindex()).program,
        "clsact": "clsact" in run(f"tc qdisc show dev {INTERFACE}"),
    }
    return {name: value for name, value in every.items() if value}


def lease_of(farm: str) -> int:
    slots = Slots(Pins(INTERFACE))
    try:
        lease: int = slots[slots.farms()[farm]].lease_until_ns
        return lease
    finally:
        slots.close()


def ifindex() -> int:
    return socket.if_nametoindex(INTERFACE)


def foreign_xdp() -> None:
    """Leave a program on the interface that is not ours."""
    stranger = load_constant("stranger", verdict=XDP_PASS)
    hooks.xdp_attach(ifindex(), stranger, hooks.XDP_NATIVE)
    os.close(stranger)


def test_native_on_a_veth_and_nothing_left() -> None:
    with opened() as datapath:
        assert datapath.mode == "native"
        assert {"pins", "files", "xdp", "clsact"} == set(left_behind())
    assert left_behind() == {}


@pytest.mark.parametrize("mode", ["native", "generic", "off"])
def test_the_mode_that_was_asked_for(mode: str) -> None:
    with opened(mode=mode) as datapath:
        assert datapath.mode == mode == hooks.xdp_query(ifindex()).mode
    assert left_behind() == {}


def test_a_foreign_xdp_program_is_left_alone() -> None:
    foreign_xdp()
    stranger = hooks.xdp_query(ifindex())
    assert stranger.mode == "native"
    with opened() as datapath:
        assert datapath.mode == "off"
        assert "another XDP program" in datapath.mode_reason
        assert hooks.xdp_query(ifindex()) == stranger
    for mode in ("native", "generic"):
        with pytest.raises(MachineError, match="another XDP program"), opened(mode=mode):
            pass
    assert left_behind() == {"xdp": stranger.program}


def test_foreign_filters_on_the_clsact_qdisc_stay() -> None:
    place = {"priority": 99, "handle": 7}
    with opened():
        program = kernel.object_open(Pins(INTERFACE).folder / "farm_tc")  # any program will do
        hooks.tc_attach(ifindex(), program, **place)
        os.close(program)
    assert left_behind() == {"clsact": True}
    assert hooks.tc_query(ifindex(), **place)
    assert not hooks.tc_query(ifindex(), TC_PRIORITY, TC_HANDLE)


def test_a_foreign_clsact_qdisc_stays() -> None:
    run(f"tc qdisc add dev {INTERFACE} clsact")
    with opened():
        pass
    assert left_behind() == {"clsact": True}


def test_two_farms_share_and_the_last_one_leaves_nothing() -> None:
    with opened("web") as web, opened("shop") as shop:
        assert web.mode == shop.mode == "native"
        web.configure([VIP4], (), VMAC, NODE_MAC)
        with pytest.raises(MachineError, match=f"{VIP4} is a virtual address of farm web"):
            shop.configure([ip_address("10.0.0.101"), VIP4], (), VMAC, NODE_MAC)
        with pytest.raises(MachineError, match="xdp = off is not possible: farm"), opened("third", mode="off"):
            pass
        web.configure([], (), VMAC, NODE_MAC)
        shop.configure([VIP4], (), VMAC, NODE_MAC)
    assert left_behind() == {}


def test_sixteen_farms_and_no_more() -> None:
    with contextlib.ExitStack() as stack:
        for number in range(bpf.layout.number("SLOTS")):
            stack.enter_context(opened(f"farm{number}"))
        with pytest.raises(MachineError, match="no room"), opened("one-more"):
            pass
    assert left_behind() == {}


def test_addresses_beyond_a_sets_ways_are_refused() -> None:
    ways = bpf.layout.number("VIP_WAYS")
    addresses = (IPv4Address(f"10.0.{network}.{host}") for network in range(256) for host in range(256))
    crowded = [address for address in addresses if vips.set_of(vips.words(address)) == 0][: ways + 1]
    with opened() as datapath:
        datapath.configure(crowded[:ways], (), VMAC, NODE_MAC)
        with pytest.raises(MachineError, match="choose another address"):
            datapath.configure(crowded, (), VMAC, NODE_MAC)
        datapath.configure(crowded[1:], (), VMAC, NODE_MAC)


def test_a_killed_daemons_slot_is_taken_over_with_its_pins() -> None:
    with daemon() as (process, mode):
        assert mode == "native"
        before = hooks.xdp_query(ifindex()).program
        process.kill()
        process.wait()
    assert not farm_lock_is_held("web")
    with opened() as datapath:
        assert hooks.xdp_query(ifindex()).program == before
        assert datapath.lease_until_ns > 0
    assert left_behind() == {}


def test_a_killed_daemons_slot_is_freed_by_whoever_leaves_last() -> None:
    with opened("shop") as shop, daemon() as (process, _):
        process.kill()
        process.wait()
        with pytest.raises(MachineError, match="farm web"):
            shop.configure([VIP4], (), VMAC, NODE_MAC)
        until(lambda: lease_of("web") < time.monotonic_ns(), "the lease to end", PATIENCE_S)
    assert set(left_behind()) == {"files"}  # the dead daemon's lock, which is held by nobody
    (run_folder() / "web.lock").unlink()
    assert left_behind() == {}


def test_kept_for_a_successor() -> None:
    lock = hold_farm_lock("web")
    first = Datapath.open(INTERFACE, "web", "auto")
    first.renew(time.monotonic_ns() + LEASE_NS)
    lease = first.lease_until_ns
    first.close(keep=True)
    lock.release()
    with opened("shop"):  # comes and goes meanwhile
        pass
    with opened("web") as second:
        assert second.lease_until_ns == lease
    assert left_behind() == {}


def test_a_second_daemon_of_the_farm_is_refused() -> None:
    with daemon() as (process, _):
        with pytest.raises(MachineError, match=rf"a farm or mirror named web already runs here \(pid {process.pid}\)"):
            hold_farm_lock("web")
        assert farm_lock_is_held("web")
    assert left_behind() == {}


@pytest.mark.parametrize(
    "step",
    ["bpf.kernel.object_pin", "farmd.pins.Pins.write", "farmd.interface_filter.Slots"],
    ids=["pin", "file", "name"],
)
def test_killed_while_loading_leaves_nothing_half_done(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a first pin, before the file is written and after the folder has its name; the next one starts clean."""
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(step, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        Datapath.open(INTERFACE, "web", "auto")
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert "pins" in left_behind()
    with opened() as datapath:
        assert datapath.mode == "native"
    assert left_behind() == {}


def test_what_cannot_be_pinned_is_not_half_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    pin = kernel.object_pin

    def refuse_the_programs(fd: int, path: Path) -> None:
        if path.name.startswith("farm_"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        pin(fd, path)

    monkeypatch.setattr("bpf.kernel.object_pin", refuse_the_programs)
    with pytest.raises(MachineError, match=r"the filter cannot be pinned in .*: Operation not permitted"), opened():
        pass
    assert left_behind() == {}


def test_killed_while_compiling_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARMD_CACHE", str(tmp_path / "cache"))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.datapath.holder", INTERFACE, "web", "auto", str(VIP4)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT,
    )  # fmt: skip
    log = run_folder() / f"@{INTERFACE}.loader.log"
    until(log.exists, "the compiler to begin", PATIENCE_S)
    process.kill()
    process.communicate()
    until(lambda: not log.exists(), "the compiler, which outlives its parent, to end", PATIENCE_S)
    assert not cache_folder().exists()
    with opened() as datapath:
        assert datapath.mode == "native"
    assert left_behind() == {}


def test_a_filter_from_other_sources_is_replaced_unless_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with daemon() as (process, _):
        monkeypatch.setattr("bpf.layout.source_digest", lambda: "of another version")
        with pytest.raises(MachineError, match="another version of farmd, and farm web uses it"), opened("shop"):
            pass
        old = hooks.xdp_query(ifindex()).program
        process.kill()
        process.wait()
    with opened("web"):
        assert hooks.xdp_query(ifindex()).program != old
        assert Pins(INTERFACE).read().source == "of another version"
    assert left_behind() == {}


def test_a_broken_filter_is_refused_with_the_verifiers_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a program that reads beyond the frame."""
    farm_c = own_sources(tmp_path, monkeypatch) / "farm.c"
    careless = "p.kind = *(char *)(long)ctx->data_end;"
    broken = farm_c.read_text().replace("\treturn v.pass ?", f"\t{careless}\n\treturn p.kind || v.pass ?")
    farm_c.write_text(broken)
    with pytest.raises(MachineError, match="the kernel refuses the program farm_xdp") as refused, opened():
        pass
    log = run_folder() / f"@{INTERFACE}.loader.log"
    assert str(log) in str(refused.value)
    assert "invalid mem access 'pkt_end'" in str(refused.value)
    assert "invalid mem access 'pkt_end'" in log.read_text()
    assert list(cache_folder().iterdir()) == [], "what was refused is not kept"
    log.unlink()
    assert left_behind() == {}


def test_a_filter_that_does_not_compile_is_refused_with_the_compilers_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (own_sources(tmp_path, monkeypatch) / "farm.c").open("a") as farm_c:
        farm_c.write("#error it is Tuesday\n")
    with pytest.raises(MachineError, match=r"(?s)the filter does not compile.*it is Tuesday"), opened():
        pass
    (run_folder() / f"@{INTERFACE}.loader.log").unlink()
    assert not cache_folder().exists()
    assert left_behind() == {}


def test_a_kernel_that_is_too_old_is_told_before_anything_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARMD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compiled, "_SYSTEM_PYTHON", "/nowhere/python")
    monkeypatch.setattr("bpf.loader.KERNEL_MIN", (99, 0))
    with pytest.raises(MachineError, match=r"the filter needs Linux 99\.0 or newer"), opened():
        pass
    assert left_behind() == {}


def test_without_bcc_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARMD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compiled, "_SYSTEM_PYTHON", sys.executable)
    with pytest.raises(MachineError, match=r"install python3-bpfcc$"), opened():
        pass
    (run_folder() / f"@{INTERFACE}.loader.log").unlink()
    assert left_behind() == {}


def test_what_was_compiled_is_kept_for_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("FARMD_CACHE", str(cache))
    cache.mkdir()
    (cache / "filter-of-another-version.json").touch()
    with opened():
        pass
    (kept,) = cache.iterdir()
    monkeypatch.setattr(compiled, "_SYSTEM_PYTHON", "/nowhere/python")
    with opened() as datapath:  # without a compiler
        assert datapath.mode == "native"
    kept.write_text(kept.read_text()[:-100])
    with pytest.raises(MachineError, match="the filter's compiler does not run"), opened():  # it is asked for
        pass
    monkeypatch.undo()
    assert left_behind() == {}


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FARMD_CACHE", str(tmp_path / "file"))
    with opened() as datapath:
        assert datapath.mode == "native"
    monkeypatch.setattr("bpf.loader.KERNEL_MIN", (99, 0))
    with pytest.raises(MachineError, match="the filter needs Linux"), opened():  # nor can it be forgotten
        pass
    assert left_behind() == {}


def test_an_interface_that_does_not_exist() -> None:
    with pytest.raises(MachineError, match="there is no interface nowhere"):
        Datapath.open("nowhere", "web", "auto")


def test_an_interface_with_a_dot_in_its_name() -> None:
    run(f"ip link set {INTERFACE} name v0.7")
    lock = hold_farm_lock("web")
    Datapath.open("v0.7", "web", "auto").close()
    lock.release()
    run(f"ip link set v0.7 name {INTERFACE}")
    assert left_behind() == {}


def test_an_interface_that_vanishes() -> None:
    lock = hold_farm_lock("web")
    datapath = Datapath.open(INTERFACE, "web", "auto")
    run(f"ip link del {INTERFACE}")
    datapath.close()
    lock.release()
    assert not any(bpffs_folder().glob("farmd/**"))
    assert not any(run_folder().iterdir())


@pytest.mark.parametrize("mode", ["native", "off"])
def test_a_frame_to_the_vmac_reaches_a_socket(mode: str, namespace: Namespace) -> None:
    """The interface's own MAC is another one, so without the filter's consent the stack drops the frame."""
    run(f"ip address add {VIP4}/32 dev lo")
    run(f"ip link set {INTERFACE} promisc on")
    run("ip route add 10.0.0.9 dev lo")  # or the way back, and so the frame, is not plausible
    run("sysctl -q net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.v0.rp_filter=0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, opened(mode=mode) as datapath:
        server.bind((str(VIP4), 80))
        server.settimeout(PATIENCE_S)
        datapath.configure([VIP4], (), VMAC, NODE_MAC)
        states = bpf.layout.enum("bucket_state")
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind(("v1", 0))
            datapath.renew(time.monotonic_ns() + LEASE_NS)
            datapath.install(bytes([states["OTHER"]]) * bpf.layout.number("BUCKETS"))
            wire.send(bytes(to_vip(ip4() / udp())))
            until(lambda: datapath.counters()["drop_other"] == 1, "the drop to be counted", PATIENCE_S)
            datapath.install(bytes([states["OWNED"]]) * bpf.layout.number("BUCKETS"))
            wire.send(bytes(to_vip(ip4() / udp())))
            assert server.recv(100) == b"question"
            assert datapath.counters()["owned"] == 1
            assert sum(datapath.bucket_packets()) == 1


def test_renewing_and_installing_are_no_system_calls() -> None:
    """Seen from outside: with seccomp in its strict mode a process is killed at the first one."""
    with opened() as datapath:
        child = os.fork()
        if child == 0:
            _renew_under_seccomp(datapath)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 7
        assert datapath.lease_until_ns == 42


def _renew_under_seccomp(datapath: Datapath) -> None:
    libc = ctypes.CDLL(None)
    states = bytes(bpf.layout.number("BUCKETS"))
    libc.prctl(22, 1, 0, 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_STRICT: only read, write, exit
    datapath.install(states)
    datapath.renew(42)
    libc.syscall(60, 7)  # exit of this thread; os._exit() would call exit_group

"""A database's clients that remember what was committed: transfers between accounts, each with a line in a ledger.

They sit in the client place and use the virtual address, as applications do. A transfer counts as committed when the
server has said so. One whose answer never came may be there or not; one that was committed must be, for ever.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Protocol, Self

from lab import machine
from lab.errors import LabError
from lab.machine import Machine
from lab.topology import LAN

ACCOUNTS = 64
ANSWER_WITHIN_S = 1.0
"""A client gives a transfer so long, then it connects anew: its server may be gone without a word."""
TABLES = f"""
CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL);
INSERT INTO account SELECT id, 0 FROM generate_series(0, {ACCOUNTS - 1}) AS id;
CREATE TABLE ledger (client int, number int, amount int NOT NULL, PRIMARY KEY (client, number));
CREATE EXTENSION amcheck;
"""
CHECK_INDEXES = """
SELECT bt_index_check(c.oid, true) FROM pg_class c JOIN pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence = 'p'
"""
CONNECTION = "user=postgres dbname=postgres connect_timeout=2 tcp_user_timeout=1000 keepalives_idle=1"


class Places(Protocol):
    """A lab of any kind, as far as a bank goes."""

    def exec(
        self, place: str, *command: str, check: bool = True, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]: ...

    def machine(self, place: str) -> Machine: ...


class Bank:
    """The clients; they work from `with` until its end."""

    def __init__(
        self,
        lab: Places,
        address: str,
        first: int = 0,
        clients: int = 4,
        *,
        answer_within_s: float = ANSWER_WITHIN_S,
    ) -> None:
        """first: the first client's number; of each client the ledger has the transfers 1, 2, 3 and so on once."""
        self.lab = lab
        self.address = address
        self.answer_within_s = answer_within_s
        self.committed: list[tuple[int, int]] = []
        """Client and number of each transfer that was confirmed."""
        self.confirmed_at: list[float] = []
        """When, by CLOCK_MONOTONIC, in order."""
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._clients = [threading.Thread(target=self._work, args=[number]) for number in range(first, first + clients)]

    def __enter__(self) -> Self:
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for client in self._clients:
            client.join()

    def first_after(self, at_s: float, timeout_s: float = 60.0) -> float:
        """When a transfer that was begun after `at_s` was confirmed first; LabError if none is."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with self._lock:
                found = next((one for one in self.confirmed_at if one > at_s), None)
            if found is not None:
                return found
            time.sleep(0.005)
        raise LabError(f"no transfer was committed within {timeout_s:g} s")

    def longest_gap_s(self, start_s: float, end_s: float) -> float:
        """The longest time in which none of the clients got a confirmation."""
        with self._lock:
            inside = [start_s, *(one for one in self.confirmed_at if start_s <= one <= end_s), end_s]
        return max(later - earlier for earlier, later in itertools.pairwise(inside))

    def lost(self) -> set[tuple[int, int]]:
        """The transfers committed by now that the database does not have; also while the clients work."""
        with self._lock:
            committed = set(self.committed)
        rows = query(self.lab, self.address, "SELECT client, number FROM ledger").splitlines()
        return committed - {(int(client), int(number)) for client, number in (row.split("|") for row in rows)}

    def _work(self, client: int) -> None:
        number = 0
        while not self._stopped.is_set():
            with contextlib.suppress(BrokenPipeError), psql(self.lab, self.address) as session:
                while not self._stopped.is_set():
                    number += 1
                    if not self._transfer(session, client, number):
                        break
                    with self._lock:
                        self.committed.append((client, number))
                        self.confirmed_at.append(time.monotonic())

    def _transfer(self, session: subprocess.Popen[bytes], client: int, number: int) -> bool:
        one, other, amount = number % ACCOUNTS, (number * 7 + client) % ACCOUNTS, number % 100
        # The accounts are locked in order, so that no two transfers wait for each other.
        changes = sorted([(one, -amount), (other, amount)])
        updates = "".join(f"UPDATE account SET balance = balance + {by} WHERE id = {at}; " for at, by in changes)
        insert = f"INSERT INTO ledger VALUES ({client}, {number}, {amount}); "
        assert session.stdin is not None
        session.stdin.write(f"BEGIN; {updates}{insert}COMMIT;\n\\echo done {number}\n".encode())
        session.stdin.flush()
        return _answered(session, f"done {number}\n".encode(), self.answer_within_s)


def query(lab: Places, address: str, text: str) -> str:
    """The rows of a query's answer; LabError with the server's words when it fails."""
    command = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", f"host={address} {CONNECTION}", "-c", text]
    done = lab.exec(LAN, *command, check=False, timeout=60)
    if done.returncode:
        raise LabError(f"PostgreSQL at {address}: {done.stderr.strip()}")
    return done.stdout


def imbalances(lab: Places, address: str) -> list[str]:
    """Money that has come or gone, of the bank and of pgbench; also while their clients work."""
    found = []
    if (money := query(lab, address, "SELECT sum(balance) FROM account").strip()) != "0":
        found.append(f"the accounts sum up to {money}")
    sums = [f"(SELECT coalesce(sum({column}), 0) FROM pgbench_{table})" for table, column in (
        ("accounts", "abalance"), ("branches", "bbalance"), ("tellers", "tbalance"), ("history", "delta"))]  # fmt: skip
    seen = query(lab, address, f"SELECT {', '.join(sums)}").strip().split("|")
    if len(set(seen)) != 1:
        found.append(f"pgbench's sums differ: {', '.join(seen)}")
    return found


def faults(lab: Places, address: str) -> list[str]:
    """What is wrong inside of the database: money that has come or gone, indexes that do not match their tables."""
    found = imbalances(lab, address)
    try:
        query(lab, address, CHECK_INDEXES)
    except LabError as error:
        found.append(str(error))
    return found


@contextlib.contextmanager
def psql(lab: Places, address: str) -> Iterator[subprocess.Popen[bytes]]:
    """A session in the client place, which reads statements and says what \\echo says; it ends at the first error."""
    command = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", f"host={address} {CONNECTION}"]
    session = subprocess.Popen(
        lab.machine(LAN).enter_bound(*command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        env=machine.environment(),
    )
    try:
        yield session
    finally:
        session.terminate()
        session.wait()
        for stream in (session.stdin, session.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _answered(session: subprocess.Popen[bytes], wanted: bytes, within_s: float) -> bool:
    """Whether the session says this within the time a client gives it."""
    assert session.stdout is not None
    if not select.select([session.stdout], [], [], within_s)[0]:
        return False
    return session.stdout.readline() == wanted

"""The supervisor among random events: what must hold whatever happens, and that it comes to rest."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from farmd.core.life import State
from farmd.core.settings import MS
from farmd.core.supervisor_events import Action, BeginService, EndService, Event, ReportHealth, Surroundings
from tests.scenarios.workshop import Machine, Stage

SERVICES = ("database", "app")
CHECKS = ("page", "link", "data")
NODES = ("n1", "n2", "n3")
FARM = [
    "service database warm-up=2000",
    "service app warm-up=2000",
    "check page restart fall=2",
    "check link release rise=1 fall=1",
    "check data stop all-fail=release service=app every=300",
    "farm 3 announce=200 drain=3000",
    "start-farmd",
]
RELEASE_MS = 800
RESTARTS_MAX = 3


class GuardedStage(Stage):
    """A stage on which every step is checked."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way: dict[tuple[str, str], str] = {}
        """What each service is being told to do."""
        self.ready = dict.fromkeys(NODES, False)
        self.not_ready_since_ns = dict.fromkeys(NODES, 0)

    def _step(self, machine: Machine, event: Event) -> None:
        super()._step(machine, event)
        core = machine.supervisor
        if core is None:
            return
        assert core.ready == self.ready[machine.name]
        assert core.deadline_ns > self.now_ns
        if core.ready and core.lives.quitting is None:
            assert all(life.serves(self.now_ns) for life in core.lives)
            assert all(check.known for check in core.checks.values())
        for life in core.lives:
            assert life.restarts_within(core.checks[life.name].duty.limit, self.now_ns) <= RESTARTS_MAX

    def _execute(self, machine: Machine, action: Action) -> None:
        match action:
            case BeginService(service):
                assert (machine.name, service) not in self.under_way
                assert service not in machine.alive, "a service that lives is not started again"
                self.under_way[machine.name, service] = "begin"
            case EndService(service, force):
                doing = self.under_way.get((machine.name, service))
                assert force or doing is None
                if doing is None:
                    self._check_nothing_comes(machine)
                    self._check_order(machine, service)
                self.under_way[machine.name, service] = "end"
            case ReportHealth(ready, failing):
                assert list(failing) == sorted(set(failing))
                if self.ready[machine.name] and not ready:
                    self.not_ready_since_ns[machine.name] = self.now_ns
                self.ready[machine.name] = ready
        super()._execute(machine, action)

    def _check_nothing_comes(self, machine: Machine) -> None:
        """Nothing is stopped while clients may come, except what did not get rid of them in time."""
        waited_ns = self.now_ns - self.not_ready_since_ns[machine.name]
        assert machine.left or (not self.ready[machine.name] and (machine.released or waited_ns >= RELEASE_MS * MS))

    def _check_order(self, machine: Machine, service: str) -> None:
        core = machine.supervisor
        assert core is not None
        if service == "database" and core.lives["app"].state in (State.RELEASING, State.STOPPING):
            raise AssertionError("database was stopped before app")

    def _begun(self, machine: Machine, service: str) -> None:
        self.under_way.pop((machine.name, service), None)
        super()._begun(machine, service)

    def _ended(self, machine: Machine, service: str, *, forced: bool) -> None:
        self.under_way.pop((machine.name, service), None)
        super()._ended(machine, service, forced=forced)

    def _do_kill_farmd(self, *names: str) -> None:
        super()._do_kill_farmd(*names)
        for name in names:
            self.ready[name] = False
            for service in SERVICES:
                self.under_way.pop((name, service), None)


def commands() -> st.SearchStrategy[str]:
    node, service, check = st.sampled_from(NODES), st.sampled_from(SERVICES), st.sampled_from(CHECKS)
    return st.one_of(
        st.builds("run {}".format, st.integers(1, 4000)),
        st.builds("{} {} {}".format, st.sampled_from(("break", "repair")), check, node),
        st.builds("{} {}".format, st.sampled_from(("break", "repair")), check),
        st.builds("{} {} {}".format, st.sampled_from(("start", "stop", "restart", "die")), service, node),
        st.builds("{} {} {}".format, st.sampled_from(("starts-fail", "stops-hang")), service, node),
        st.builds("{} {}".format, st.sampled_from(("freeze-attendant", "replace-attendant")), node),
        st.builds("kill-farmd {0}\nstart-farmd {0}".format, node),
        st.builds("flows {} {}".format, node, st.integers(1, 10_000)),
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(commands(), max_size=40))
def test_whatever_happens(script: list[str]) -> None:
    stage = GuardedStage()
    stage.play("\n".join(FARM))
    stage.play("\n".join(script))
    # Everything is repaired, and somebody looks after what was given up.
    for node in NODES:
        stage.machines[node].starts_fail.clear()
        stage.machines[node].stops_hang.clear()
        stage.play(f"replace-attendant {node}")
    for check in CHECKS:
        stage.play(f"repair {check}")
    stage.play("run 30000")
    for service in SERVICES:
        stage.play(f"start {service}\nrun 5000")
    stage.play("run 30000")
    for node in NODES:
        core = stage.machines[node].supervisor
        assert core is not None
        assert core.ready, core.reason
        assert core.failing == ()


@settings(max_examples=100, deadline=None)
@given(st.lists(commands(), max_size=30), st.sampled_from(["", "at-once"]))
def test_the_end_comes(script: list[str], how: str) -> None:
    stage = GuardedStage()
    stage.play("\n".join(FARM))
    stage.play("\n".join(script))
    stage.play(f"end-farmd n1 {how}\nreplace-attendant n1")
    seen = stage.play("run 30000")
    assert seen.count("n1  > finished") == 1
    assert stage.machines["n1"].alive == set()


def test_surroundings_are_told_again_after_each_report() -> None:
    """What the guards above rely on: the played membership takes back its word when a node is ready again."""
    stage = GuardedStage()
    stage.play("\n".join(FARM))
    stage.play("run 3000\nstop app n1\nrun 3000")
    assert stage.machines["n1"].released
    stage.play("start app n1\nrun 1000")
    assert not stage.machines["n1"].released
    assert Surroundings() == Surroundings(released=False)

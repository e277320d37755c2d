"""What a resync has left to do, and which live changes may be sent meanwhile."""

from __future__ import annotations

from mirrord.core.plan import Plan

ROOT, FOLDER, INNER, FILE = 1, 10, 11, 20


def walked(*, everything: bool = False) -> Plan:
    plan = Plan(ROOT, everything)
    plan.walking = False
    return plan


def test_nothing_is_sent_while_candidates_are_looked_for() -> None:
    plan = Plan(ROOT, everything=False)
    assert not plan.names_are_sent(FOLDER, [ROOT], bound=True)
    assert not plan.ended


def test_names_are_sent_once_they_are_listed_and_relied_on_once_that_is_answered() -> None:
    plan = walked()
    plan.visit(FOLDER)
    assert not plan.names_are_sent(FOLDER, [ROOT], bound=True)
    assert plan.next_folder(lambda _: True) == FOLDER
    plan.listed(FOLDER)
    assert plan.names_are_sent(FOLDER, [ROOT], bound=True)
    assert not plan.is_settled([FOLDER, ROOT])
    plan.answered(FOLDER, (), ())
    assert plan.is_settled([FOLDER, ROOT])
    assert plan.ended


def test_what_the_peer_took_for_another_is_visited_as_such() -> None:
    plan = walked()
    plan.visit(ROOT)
    plan.next_folder(lambda _: True)
    plan.listed(ROOT)
    plan.answered(ROOT, [FOLDER], [FILE], [INNER])
    assert plan.is_other(FOLDER)
    assert not plan.is_other(INNER)
    assert {plan.next_folder(lambda _: True), plan.next_folder(lambda _: True)} == {FOLDER, INNER}
    assert plan.next_file() == (FILE, None)


def test_a_folder_that_cannot_be_reached_yet_waits() -> None:
    plan = walked()
    plan.visit(FOLDER)
    assert plan.next_folder(lambda _: False) is None
    assert plan.next_folder(lambda _: True) == FOLDER


def test_a_file_is_not_forgotten_because_a_folder_of_its_number_is_gone() -> None:
    plan = walked()
    plan.compare(FILE, [1])
    plan.visit(FILE)
    plan.gone(FILE)
    assert plan.next_file() == (FILE, {1})


def test_where_everything_is_compared_only_visited_folders_are_settled() -> None:
    plan = walked(everything=True)
    assert not plan.is_settled([ROOT])
    assert plan.next_folder(lambda _: True) == ROOT
    plan.listed(ROOT)
    plan.answered(ROOT, (), ())
    assert plan.is_settled([ROOT])
    assert not plan.is_settled([FOLDER, ROOT])
    plan.made(FOLDER)
    assert plan.is_settled([FOLDER, ROOT])

"""What a resync has left to do, and which live changes may be sent meanwhile."""

from __future__ import annotations

from mirrord.core.plan import Plan

ROOT, FOLDER, INNER, FILE = 1, 10, 11, 20


def reached(_: int) -> None:
    """Nothing is in the way of anything."""


def walked(*, everything: bool = False) -> Plan:
    plan = Plan(ROOT, everything)
    plan.walking = False
    return plan


def list_whole(plan: Plan, folder: int) -> None:
    """In one part."""
    plan.asked(folder)
    plan.listed(folder)


def test_nothing_is_sent_while_candidates_are_looked_for() -> None:
    plan = Plan(ROOT, everything=False)
    assert not plan.names_are_sent(FOLDER, [ROOT], bound=True)
    assert not plan.ended


def test_names_are_sent_once_they_are_listed_and_relied_on_once_that_is_answered() -> None:
    plan = walked()
    plan.visit(FOLDER)
    assert not plan.names_are_sent(FOLDER, [ROOT], bound=True)
    assert plan.next_folder(reached) == FOLDER
    list_whole(plan, FOLDER)
    assert plan.names_are_sent(FOLDER, [ROOT], bound=True)
    assert not plan.is_settled([FOLDER, ROOT])
    plan.answered(FOLDER, (), ())
    assert plan.is_settled([FOLDER, ROOT])
    assert plan.ended


def test_what_the_peer_took_for_another_is_visited_as_such() -> None:
    plan = walked()
    plan.visit(ROOT)
    plan.next_folder(reached)
    list_whole(plan, ROOT)
    plan.answered(ROOT, [FOLDER], [FILE], [INNER])
    assert plan.is_other(FOLDER)
    assert not plan.is_other(INNER)
    assert {plan.next_folder(reached), plan.next_folder(reached)} == {FOLDER, INNER}
    assert plan.next_file(reached) == (FILE, None)


def test_a_folder_that_cannot_be_reached_yet_waits() -> None:
    plan = walked()
    plan.visit(FOLDER)
    plan.visit(INNER)
    plan.compare(FILE)

    def behind(node: int) -> int | None:
        return None if node == FOLDER else FOLDER

    assert plan.next_folder(behind) == FOLDER
    assert plan.next_folder(behind) is None
    assert plan.next_file(behind) is None
    list_whole(plan, FOLDER)
    assert not plan.has_untried()
    plan.answered(FOLDER, (), ())
    assert plan.has_untried()
    assert plan.next_folder(reached) == INNER
    assert plan.next_file(reached) == (FILE, None)


def test_what_waits_for_nothing_that_is_under_way_is_tried_again() -> None:
    plan = walked()
    plan.compare(FILE)
    assert plan.next_file(lambda _: FOLDER) is None
    assert not plan.has_untried()
    assert plan.next_file(reached) == (FILE, None)


def test_a_folder_is_settled_when_every_part_of_its_listing_is_answered() -> None:
    plan = walked(everything=True)
    assert plan.next_folder(reached) == ROOT
    plan.asked(ROOT)
    plan.answered(ROOT, (), ())
    assert not plan.is_settled([ROOT])
    plan.asked(ROOT)
    plan.asked(ROOT)
    plan.listed(ROOT)
    plan.answered(ROOT, (), ())
    assert not plan.is_settled([ROOT])
    plan.answered(ROOT, (), ())
    assert plan.is_settled([ROOT])


def test_one_search_looks_at_few() -> None:
    plan = walked()
    tried: list[int] = []
    for node in range(1000):
        plan.compare(node)

    def behind(node: int) -> int:
        tried.append(node)
        return FOLDER

    assert plan.next_file(behind) is None
    assert len(tried) < 100
    assert plan.has_untried()


def test_a_file_is_not_forgotten_because_a_folder_of_its_number_is_gone() -> None:
    plan = walked()
    plan.compare(FILE, [1])
    plan.visit(FILE)
    plan.gone(FILE)
    assert plan.next_file(reached) == (FILE, {1})


def test_where_everything_is_compared_only_visited_folders_are_settled() -> None:
    plan = walked(everything=True)
    assert not plan.is_settled([ROOT])
    assert plan.next_folder(reached) == ROOT
    list_whole(plan, ROOT)
    plan.answered(ROOT, (), ())
    assert plan.is_settled([ROOT])
    assert not plan.is_settled([FOLDER, ROOT])
    plan.made(FOLDER)
    assert plan.is_settled([FOLDER, ROOT])

"""Verbs that look at a farm."""

from __future__ import annotations

import argparse

from farmd.commands.asking import Verbs, ask, show


def add(verbs: Verbs) -> None:
    verbs.farm_verb("status", _status, "the farm or mirror as this node sees it")
    verbs.farm_verb("buckets", _buckets, "the owner of every bucket, and the packets it brought here")


def _status(arguments: argparse.Namespace) -> int:
    answer = ask(arguments, "status")
    show(arguments, answer, "mirror" if answer.get("kind") == "mirror" else "status")
    return 0


def _buckets(arguments: argparse.Namespace) -> int:
    show(arguments, ask(arguments, "buckets"), "buckets")
    return 0

"""The scheduler treats a volume as promptness.py says."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.mirror.volumes import Pair

ASK = """
import os, threading
from mirrord.volume.promptness import be_prompt
be_prompt()
def say():
    print(os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0) == os.SCHED_OTHER)
    print(open("/proc/thread-self/sched").read())
thread = threading.Thread(target=say)
thread.start()
thread.join()
"""


def test_threads_of_a_volume_come_on_at_once_and_are_not_real_time() -> None:
    first, _, rest = subprocess.check_output([sys.executable, "-c", ASK], text=True).partition("\n")
    assert first == "-10 True"
    slice_ns = re.search(r"^se\.slice\s*:\s*(\d+)", rest, re.MULTILINE)
    if slice_ns is not None:  # Linux 6.12
        assert int(slice_ns[1]) == 100_000


def test_the_program_asks_for_it(both: Pair) -> None:
    assert os.getpriority(os.PRIO_PROCESS, both.first.process.pid) == -10

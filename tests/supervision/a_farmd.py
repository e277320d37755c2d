"""A farmd to be killed: it has started a service, and a probe runs. `python -m tests.supervision.a_farmd SCOPE`."""

from __future__ import annotations

import asyncio
import sys

from tests.supervision.attending import Attended, until
from tests.supervision.test_attendant import LONG, NAP


async def main(scope: str) -> None:
    """Says so when the service is started and the probe runs, and goes on."""
    under_test = Attended([NAP], [LONG], scope)
    await under_test.attendant.start()
    await under_test.begun("nap")
    await until(lambda: len(under_test.group("attendant").processes()) == 2, "the long probe to begin")
    print("started", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

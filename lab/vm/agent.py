"""The machine's end of the lab's channel: runs the commands that arrive on a virtio-serial port, one after the other.

It is copied into the image and run by the machine's own Python, so it imports nothing but the standard library. One
JSON object a line each way: {"id", "command", "input", "timeout_s"} and {"id", "status", "stdout", "stderr"}.
"""

import json
import os
import subprocess
import sys
import time

PAUSE_S = 0.02
"""Between two looks whether somebody has connected: the port has no other way to tell (an end of file until then)."""


def answer(request: dict) -> dict:  # type: ignore[type-arg]
    """Run one command; one that cannot be run, or takes too long, has a negative status."""
    try:
        done = subprocess.run(
            request["command"],
            input=request["input"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=request["timeout_s"],
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"id": request["id"], "status": -1, "stdout": "", "stderr": str(error)}
    return {"id": request["id"], "status": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


def main() -> None:
    """Until the machine ends. A rest of a line from a connection that was cut is thrown away."""
    port = os.open(sys.argv[1], os.O_RDWR)
    waiting = b""
    while True:
        received = os.read(port, 65_536)
        if not received:
            waiting = b""
            time.sleep(PAUSE_S)
            continue
        *lines, waiting = (waiting + received).split(b"\n")
        for line in lines:
            reply = json.dumps(answer(json.loads(line))).encode() + b"\n"
            while reply:
                reply = reply[os.write(port, reply) :]


if __name__ == "__main__":
    main()

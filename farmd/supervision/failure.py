"""Why a probe did not pass, or an action did not succeed."""

from __future__ import annotations

import os
import socket
import ssl


class Failure(Exception):  # noqa: N818  (it is what a check looks for, and no error of the program)
    """What was seen, in a few words."""


def described(error: OSError) -> str:
    """A failed connection or look-up in a few words."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"the certificate is not valid: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS: {(error.reason or 'it failed').lower().replace('_', ' ')}"
        case socket.gaierror():
            return f"the name cannot be resolved: {(error.strerror or 'no answer').lower()}"
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case _:
            return str(error) or type(error).__name__

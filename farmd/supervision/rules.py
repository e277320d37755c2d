"""What [[service]] and [[check]] must satisfy beyond the types of their values; nothing on the machine is looked at."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence

from farmd.errors import ConfigError
from farmd.kit.rules import check_distinct, check_host, check_interface, check_range
from farmd.supervision.schema import Check, Service
from farmd.supervision.targets import authority, host_and_port, status_codes, url
from farmd.supervision.words import words

SERVICE_KINDS = ("unit", "start", "ocf")
CHECK_KINDS = ("tcp", "http", "exec", "process", "ping", "interface")

OPTIONS_OF = {
    "stop": "start",
    "params": "ocf",
    "status": "http",
    "text": "http",
    "host": "http",
    "verify": "http",
    "needs": "ping",
    "address": "interface",
}
"""Keys that mean something for one kind only. `status` of a service is a command line, and goes with `start`."""

PINGED_MAX = 16
"""Every one of them is asked at every try."""

DAY_S = 86400
YEAR_S = 366 * DAY_S

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_UNIT = re.compile(r"[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]+)?\.[a-z]+")
_AGENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*:[A-Za-z0-9][A-Za-z0-9._-]*")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check(services: Sequence[Service], checks: Sequence[Check]) -> None:
    """Raise ConfigError for the first rule that they break."""
    for index, service in enumerate(services):
        _check_service(f"service[{index}]", service)
    for index, one in enumerate(checks):
        _check_check(f"check[{index}]", one)
        _check_reaction(f"check[{index}]", one, services)
    check_distinct(
        [
            *((f"service[{index}].name", service.name) for index, service in enumerate(services)),
            *((f"check[{index}].name", one.name) for index, one in enumerate(checks)),
        ]
    )


def _check_service(key: str, service: Service) -> None:
    kind = _kind(key, service, SERVICE_KINDS)
    _check_options(key, service, kind, OPTIONS_OF | {"status": "start"})
    match kind:
        case "unit":
            _check_form(f"{key}.unit", service.unit, _UNIT, 'the full name of a unit, such as "nginx.service"')
        case "ocf":
            _check_form(f"{key}.ocf", service.ocf, _AGENT, 'PROVIDER:TYPE, such as "heartbeat:nginx"')
            for name in service.params:
                _check_form(f"{key}.params.{name}", name, _PARAMETER, "a name of letters, digits and underscores")
        case _:
            _check_commands(key, service)
    _check_name(f"{key}.name", service.name)
    for field in ("start_timeout_s", "stop_timeout_s", "status_timeout_s"):
        check_range(f"{key}.{field}", getattr(service, field), 0.1, DAY_S, "seconds")
    _check_times(key, service)
    if not service.managed and service.on_failure == "stop":
        raise ConfigError(f"{key}.on_failure", "cannot stop it, since it is not managed")


def _check_commands(key: str, service: Service) -> None:
    if not service.stop:
        raise ConfigError(f"{key}.stop", "is missing; a service that is started by a command is stopped by another")
    for field in ("start", "stop", "status"):
        if getattr(service, field):
            _check_command(f"{key}.{field}", getattr(service, field))


def _check_check(key: str, one: Check) -> None:
    kind = _kind(key, one, CHECK_KINDS)
    _check_options(key, one, kind, OPTIONS_OF)
    _check_name(f"{key}.name", one.name)
    match kind:
        case "tcp":
            _check_value(f"{key}.tcp", lambda: host_and_port(one.tcp))
        case "http":
            _check_http(key, one)
        case "exec":
            _check_command(f"{key}.exec", one.exec)
        case "process":
            _check_process(f"{key}.process", one.process)
        case "ping":
            _check_ping(f"{key}.ping", one)
        case "interface":
            check_interface(f"{key}.interface", one.interface)
    check_range(f"{key}.timeout_s", one.timeout_s, 0.01, 3600, "seconds")
    check_range(f"{key}.rise", one.rise, 1, 1000)
    check_range(f"{key}.fall", one.fall, 1, 1000)
    _check_times(key, one)


def _check_http(key: str, one: Check) -> None:
    _check_value(f"{key}.http", lambda: url(one.http))
    _check_value(f"{key}.status", lambda: status_codes(one.status))
    if one.host:
        _check_value(f"{key}.host", lambda: authority(one.host))
    if not one.verify and not url(one.http).tls:
        raise ConfigError(f"{key}.verify", "is about certificates, and this URL is not https")


def _check_process(key: str, process: str) -> None:
    if process.startswith("@"):
        if not process.startswith("@/"):
            raise ConfigError(key, 'must have the full path of a file after "@"')
    elif "/" in process:
        raise ConfigError(key, 'must be a program\'s name without a path, or "@/path" of a file with a process number')


def _check_ping(key: str, one: Check) -> None:
    if len(one.ping) > PINGED_MAX:
        raise ConfigError(key, f"must be at most {PINGED_MAX} addresses, not {len(one.ping)}")
    addresses = [(f"{key}[{index}]", address) for index, address in enumerate(one.ping)]
    for address_key, address in addresses:
        check_host(address_key, address)
    check_distinct(addresses)


def _check_reaction(key: str, one: Check, services: Iterable[Service]) -> None:
    managed = {service.name: service.managed for service in services}
    if one.service and one.service not in managed:
        known = f"there are {', '.join(managed)}" if managed else "there is none"
        raise ConfigError(f"{key}.service", f"there is no service {one.service!r}; {known}")
    if one.on_failure == "release":
        return
    if one.service and not managed[one.service]:
        raise ConfigError(f"{key}.service", f"{one.service} is not managed, so it cannot be {_done(one)}")
    if not any(managed.values()):
        raise ConfigError(f"{key}.on_failure", f"there is no managed service that could be {_done(one)}")


def _done(one: Check) -> str:
    return "restarted" if one.on_failure == "restart" else "stopped"


def _check_times(key: str, each: Service | Check) -> None:
    check_range(f"{key}.interval_s", each.interval_s, 0.1, DAY_S, "seconds")
    check_range(f"{key}.max_restarts", each.max_restarts, 0, 1000)
    check_range(f"{key}.restart_window_s", each.restart_window_s, 1, YEAR_S, "seconds")


def _kind(key: str, table: Service | Check, kinds: Sequence[str]) -> str:
    """The one key that says what it is."""
    given = [kind for kind in kinds if getattr(table, kind)]
    if not given:
        raise ConfigError(key, f"says not what it is; it needs one of {', '.join(kinds)}")
    if len(given) > 1:
        raise ConfigError(f"{key}.{given[1]}", f"cannot stand next to {given[0]}; a table is about one of them")
    return given[0]


def _check_options(key: str, table: Service | Check, kind: str, option_of: dict[str, str]) -> None:
    """A key that means nothing here is a mistake. One with the value that it has anyway does no harm."""
    for field in dataclasses.fields(table):
        of = option_of.get(field.name, kind)
        if of != kind and getattr(table, field.name) != _default(field):
            raise ConfigError(f"{key}.{field.name}", f"belongs to {of}, and this is about {kind}")


def _default(field: dataclasses.Field[object]) -> object:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _check_name(key: str, name: str) -> None:
    _check_form(key, name, _NAME, "1 to 63 letters, digits and, not first, any of . _ - @")


def _check_command(key: str, line: str) -> None:
    _check_value(key, lambda: words(line))


def _check_form(key: str, value: str, form: re.Pattern[str], what: str) -> None:
    if not form.fullmatch(value):
        raise ConfigError(key, f"must be {what}, not {value!r}")


def _check_value(key: str, read: Callable[[], object]) -> None:
    try:
        read()
    except ValueError as error:
        raise ConfigError(key, str(error)) from None

"""[[service]] and [[check]]: what a file means, and one sentence for each way it can be wrong."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest

from farmd.errors import ConfigError
from farmd.kit import toml
from farmd.supervision import rules
from farmd.supervision.schema import Check, Service


@dataclass(frozen=True, slots=True)
class File:
    """The part of a configuration that is about supervision."""

    services: tuple[Service, ...] = field(default=(), metadata={"key": "service"})
    checks: tuple[Check, ...] = field(default=(), metadata={"key": "check"})


def read(text: str) -> File:
    file = toml.read(tomllib.loads(text), File)
    rules.check(file.services, file.checks)
    return file


def service(lines: str) -> Service:
    return read(f"[[service]]\n{lines}").services[0]


def check(lines: str) -> Check:
    return read(f'[[check]]\nname = "c"\n{lines}').checks[0]


NGINX = '[[service]]\nunit = "nginx.service"\n'
WATCHED = '[[service]]\nunit = "mail.service"\nmanaged = false\non_failure = "release"\n'


def test_a_service_has_its_own_name() -> None:
    assert service('unit = "nginx.service"').name == "nginx"
    assert service('unit = "getty@tty1.service"').name == "getty@tty1"
    assert service('unit = "local.mount"').name == "local.mount"
    assert service('ocf = "heartbeat:pgsql"').name == "pgsql"
    assert service('start = "/usr/sbin/nginx -c x"\nstop = "nginx -s stop"').name == "nginx"
    assert service('name = "web"\nunit = "nginx.service"').name == "web"


def test_a_file_becomes_its_values() -> None:
    file = read(
        """
        [[service]]
        ocf = "heartbeat:nginx"
        params = { configfile = "/etc/nginx.conf", port = "8080" }

        [[check]]
        name = "gateway"
        ping = ["10.0.0.254", "fd00::254"]
        needs = "all"

        [[check]]
        name = "uplink"
        interface = "eth0"
        address = "10.0.0.1"

        [[check]]
        name = "home"
        http = "https://127.0.0.1/status"
        host = "www.example.com"
        verify = false
        on_failure = "restart"
        service = "nginx"
        """
    )
    parameters = {"configfile": "/etc/nginx.conf", "port": "8080"}
    assert file.services == (Service(ocf="heartbeat:nginx", params=parameters),)
    assert file.checks == (
        Check("gateway", ping=(ip_address("10.0.0.254"), ip_address("fd00::254")), needs="all"),
        Check("uplink", interface="eth0", address=ip_address("10.0.0.1")),
        Check("home", http="https://127.0.0.1/status", host="www.example.com", verify=False, on_failure="restart",
              service="nginx"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "key", "sentence"),
    [
        ("", "service[0]", "says not what it is; it needs one of unit, start, ocf"),
        ('unit = "a.service"\nstart = "a"\nstop = "b"', "service[0].start",
         "cannot stand next to unit; a table is about one of them"),
        ('unit = "nginx"', "service[0].unit",
         "must be the full name of a unit, such as \"nginx.service\", not 'nginx'"),
        ('unit = "--now.service"\nname = "x"\nstop = "b"', "service[0].stop",
         "belongs to start, and this is about unit"),
        ('unit = "a.service"\nparams = { x = "1" }', "service[0].params", "belongs to ocf, and this is about unit"),
        ('ocf = "heartbeat:nginx"\nstatus = "true"', "service[0].status", "belongs to start, and this is about ocf"),
        ('ocf = "nginx"', "service[0].ocf", "must be PROVIDER:TYPE, such as \"heartbeat:nginx\", not 'nginx'"),
        ('ocf = "../..:x"', "service[0].ocf", "must be PROVIDER:TYPE, such as \"heartbeat:nginx\", not '../..:x'"),
        ('ocf = "a:b"\nparams = { "x-y" = "1" }', "service[0].params.x-y",
         "must be a name of letters, digits and underscores, not 'x-y'"),
        ('ocf = "a:b"\nparams = { x = 1 }', "service[0].params.x", "must be a string, not an integer"),
        ('start = "a"', "service[0].stop", "is missing; a service that is started by a command is stopped by another"),
        ('start = "a \\"b"\nstop = "c"', "service[0].start", "has a quotation or an escape that does not end"),
        ('name = "x"\nstart = " "\nstop = "c"', "service[0].start", "must name a command"),
        ('name = "x"\nstart = "a"\nstop = "\'\'"', "service[0].stop", "must name a command"),
        ('name = "x"\nstart = "a\\u0000b"\nstop = "c"', "service[0].start", "must not hold a NUL character"),
        ('start = "a"\nstop = "b"\nstatus = "c \\\\"', "service[0].status",
         "has a quotation or an escape that does not end"),
        ('name = "a/b"\nunit = "a.service"', "service[0].name",
         "must be 1 to 63 letters, digits and, not first, any of . _ - @, not 'a/b'"),
        ('unit = "a.service"\nstart_timeout_s = 0', "service[0].start_timeout_s",
         "must be 0.1 to 86400 seconds, not 0"),
        ('unit = "a.service"\nstop_timeout_s = 1e6', "service[0].stop_timeout_s",
         "must be 0.1 to 86400 seconds, not 1e+06"),
        ('unit = "a.service"\ninterval_s = 0.01', "service[0].interval_s", "must be 0.1 to 86400 seconds, not 0.01"),
        ('unit = "a.service"\nmax_restarts = -1', "service[0].max_restarts", "must be 0 to 1000, not -1"),
        ('unit = "a.service"\nrestart_window_s = 0', "service[0].restart_window_s",
         "must be 1 to 31622400 seconds, not 0"),
        ('unit = "a.service"\nmanaged = false\non_failure = "stop"', "service[0].on_failure",
         "cannot stop it, since it is not managed"),
    ],
)  # fmt: skip
def test_a_service_that_is_wrong(text: str, key: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        service(text)
    assert (caught.value.key, caught.value.sentence) == (key, sentence)


@pytest.mark.parametrize(
    ("text", "key", "sentence"),
    [
        ("", "check[0]", "says not what it is; it needs one of tcp, http, exec, process, ping, interface"),
        ('tcp = "a:1"\nexec = "b"', "check[0].exec", "cannot stand next to tcp; a table is about one of them"),
        ('tcp = "127.0.0.1"', "check[0].tcp",
         "must be HOST:PORT, such as 127.0.0.1:80 or [::1]:80, not '127.0.0.1'"),
        ('tcp = "::1:80"', "check[0].tcp", "must be HOST:PORT, such as 127.0.0.1:80 or [::1]:80, not '::1:80'"),
        ('tcp = "[::g]:80"', "check[0].tcp", "[::g] is no IPv6 address"),
        ('tcp = "a..b:80"', "check[0].tcp", "'a..b' cannot be the name of a host"),
        (f'tcp = "{"a" * 64}:80"', "check[0].tcp", f"'{'a' * 64}' cannot be the name of a host"),
        ('http = "http://a..b/"', "check[0].http", "'a..b' cannot be the name of a host"),
        ('http = "http://a/"\nhost = "b c"', "check[0].host", "'b c' cannot be the name of a host"),
        ('tcp = "a:0"', "check[0].tcp", "a port is 1 to 65535, not 0"),
        ('tcp = "a:80"\nstatus = "200"', "check[0].status", "belongs to http, and this is about tcp"),
        ('tcp = "a:80"\nverify = false', "check[0].verify", "belongs to http, and this is about tcp"),
        ('tcp = "a:80"\nneeds = "all"', "check[0].needs", "belongs to ping, and this is about tcp"),
        ('exec = "a"\naddress = "10.0.0.1"', "check[0].address", "belongs to interface, and this is about exec"),
        ('http = "ftp://a/"', "check[0].http", "must begin with http:// or https://"),
        ('http = "127.0.0.1:80"', "check[0].http", "must begin with http:// or https://"),
        ('http = "http:///x"', "check[0].http", "must name a host"),
        ('http = "http://a b/"', "check[0].http", "must be a URL of printable ASCII characters; write others as %XX"),
        ('http = "http://a/\\r\\nX: y"', "check[0].http",
         "must be a URL of printable ASCII characters; write others as %XX"),
        ('http = "http://a:99999/"', "check[0].http", "is not a URL: port out of range 0-65535"),
        ('http = "http://a:0/"', "check[0].http", "a port is 1 to 65535, not 0"),
        ('http = "http://[::1/"', "check[0].http", "is not a URL: invalid IPv6 URL"),
        ('http = "http://me:secret@a/"', "check[0].http", "must not hold a user name or a password"),
        ('http = "http://a/#b"', "check[0].http", "must not have a fragment (#...), which is never sent"),
        ('http = "http://a/"\nstatus = "2xx"', "check[0].status",
         "must be status codes such as \"200,204\" or \"200-399\", not '2xx'"),
        ('http = "http://a/"\nstatus = "300-200"', "check[0].status",
         "status codes go from 100 to 599, the lower one first, not 300-200"),
        ('http = "http://a/"\nhost = "a\\r\\nX: y"', "check[0].host",
         "must be HOST:PORT, such as 127.0.0.1:80 or [::1]:80, not 'a\\r\\nX: y'"),
        ('http = "http://a/"\nverify = false', "check[0].verify", "is about certificates, and this URL is not https"),
        ('exec = "\'a"', "check[0].exec", "has a quotation or an escape that does not end"),
        ('process = "/usr/sbin/nginx"', "check[0].process",
         "must be a program's name without a path, or \"@/path\" of a file with a process number"),
        ('process = "@run/pid"', "check[0].process", 'must have the full path of a file after "@"'),
        ('ping = ["10.0.0.1", "10.0.0.1"]', "check[0].ping[1]", "is the same as check[0].ping[0]"),
        ('ping = ["0.0.0.0"]', "check[0].ping[0]", "0.0.0.0 is the unspecified address"),
        (f"ping = {[f'10.0.0.{number}' for number in range(1, 18)]}", "check[0].ping",
         "must be at most 16 addresses, not 17"),
        ('interface = "eth/0"', "check[0].interface", "'eth/0' cannot be the name of an interface"),
        ('exec = "a"\ntimeout_s = 0', "check[0].timeout_s", "must be 0.01 to 3600 seconds, not 0"),
        ('exec = "a"\ninterval_s = 0', "check[0].interval_s", "must be 0.1 to 86400 seconds, not 0"),
        ('exec = "a"\nrise = 0', "check[0].rise", "must be 1 to 1000, not 0"),
        ('exec = "a"\nfall = 0', "check[0].fall", "must be 1 to 1000, not 0"),
        ('exec = "a"\nservice = "nginx"', "check[0].service", "there is no service 'nginx'; there is none"),
        (f'exec = "a"\nservice = "ngin"\n{NGINX}', "check[0].service", "there is no service 'ngin'; there are nginx"),
        (f'exec = "a"\nservice = "mail"\non_failure = "restart"\n{WATCHED}', "check[0].service",
         "mail is not managed, so it cannot be restarted"),
        (f'exec = "a"\non_failure = "stop"\n{WATCHED}', "check[0].on_failure",
         "there is no managed service that could be stopped"),
        (f'exec = "a"\n{NGINX}name = "c"', "check[0].name", "is the same as service[0].name"),
        ('exec = "a"\n[[check]]\nname = "c"\nexec = "b"', "check[1].name", "is the same as check[0].name"),
    ],
)  # fmt: skip
def test_a_check_that_is_wrong(text: str, key: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(text)
    assert (caught.value.key, caught.value.sentence) == (key, sentence)


def test_a_value_that_is_the_default_does_no_harm() -> None:
    assert check('tcp = "a:80"\nstatus = "200-399"\nverify = true').tcp == "a:80"


def test_a_check_may_restart_what_is_managed() -> None:
    assert read(f'[[check]]\nname = "c"\nexec = "a"\non_failure = "restart"\n{NGINX}{WATCHED}').checks[0].service == ""

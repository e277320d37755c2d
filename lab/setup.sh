#!/usr/bin/env bash
# What a fresh Debian 12 machine lacks to run the lab and the tests: Debian packages, and a virtual environment
# (.venv) inside the checkout. Run again, it finds everything in place and changes nothing. Arguments are more packages.
set -euo pipefail

packages=(
    python3 python3-venv            # farmd's interpreter, and its virtual environment
    python3-bpfcc libbpf1           # compile the filter, reach its maps
    linux-libc-dev                  # the kernel's user-space headers, all that the filter includes
    iproute2 util-linux procps      # ip, bridge, tc; unshare, nsenter, setsid, setpriv; sysctl
    iptables nftables ethtool       # the lab's switch, and what the benchmarks compare with
    curl wrk                        # ask the health page, once and very often
    openssl resource-agents         # a certificate, and the OCF agents, in the tests of services and checks
    e2fsprogs                       # disks for the nodes of a mirror
    postgresql sqlite3 fio git stress-ng xfsprogs   # what runs on a mirror, and what a mirror runs on
    "$@"
)

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$checkout"
PATH=$PATH:/usr/sbin:/sbin
# The web server of the lab's nodes. Any nginx will do; adding Debian's smallest to another could replace that one.
command -v nginx > /dev/null || packages+=(nginx-light)
command -v haproxy > /dev/null || packages+=(haproxy)       # the load balancer in front of two sites

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# The packages that are not fully installed.
missing_packages() {
    comm -23 <(printf '%s\n' "${packages[@]}" | sort) \
             <(dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null |
               sed -n 's/^installed //p' | sort -u)
}

# A package that brings a service starts it and enables it. The lab wants the program, not a web server on the user's
# port 80. policy-rc.d is Debian's way to say so (invoke-rc.d(8)); masking would leave a mark in the user's
# configuration and RUNLEVEL=1 is ignored under systemd. A policy that is there already is the administrator's.
install_packages() {
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        trap 'exit 130' INT TERM
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -qq -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0)
    "${apt[@]}" update || die "apt-get could not read the package lists; its reason is above"
    "${apt[@]}" install --yes --no-install-recommends "$@" > /dev/null ||
        die "apt-get could not install $*; its reason is above"
    local package now=()
    [ ! -d /run/systemd/system ] || now=(--now)
    for package in "$@"; do
        case $package in # nor at the next boot
            nginx-light | haproxy | postgresql) systemctl --quiet disable "${now[@]}" "${package%-light}.service" || true ;;
        esac
    done
}

complete_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        say "not root, so these Debian packages are not installed: ${missing[*]}"
        return 0
    fi
    say "installing ${missing[*]}"
    install_packages "${missing[@]}"
}

# The environment is complete when its stamp names this pyproject.toml, installed from this very path.
complete_environment() {
    local stamp=.venv/.installed wanted
    [ -x /usr/bin/python3 ] || die "there is no /usr/bin/python3: install Debian's python3"
    wanted="$(sha256sum pyproject.toml) $checkout"
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && .venv/bin/python -c '' 2>/dev/null; then
        return 0
    fi
    /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$(/usr/bin/python3 --version) is too old: Python 3.11 or newer is needed (Debian 12 has it)"
    say "preparing the virtual environment $checkout/.venv"
    .venv/bin/python -c 'import pip' 2>/dev/null || /usr/bin/python3 -m venv --clear .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
    printf '%s\n' "$wanted" > "$stamp.new"
    mv -f "$stamp.new" "$stamp"
}

# One set-up at a time. The descriptor is the checkout itself, so there is no lock file to leave behind.
exec {lock}< "$checkout"
flock "$lock"
complete_packages
complete_environment

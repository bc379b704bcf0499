# Prepares a machine for pycloud: system packages, a virtual environment, a hypervisor that answers.
# Sourced by cloud-in-a-box and run-tests, which stand beside the folder of this file.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv

# What the library and its drivers need, what the guest image is built with, what the tests need besides.
runtime_packages=(python3 python3-venv)
guest_packages=(
    python3-dev gcc pkg-config libvirt-dev libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils
    dnsmasq-base nftables iproute2 openssh-client tini
    busybox-static cpio dosfstools e2fsprogs fdisk kmod mtools syslinux syslinux-common
)
test_packages=(postgresql)

say() { printf '== %s\n' "$*"; }
fail() {
    printf 'cannot go on: %s\n' "$*" >&2
    exit 1
}

# Prints the command that gives root's rights, or nothing for root; fails where there is no way to them.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        return 1
    fi
}

missing_of() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' || echo "$package"
    done
}

# Installs those of the named packages that are missing.
install_packages() {
    local missing log
    mapfile -t missing < <(missing_of "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || fail "this is not Debian or Ubuntu; install what is like ${missing[*]}"
    say "installing ${missing[*]}"
    log=$(mktemp)
    if ! as_root true; then
        fail "these packages are missing: run  sudo apt-get install ${missing[*]}"
    fi
    # A PostgreSQL that nobody asked for should not start: the tests make a cluster of their own.
    case " ${missing[*]} " in
    *' postgresql '*)
        as_root mkdir -p /etc/postgresql-common
        [ -e /etc/postgresql-common/createcluster.conf ] ||
            echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
        ;;
    esac
    if ! { as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        fail "apt-get did not install the packages; the whole of what it said is in $log"
    fi
    rm -f "$log"
}

# Refreshes the package lists if there are none: the guest image is built from packages.
see_package_lists() {
    apt-cache show busybox-static >/dev/null 2>&1 && return 0
    say "reading the package lists"
    as_root apt-get update -qq || fail "the package lists cannot be read: see apt-get update"
}

# make_venv LEVEL: makes the virtual environment, unless it holds that much already.
#   1 for simulated clouds, 2 for real ones, 3 for the tests too
make_venv() {
    local level=$1 digest known_digest known_level
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "pycloud needs Python 3.11 or newer; $(python3 --version) is here. Debian 12 and Ubuntu 24.04 have it"
    digest=$( (cat "$root/pyproject.toml" "$root/constraints.txt"; python3 --version) | sha256sum | cut -c1-16)
    [ ! -e "$venv/stamp" ] || read -r known_digest known_level <"$venv/stamp"
    [ "${known_digest:-}" = "$digest" ] && [ "${known_level:-0}" -ge "$level" ] && return 0
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    local pip=("$venv/bin/python" -m pip --disable-pip-version-check -q)
    local wanted=(-e "$root[simulated]")
    [ "$level" -lt 2 ] || wanted=(-e "$root[box]")
    [ "$level" -lt 3 ] || wanted=(-e "$root[box,postgres]" --group "$root/pyproject.toml:test" --group "$root/pyproject.toml:docs")
    say "making the virtual environment"
    # Older pips know no groups.
    "${pip[@]}" install -U -c "$root/constraints.txt" pip
    "${pip[@]}" install -c "$root/constraints.txt" "${wanted[@]}"
    echo "$digest $level" >"$venv/stamp"
}

hypervisor_answers() { virsh -q -c qemu:///system version >/dev/null 2>&1; }

# Sees that libvirtd answers; starts it where no service manager does.
start_hypervisor() {
    hypervisor_answers && return 0
    if [ -d /run/systemd/system ]; then
        say "starting libvirtd"
        as_root systemctl start virtlogd.socket libvirtd.socket || true
    elif as_root true; then
        say "starting libvirtd by hand: no service manager runs here"
        # Where no udev set them, the rights of /dev/kvm let root in alone; libvirt would then examine
        # QEMU anew for every guest.
        [ ! -e /dev/kvm ] || as_root sh -c 'chgrp kvm /dev/kvm && chmod 660 /dev/kvm'
        # tini takes in the processes that libvirt leaves, where process 1 does so late or not at all.
        as_root setsid tini -s -- virtlogd </dev/null >/dev/null 2>&1 &
        as_root setsid tini -s -- libvirtd </dev/null >/dev/null 2>&1 &
    fi
    local tries
    for tries in $(seq 100); do
        hypervisor_answers && return 0
        sleep 0.1
    done
    fail "no hypervisor answers at qemu:///system after ${tries} tries: see  virsh -c qemu:///system version"
}

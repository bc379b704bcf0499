# shellcheck shell=bash
# shellcheck disable=SC2034  # the lists are for those who source this
# Prepares a machine for pycloud: system packages, a virtual environment, a hypervisor that answers.
# Sourced by cloud-in-a-box and run-tests, which stand beside the folder of this file.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
PATH=$PATH:/usr/sbin:/sbin # su leaves these out, and libvirtd is there

# What real guests and their image take, and what the tests take besides. Nothing here is a kernel, and not
# busybox-static either: the image unpacks it, while installing it would remove the host's busybox.
guest_packages=(
    python3-dev gcc pkg-config libvirt-dev libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils
    dnsmasq-base nftables iproute2 openssh-client tini
    cpio dosfstools e2fsprogs fdisk kmod mtools syslinux syslinux-common zstd
)
test_packages=(postgresql openssl rclone restic unzip)
command -v npm >/dev/null || test_packages+=(nodejs npm)
command -v busybox >/dev/null || test_packages+=(busybox) # either of the two will do

say() { printf '== %s\n' "$*"; }
warn() { printf 'note: %s\n' "$*" >&2; }
fail() {
    printf 'cannot go on: %s\n' "$*" >&2
    exit 1
}

# Shows what a command says only if it fails.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    [ $status = 0 ] || tail -n 30 "$log" >&2
    rm -f "$log"
    return $status
}

can_be_root() { [ "$(id -u)" = 0 ] || command -v sudo >/dev/null; }

# Runs a command with root's rights; fails where there is no way to them.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif can_be_root; then
        sudo "$@"
    else
        return 1
    fi
}

# Prints those of the named packages that are not installed; all, where there is no dpkg.
missing_of() {
    local package installed
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
    for package in "$@"; do
        grep -qx "installed $package" <<<"$installed" || echo "$package"
    done
}

# Installs those of the named packages that are missing; removes and restarts nothing.
install_packages() {
    local missing
    mapfile -t missing < <(missing_of "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || fail "this is not Debian or Ubuntu; install what is like ${missing[*]}"
    as_root true || fail "these packages are missing: run  sudo apt-get install ${missing[*]}"
    case " ${missing[*]} " in *' postgresql '*) forbid_postgres_cluster ;; esac
    read_package_lists
    say "installing ${missing[*]}"
    quietly as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get install -y \
        --no-install-recommends --no-remove -o DPkg::Lock::Timeout=300 "${missing[@]}" ||
        fail "apt-get did not install the packages; to see more, run  sudo apt-get install ${missing[*]}"
}

# A PostgreSQL that nobody asked for should not start: the tests make a cluster of their own.
forbid_postgres_cluster() {
    local config=/etc/postgresql-common/createcluster.conf
    [ ! -e $config ] || return 0
    as_root mkdir -p "$(dirname $config)"
    echo 'create_main_cluster = false' | as_root tee $config >/dev/null
}

# One source of many that does not answer is no reason to stop.
read_package_lists() {
    say "reading the package lists"
    quietly as_root apt-get update || warn "not all package lists could be read; going on with those that are here"
}

# Reads the package lists if there are none: the guest image is built from packages.
see_package_lists() {
    # Unlike apt-cache show, this knows nothing of what is merely installed.
    [ -n "$(apt-cache madison busybox-static 2>/dev/null)" ] || read_package_lists
}

# Prints the first Python that is new enough and can make virtual environments.
find_python() {
    local python
    for python in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
        if "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$python"
            return 0
        fi
    done
    return 1
}

# Makes an empty virtual environment, unless one is there that works: one that was left half made, or made by
# a Python that is gone, is made anew.
make_empty_venv() {
    local python
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 && return 0
    find_python >/dev/null || install_packages python3 python3-venv
    python=$(find_python) || fail "pycloud needs Python 3.11 or newer, with venv; here is $(python3 --version 2>&1)." \
        "Install python3.11, python3.11-venv and python3.11-dev; Debian 12 and Ubuntu 24.04 have them or newer"
    say "making a virtual environment with $("$python" --version)"
    quietly "$python" -m venv --clear "$venv" || fail "$python could not make the virtual environment $venv"
}

# Prints what changes with what the virtual environment should hold.
venv_digest() {
    { cat "$root/pyproject.toml" "$root/constraints.txt" && "$venv/bin/python" --version 2>&1; } | sha256sum | cut -c1-16
}

# make_venv PART...: has the virtual environment hold these extras (and the groups test and docs) of
# pyproject.toml, besides those that it holds already.
make_venv() {
    local stamp=$venv/holds digest='' known='' parts part extras='' groups=()
    [ ! -r "$stamp" ] || read -r digest known <"$stamp" || true
    # shellcheck disable=SC2086  # these are words
    parts=$(printf '%s\n' $known "$@" | sort -u)
    if grep -qx box <<<"$parts"; then
        parts=$(grep -vx simulated <<<"$parts") # box includes it
    fi
    parts=$(paste -sd ' ' <<<"$parts")
    [ ! -x "$venv/bin/python" ] || [ "$digest $known" != "$(venv_digest) $parts" ] || return 0
    if [ ! -w "$root" ] || { [ -e "$venv" ] && [ ! -w "$venv" ]; }; then
        fail "the virtual environment is not up to date, and $(id -un) may not write to $venv: run this once as" \
            "$(stat -c %U "$root")"
    fi

    make_empty_venv
    for part in $parts; do
        case $part in
        test | docs) groups+=(--group "$root/pyproject.toml:$part") ;;
        *) extras+=,$part ;;
        esac
    done
    local pip=("$venv/bin/python" -m pip --disable-pip-version-check install -c "$root/constraints.txt")
    say "installing Python packages: $parts"
    rm -f "$stamp"
    quietly "${pip[@]}" -U pip || fail "pip could not be brought up to date" # older pips know no groups
    quietly "${pip[@]}" -e "${root}[${extras#,}]" "${groups[@]}" || fail "pip did not install the Python packages"
    echo "$(venv_digest) $parts" >"$stamp"
}

# Has the clients that the tests drive: Python's in an environment of their own, JavaScript's in .build.
make_clients() {
    local venv=$root/.venv-clients modules=$root/.build/javascript digest
    digest=$(cat "$root/pyproject.toml" "$root"/tests/clients/{constraints.txt,package.json} | sha256sum)
    [ "$digest" != "$(cat "$venv/holds" 2>/dev/null)" ] || return 0
    make_empty_venv
    say "installing the clients that the tests drive"
    quietly "$venv/bin/python" -m pip --disable-pip-version-check install -c "$root/tests/clients/constraints.txt" -U pip
    quietly "$venv/bin/python" -m pip --disable-pip-version-check install \
        -c "$root/tests/clients/constraints.txt" --group "$root/pyproject.toml:clients" ||
        fail "pip did not install the clients"
    mkdir -p "$modules"
    cp "$root/tests/clients/package.json" "$modules/"
    (cd "$modules" && quietly npm install --no-audit --no-fund --ignore-scripts --no-package-lock) ||
        fail "npm did not install the clients"
    echo "$digest" >"$venv/holds"
}

hypervisor_answers() {
    local ask=(timeout 10 virsh -q -c qemu:///system version)
    "${ask[@]}" >/dev/null 2>&1 </dev/null || as_root "${ask[@]}" >/dev/null 2>&1 </dev/null
}

# Sees that libvirtd answers; starts it, by hand where there is no service manager.
start_hypervisor() {
    hypervisor_answers && return 0
    local log=/var/log/libvirt/by-hand.log deadline
    as_root true || fail "no hypervisor answers $(id -un) at qemu:///system: run  sudo systemctl start" \
        "libvirtd.socket  (without systemd  sudo libvirtd -d), and be a member of the group libvirt"
    if [ -d /run/systemd/system ]; then
        say "starting libvirtd"
        as_root systemctl start virtlogd.socket libvirtd.socket || true
    else
        say "starting libvirtd by hand: no service manager runs here"
        # Where no udev set them, the rights of /dev/kvm let root in alone; libvirt would then examine
        # QEMU anew for every guest.
        [ ! -e /dev/kvm ] || as_root sh -c 'chgrp kvm /dev/kvm && chmod 660 /dev/kvm' ||
            warn "the rights of /dev/kvm stay as they are; guests will start slowly"
        # tini takes in the processes that libvirt leaves, where process 1 does so late or not at all.
        as_root sh -c "mkdir -p ${log%/*}; for daemon in virtlogd libvirtd; do
            setsid -f tini -s -- \$daemon </dev/null >>$log 2>&1; done"
    fi
    deadline=$((SECONDS + 30))
    until hypervisor_answers; do
        if [ $SECONDS -ge $deadline ]; then
            [ ! -e $log ] || as_root tail -n 5 $log >&2
            fail "no hypervisor answers at qemu:///system after 30 s: see  virsh -c qemu:///system version"
        fi
        sleep 0.1
    done
}

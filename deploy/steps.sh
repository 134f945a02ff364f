# The steps of deploy/install.sh, which reads this file and sets the names in capitals.
# shellcheck shell=sh disable=SC2154

say() { printf 'roost: %s\n' "$*"; }
warn() { printf 'roost: %s\n' "$*" >&2; }
die() {
    warn "$*"
    exit 1
}

ask() {
    [ "$YES" = yes ] && return 0
    [ -t 0 ] || die "Nobody is here to answer: say --yes to go on without being asked."
    printf 'roost: %s [y/N] ' "$*"
    read -r answer
    case $answer in y | Y | yes) ;; *) die 'Nothing was changed.' ;; esac
}

staged() { [ -n "$ROOT" ]; }

# --- is this machine suitable? -------------------------------------------------------------------

check_root() {
    staged || [ "$(id -u)" = 0 ] || die 'This needs root: run it with sudo.'
}

check_system() {
    check_root
    staged && return 0
    [ "$(getconf LONG_BIT)" = 64 ] ||
        die 'This system is 32-bit. Roost needs the 64-bit Raspberry Pi OS or Debian (the same Pi from model 3 on runs it).'
    case $(uname -m) in
    aarch64 | x86_64) ;;
    *) die "There are no packages for this processor ($(uname -m)): Roost runs on aarch64 and x86_64." ;;
    esac
    command -v apt-get >/dev/null 2>&1 || die 'This is neither Debian nor Raspberry Pi OS: there is no apt-get.'
    case $(systemctl is-system-running 2>/dev/null || true) in
    '' | offline | unknown)
        die 'systemd does not run this system, and nothing would start Roost: use "make run", or deploy/compose.yaml.'
        ;;
    esac
    if command -v python3 >/dev/null 2>&1; then check_python; fi
    check_room "$PREFIX" "$PROGRAM_KB"
    check_room "$DATA" "$DATA_KB"
}

check_python() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11, 2))' ||
        die "Python is too old ($(python3 -V 2>&1)): 3.11.2 or newer is needed, as Debian 12 has it."
}

check_room() { # directory, KB
    place=$1
    while [ ! -d "$place" ]; do place=$(dirname "$place"); done
    free=$(df -Pk "$place" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$2" ] ||
        die "Too little room for $1: $((free / 1000)) MB are free on its disk, $(($2 / 1000)) MB are needed."
}

installed() { [ -L "$ROOT$PREFIX/current" ]; }

need_installed() {
    check_root
    installed || die "Roost is not installed here: there is no $ROOT$PREFIX/current."
}

# --- small things --------------------------------------------------------------------------------

as_roost() { if staged; then "$@"; else runuser -u roost -- "$@"; fi; }

systemd() { staged || systemctl "$@"; }

# `unit NAME …` of the installed program with the installed settings, as its own user.
unit() (
    cd "$ROOT$PREFIX/current" || exit 1
    export NVR_DATA_DIR="$DATA" # where the settings do not say
    set -- --env-file "$ROOT$ETC/roost.env" "$@"
    if staged; then set -- --data-dir "$(data_dir)" "$@"; fi
    as_roost ./.venv/bin/python -m nvr_project.unit "$@"
)

setting() { # name, default
    value=$(sed -n "s/^[[:space:]]*$1=//p" "$ROOT$ETC/roost.env" 2>/dev/null | tail -n 1 | tr -d "\"'")
    printf '%s' "${value:-$2}"
}

data_dir() { if staged; then printf '%s' "$ROOT$DATA"; else setting NVR_DATA_DIR "$DATA"; fi; }

switch_to() { # release; one rename: there is no moment without a current one
    ln -sfn "releases/$1" "$ROOT$PREFIX/current.new"
    mv -T "$ROOT$PREFIX/current.new" "$ROOT$PREFIX/current"
}

current() { basename "$(readlink "$ROOT$PREFIX/current")"; }

# --- steps of an installation --------------------------------------------------------------------

install_packages() {
    staged && return 0
    wanted=$PACKAGES
    if grep -qs 'Raspberry Pi' /proc/device-tree/model; then wanted="$wanted rpicam-apps-lite"; fi
    missing=''
    for package in $wanted; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    if [ -n "$missing" ]; then
        say "installing Debian's packages:$missing"
        apt-get -qq update || die 'apt-get update failed (see above).'
        for package in $missing; do
            apt-cache show "$package" >/dev/null 2>&1 || { warn "$package is not in this system's archive: left out."; continue; }
            DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
                install -y --no-install-recommends "$package" >/dev/null || die "$package could not be installed (see above)."
        done
    fi
    check_python
}

make_user() {
    staged && return 0
    if ! id roost >/dev/null 2>&1; then
        say 'making the system user roost'
        useradd --system --user-group --no-create-home --home-dir "$DATA" --shell /usr/sbin/nologin roost
    fi
    for group in video render; do
        if getent group "$group" >/dev/null; then usermod -aG "$group" roost; fi
    done
}

# What belongs into a release: every package of the program, and what it reads.
parts() (
    cd "$SOURCE" || exit 1
    for name in *; do
        case $name in tests | bench | data | node_modules) continue ;; esac
        if [ -f "$name/__init__.py" ]; then printf '%s\n' "$name"; fi
    done
    printf '%s\n' static templates requirements deploy docs manage.py package.json package-lock.json \
        pyproject.toml LICENSE README.md CHANGELOG.md
)

release_name() (
    cd "$SOURCE" || exit 1
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml | head -n 1)
    # shellcheck disable=SC2046
    hash=$(find $(parts) -name __pycache__ -prune -o -type f -print | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum | cut -c 1-12)
    printf '%s-%s' "$version" "$hash"
)

make_release() { # name
    release=$ROOT$PREFIX/releases/$1
    if [ -e "$release/.complete" ]; then return 0; fi
    say "putting the program into $PREFIX/releases/$1 (its packages are fetched: a few minutes)"
    rm -rf "$release"
    mkdir -p "$release"
    # shellcheck disable=SC2046
    (cd "$SOURCE" && tar -cf - --exclude=__pycache__ $(parts)) | tar -C "$release" --no-same-owner -xf -
    if [ -n "$ENVIRONMENT" ]; then
        ln -s "$ENVIRONMENT" "$release/.venv"
        if [ -d "$SOURCE/node_modules" ]; then cp -R "$SOURCE/node_modules" "$release/"; fi
    else
        (cd "$release" && python3 requirements/bootstrap.py base) || die 'The program could not be set up (see above); nothing else was changed.'
    fi
    # The service may not write there, and would compile everything at every start.
    "$release/.venv/bin/python" -m compileall -q -x '/(\.venv|node_modules|requirements)/' "$release" >/dev/null || true
    chmod -R go-w "$release"
    sync
    : >"$release/.complete"
}

make_settings() {
    mkdir -p "$ROOT$ETC"
    if [ ! -e "$ROOT$ETC/roost.env" ]; then
        say "writing $ETC/roost.env"
        (
            umask 077
            cat >"$ROOT$ETC/roost.env" <<EOF
# What the recorder is told before it starts: $PREFIX/current/docs/settings.md
# After a change: systemctl restart roost.target
NVR_DATA_DIR=$DATA
#NVR_PORT=3443
#TZ=Europe/Berlin
EOF
        )
    fi
    chmod 640 "$ROOT$ETC/roost.env"
    place=$(data_dir)
    if [ -d "$place" ] && [ ! -e "$place/.roost" ] && [ -n "$(find "$place" -mindepth 1 -maxdepth 1 ! -name lost+found | head -n 1)" ]; then
        die "$place holds other things than a Roost: name another NVR_DATA_DIR in $ETC/roost.env."
    fi
    mkdir -p "$place"
    staged && return 0
    chown root:roost "$ETC/roost.env"
    chown roost:roost "$place"
    chmod 700 "$place"
}

# Settings out of a back-up. Where it came from nobody knows: only names that Roost has, as another one
# may make a program load anything; and where the data lies is this machine's own matter.
take_settings() { # file
    as_roost test -e "$1" || return 0
    own='NVR_[A-Z_]*|FFMPEG_[A-Z]*|CORS_[A-Z_]*|DEFAULT_[A-Z_]*|DATABASE_URL|REDIS_URL|AUTH_TOKEN|NODE_ID|TZ'
    own="$own|CAMERA_SOURCE|RTSP_URL|HTTP_URL|ANALYZE_URL"
    file=$ROOT$ETC/roost.env
    cp -p "$file" "$file.before-restore"
    (umask 077 && : >"$file.part")
    # As the service's user: the file is in its directory, and may be a link to what it may not read.
    as_roost cat "$1" | grep -E "^[[:space:]]*(#|$|($own)=)" | grep -Ev '^[[:space:]]*NVR_DATA_DIR=' >>"$file.part" || true
    grep -E '^[[:space:]]*NVR_DATA_DIR=' "$file.before-restore" >>"$file.part" || true
    cat "$file.part" >"$file" # owner and mode stay
    rm -f "$file.part"
    as_roost rm -f "$1"
    say "The settings before are in $ETC/roost.env.before-restore."
}

remove_units() {
    rm -f "$ROOT$UNITS/roost.target" "$ROOT$UNITS"/roost-*.service
    for name in 10-common 20-backoff 30-data; do rm -f "$ROOT$UNITS/roost-.service.d/$name.conf"; done
    rmdir "$ROOT$UNITS/roost-.service.d" 2>/dev/null || true # a person's own drop-ins stay
}

install_units() {
    from=$ROOT$PREFIX/current/deploy/systemd
    drop_ins=$ROOT$UNITS/roost-.service.d
    remove_units
    mkdir -p "$drop_ins" "$ROOT$(dirname "$MANAGE")"
    cp "$from"/roost.target "$from"/roost-*.service "$ROOT$UNITS/"
    cp "$from/roost-.service.d/10-common.conf" "$drop_ins/"
    if ! staged && [ "$(systemctl --version | sed -n '1s/[^0-9]*\([0-9]*\).*/\1/p')" -ge 254 ]; then
        cp "$from/backoff.conf" "$drop_ins/20-backoff.conf"
    fi
    if [ "$(setting NVR_DATA_DIR "$DATA")" != "$DATA" ]; then
        place=$(setting NVR_DATA_DIR "$DATA")
        printf '[Unit]\nRequiresMountsFor=%s\n[Service]\nReadWritePaths=%s\n' "$place" "$place" >"$drop_ins/30-data.conf"
    fi
    cat >"$ROOT$MANAGE" <<EOF
#!/bin/sh
# Django's command line of the installed Roost, as in: roost-manage changepassword admin
cd $PREFIX/current || exit 1
export NVR_DATA_DIR=$DATA
exec runuser -u roost -- ./.venv/bin/python -m nvr_project.unit --env-file $ETC/roost.env manage "\$@"
EOF
    chmod 755 "$ROOT$MANAGE"
    systemd daemon-reload
}

start() {
    unit prepare || return 1
    systemd enable --quiet roost.target
    systemd restart roost.target
    healthy
}

healthy() {
    staged && return 0
    say "waiting for the recorder to answer on port $(setting NVR_PORT 3443)"
    began=$(date +%s)
    while [ $(($(date +%s) - began)) -lt "$HEALTH_S" ]; do
        if answers && all_active; then
            say "it answers, and every service runs (after $(($(date +%s) - began)) s)"
            return 0
        fi
        sleep 1
    done
    warn "It does not work. What each service says:"
    systemctl --no-pager --lines=5 status 'roost-*' >&2 || true
    warn "More: journalctl -u 'roost-*' -b"
    return 1
}

answers() { # its own certificate, trusted by its own authority: the way a camera sees it
    host=$(setting NVR_BIND 0.0.0.0)
    [ "$host" != 0.0.0.0 ] || host=127.0.0.1
    python3 - "$host" "$(setting NVR_PORT 3443)" "$(data_dir)/pki/ca.pem" <<'EOF' 2>/dev/null
import ssl, sys
from urllib.request import urlopen
host, port, ca = sys.argv[1:]
with urlopen(f"https://{host}:{port}/health", timeout=5, context=ssl.create_default_context(cafile=ca)) as answer:
    sys.exit(answer.status != 200)
EOF
}

all_active() {
    for name in web worker beat discovery capture control; do
        systemctl is-active --quiet "roost-$name.service" || return 1
    done
    [ -n "$(setting REDIS_URL '')" ] || systemctl is-active --quiet roost-valkey.service
}

firewall_note() {
    ports="$(setting NVR_PORT 3443)/tcp (cameras and people) and 5353/udp (cameras find it by mDNS)"
    plain=$(setting NVR_HTTP_PORTS '')
    [ -z "$plain" ] || ports="$ports and $plain/tcp (older clients, not encrypted)"
    say "If a firewall runs here, it has to let in $ports. None was changed."
}

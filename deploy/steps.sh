# The steps of deploy/install.sh, which reads this file and sets the names in capitals.
# shellcheck shell=sh disable=SC2154,SC2034

# A terminal that is gone must not end what is under way.
say() { printf 'roost: %s\n' "$*" || true; }
warn() { printf 'roost: %s\n' "$*" >&2 || true; }
die() {
    warn "$*"
    exit 1
}

ask() {
    [ "$YES" = yes ] && return 0
    [ -t 0 ] || die "Nobody is here to answer: say --yes to go on without being asked."
    printf 'roost: %s [y/N] ' "$*"
    read -r answer || answer=''
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
    if getent passwd roost >/dev/null && ! is_own_user; then
        die 'The user "roost" of this system is somebody else, and the services would run as that person:' \
            'give that user another name (usermod --login, groupmod --new-name), then run this again.'
    fi
}

is_own_user() { [ "$(getent passwd roost | cut -d: -f6)" = "$DATA" ]; }

check_space() { # release
    staged && return 0
    [ -e "$PREFIX/releases/$1/.complete" ] || check_room "$PREFIX" "$PROGRAM_KB"
    # A recorder that has run for long fills its disk down to what retention keeps free, which is less.
    [ -e "$(data_dir)/.roost" ] || check_room "$(data_dir)" "$DATA_KB"
}

check_port() {
    staged && return 0
    case $(systemctl show -p MainPID --value roost-web.service 2>/dev/null) in '' | 0) ;; *) return 0 ;; esac
    python3 - "$(setting NVR_BIND 0.0.0.0)" "$(setting NVR_PORT 3443)" <<'EOF' ||
import errno, socket, sys
host, port = sys.argv[1:]
with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((host, int(port)))
        probe.listen(1)
    except OSError as error:
        sys.exit(error.errno == errno.EADDRINUSE)
    except (ValueError, OverflowError):
        pass  # the recorder says it better
EOF
        die "Port $(setting NVR_PORT 3443) is taken by another program (ss -ltnp says which): stop it," \
            "or write another NVR_PORT into $ETC/roost.env, then run this again."
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

# One at a time, and what a killed one began counts: its pip may still write.
be_alone() {
    if staged; then exec 9<"$ROOT"; else exec 9>/run/roost-install.lock; fi
    flock -n 9 ||
        die 'Another deploy/install.sh is at work here, or what it began: wait for its end, then run this again.'
}

as_roost() { if staged; then "$@"; else runuser -u roost -- "$@"; fi; }

systemd() { staged || systemctl "$@"; }

stop() {
    IS_STOPPED=yes
    systemd stop 'roost*.target' 'roost-*.service' # patterns: units that are missing are no error
}

start_again() {
    systemd start roost.target
    IS_STOPPED=no
}

# `unit NAME …` of the installed program with the installed settings, as its own user.
unit() (
    cd "$ROOT$PREFIX/current" || exit 1
    export NVR_DATA_DIR="$DATA" # where the settings do not say
    set -- --env-file "$ROOT$ETC/roost.env" "$@"
    if staged; then set -- --data-dir "$(data_dir)" "$@"; fi
    as_roost ./.venv/bin/python -m nvr_project.unit "$@"
)

setting() { # name, default
    value=$(sed -n "s/[[:space:]]*\$//; s/^[[:space:]]*$1=//p" "$ROOT$ETC/roost.env" 2>/dev/null | tail -n 1 | tr -d "\"'")
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
        useradd --system --user-group --no-create-home --home-dir "$DATA" --shell /usr/sbin/nologin roost ||
            die 'The user roost could not be made (see above).'
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
    # Debian's next release has another Python, for which the packages are not made.
    if [ -e "$release/.complete" ] && "$release/.venv/bin/python" -c 'import django' 2>/dev/null; then return 0; fi
    say "putting the program into $PREFIX/releases/$1 (its packages are fetched: a few minutes)"
    rm -rf "$release"
    mkdir -p "$release"
    # shellcheck disable=SC2046
    (cd "$SOURCE" && tar -cf - --exclude=__pycache__ $(parts)) | tar -C "$release" --no-same-owner -xf -
    if [ -n "$ENVIRONMENT" ]; then
        ln -s "$ENVIRONMENT" "$release/.venv"
        if [ -d "$SOURCE/node_modules" ]; then cp -R "$SOURCE/node_modules" "$release/"; fi
    else
        (cd "$release" && python3 requirements/bootstrap.py base) || die 'The program could not be set up (see above). Run this again when that is mended; what ran before runs on.'
    fi
    # The service may not write there, and would compile everything at every start.
    "$release/.venv/bin/python" -m compileall -q -x '/(\.venv|node_modules|requirements)/' "$release" >/dev/null || true
    chmod -R a+rX,go-w "$release" # whatever the umask was under which it was fetched
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
    chown --reference="$file" "$file.part"
    chmod --reference="$file" "$file.part"
    mv "$file.part" "$file"
    as_roost rm -f "$1"
    say "The settings before are in $ETC/roost.env.before-restore."
}

# The marker last: one that was cut off can be run again. A disk of its own is emptied and stays.
delete_data() { # directory
    [ -d "$1" ] || return 0
    set -- "${1%/}"
    find -H "${1:?}" -mindepth 1 ! -path "$1/.roost" -delete ||
        die "Not everything in $1 could be deleted (see above): run this again when that is mended."
    rm -f "$1/.roost"
    rmdir "$1" 2>/dev/null || say "$1 is empty and stays: it is a disk of its own, or a link to one."
}

remove_units() {
    rm -f "$ROOT$UNITS/roost.target" "$ROOT$UNITS"/roost-*.service
    for name in 10-common 20-backoff 30-data; do rm -f "$ROOT$UNITS/roost-.service.d/$name.conf"; done
    rmdir "$ROOT$UNITS/roost-.service.d" 2>/dev/null || true # a person's own drop-ins stay
}

# Written beside the old ones first: at no moment, and on no full disk, is the machine without its units.
install_units() {
    from=$ROOT$PREFIX/current/deploy/systemd
    made=$ROOT$UNITS/.roost.part
    drop_ins=$made/roost-.service.d
    rm -rf "$made"
    mkdir -p "$drop_ins" "$ROOT$UNITS/roost-.service.d" "$ROOT$(dirname "$MANAGE")"
    cp "$from"/roost.target "$from"/roost-*.service "$made/"
    cp "$from/roost-.service.d/10-common.conf" "$drop_ins/"
    if ! staged && [ "$(systemctl --version | sed -n '1s/[^0-9]*\([0-9]*\).*/\1/p')" -ge 254 ]; then
        cp "$from/backoff.conf" "$drop_ins/20-backoff.conf"
    fi
    if [ "$(setting NVR_DATA_DIR "$DATA")" != "$DATA" ]; then
        place=$(setting NVR_DATA_DIR "$DATA")
        printf '[Unit]\nRequiresMountsFor=%s\n[Service]\nReadWritePaths=%s\n' "$place" "$place" >"$drop_ins/30-data.conf"
    fi
    cat >"$made/roost-manage" <<EOF
#!/bin/sh
# Django's command line of the installed Roost, as in: roost-manage changepassword admin
cd $PREFIX/current || exit 1
export NVR_DATA_DIR=$DATA
exec runuser -u roost -- ./.venv/bin/python -m nvr_project.unit --env-file $ETC/roost.env manage "\$@"
EOF
    chmod 755 "$made/roost-manage"
    for file in roost-.service.d/10-common.conf roost-.service.d/20-backoff.conf roost-.service.d/30-data.conf; do
        [ -e "$made/$file" ] || rm -f "$ROOT$UNITS/$file"
    done
    for file in "$ROOT$UNITS"/roost-*.service; do
        [ -e "$made/$(basename "$file")" ] || rm -f "$file"
    done
    mv "$made"/roost.target "$made"/roost-*.service "$ROOT$UNITS/"
    mv "$drop_ins"/*.conf "$ROOT$UNITS/roost-.service.d/"
    mv "$made/roost-manage" "$ROOT$MANAGE"
    rm -rf "$made"
    systemd daemon-reload
}

start() {
    unit prepare || return 1
    systemd enable --quiet roost.target
    systemd restart roost.target
    IS_STOPPED=no
    healthy
}

healthy() {
    staged && return 0
    say "waiting for the recorder to answer on port $(setting NVR_PORT 3443)"
    began=$(uptime_s)
    while [ $(($(uptime_s) - began)) -lt "$HEALTH_S" ]; do
        if answers && all_active; then
            say "it answers, and every service runs (after $(($(uptime_s) - began)) s)"
            return 0
        fi
        sleep 1
    done
    warn "It does not work. What each service says:"
    systemctl --no-pager --lines=5 status 'roost-*' >&2 || true
    warn "More: journalctl -u 'roost-*' -b"
    return 1
}

uptime_s() { cut -d. -f1 /proc/uptime; } # a Pi's clock may jump by years when it has asked the network

# Over TLS, from the socket to the view. Whether its certificate is trusted is its clients' matter: an
# operator's own one is for a name, not for this address.
answers() {
    python3 - "$(setting NVR_BIND 0.0.0.0)" "$(setting NVR_PORT 3443)" <<'EOF' 2>/dev/null
import http.client, ssl, sys
bind, port = sys.argv[1:]
host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
asked = http.client.HTTPSConnection(host, int(port), timeout=5, context=context)
asked.request("GET", "/health")
sys.exit(asked.getresponse().status != 200)
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

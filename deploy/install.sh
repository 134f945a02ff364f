#!/bin/sh
# Installs Roost on Raspberry Pi OS (64-bit) and Debian, and looks after it there: docs/install.md.
set -eu
umask 022
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # Debian's `su` without a dash leaves them out

SOURCE=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
PREFIX=/opt/roost
DATA=/var/lib/roost
ETC=/etc/roost
UNITS=/etc/systemd/system
MANAGE=/usr/local/sbin/roost-manage
PACKAGES='python3 ca-certificates ffmpeg tzdata'
PROGRAM_KB=1800000 # two releases side by side while an upgrade runs
DATA_KB=3000000    # retention alone keeps 2 GB free
HEALTH_S=150       # a Pi Zero with a cold card takes half of it
KEPT_BACKUPS=3

ROOT=''
YES=no
PURGE=no
VIDEO=''
ENVIRONMENT=''
IS_STOPPED=no # by us, and not started again yet

usage() {
    cat <<EOF
Usage: deploy/install.sh [COMMAND] [OPTIONS]

  install            installs Roost from this directory, or brings an installed one to this version (default)
  upgrade            the same, and refuses where nothing is installed yet
  rollback           back to the version before the last upgrade, with the database of that moment
  backup FILE        settings, keys, certificates and database into one new file (mode 0600)
  restore FILE       stops, puts such a file back, starts again
  uninstall          removes program and services; keeps recordings and settings

  --yes              do not ask
  --with-video       with backup: recordings, clips and captures as well
  --purge-data       with uninstall: delete recordings, settings, keys and the user roost as well
  --root DIR         work on the system below DIR, which does not run: no packages, users, services
  --environment DIR  with --root: link this ready Python environment instead of making one
  --help             this text

Program in $PREFIX, data in $DATA, settings in $ETC/roost.env, services roost.target and roost-*.service.
EOF
}

# shellcheck source=deploy/steps.sh
. "$SOURCE/deploy/steps.sh"

# Whatever ends this between a stop and the next start (a full disk, a lost SSH connection, Ctrl-C):
# it must not end the recording as well.
leave() {
    [ "$IS_STOPPED" = yes ] || return 0
    warn 'This ends while the recorder is stopped: what is in place is started again.'
    start_again || true
}
trap leave EXIT
trap 'exit 1' HUP INT PIPE TERM

# --- commands ------------------------------------------------------------------------------------

do_install() {
    check_system
    new=$(release_name)
    check_space "$new"
    say "This will, on $(uname -n):"
    staged || say " - install what is missing of Debian's packages: $PACKAGES"
    staged || say ' - make a system user "roost" that may use cameras (groups video, render)'
    say " - put version $new into $ROOT$PREFIX, its packages fetched from the package index by locked hashes"
    say " - keep recordings, database and keys in $ROOT$DATA, settings in $ROOT$ETC/roost.env"
    say " - install and start the services roost.target and roost-*.service; open no firewall port"
    if installed && [ "$(current)" != "$new" ]; then say " - stop $(current) meanwhile, back its settings up, and go back to it if the new one does not work"; fi
    ask 'Go on?'
    be_alone
    install_packages
    make_user
    make_settings
    check_port
    make_release "$new"
    if installed && [ "$(current)" != "$new" ]; then
        change_release "$new"
    else
        switch_to "$new"
        install_units
        start || die "Roost is installed and does not work yet: the lines above say why. Run this again when it is mended$(way_back)."
    fi
    prune
    say "Roost $new is installed."
    firewall_note
}

# From a running release to another one; back again where that fails.
change_release() { # name
    old=$(current)
    say "stopping $old"
    stop
    backup=$(data_dir)/backups/before-$1.tar
    as_roost mkdir -p -m 700 "$(data_dir)/backups"
    as_roost rm -f "$backup"
    if ! unit manage backup "$backup" --settings-file "$ROOT$ETC/roost.env"; then
        start_again
        die 'The settings could not be backed up: the old version runs on, nothing was changed.'
    fi
    printf '%s\n' "$old" "$backup" >"$ROOT$PREFIX/previous.part"
    mv -T "$ROOT$PREFIX/previous.part" "$ROOT$PREFIX/previous"
    switch_to "$1"
    install_units
    if start; then return 0; fi
    warn "Going back to $old."
    go_back || die "$old does not start either: journalctl -u 'roost-*' -b"
    die "The upgrade failed, and $old runs again with its database as it was."
}

go_back() {
    old=$(sed -n 1p "$ROOT$PREFIX/previous")
    backup=$(sed -n 2p "$ROOT$PREFIX/previous")
    [ -e "$ROOT$PREFIX/releases/$old/.complete" ] || die "$PREFIX/releases/$old is no longer there."
    stop
    # First: the new one may not even be able to put a back-up back.
    switch_to "$old" || return 1
    install_units
    unit manage restore "$backup" || return 1
    as_roost rm -f "$(data_dir)/restored.env" # the settings have not been changed by the upgrade
    rm -f "$ROOT$PREFIX/previous"
    start
}

do_rollback() {
    need_installed
    [ -s "$ROOT$PREFIX/previous" ] || die 'There is nothing to go back to: no upgrade was made, or it was undone already.'
    say "This will go back to $(sed -n 1p "$ROOT$PREFIX/previous") and to the database of the moment before the upgrade."
    say "Recordings since then stay on the disk; roost-manage reindex lists them again."
    ask 'Go on?'
    be_alone
    go_back || die "It does not work: journalctl -u 'roost-*' -b"
    say "Roost $(current) runs again."
}

# What else a person may do after an upgrade that was cut off.
way_back() {
    [ ! -s "$ROOT$PREFIX/previous" ] ||
        printf ', or go back to %s: deploy/install.sh rollback' "$(sed -n 1p "$ROOT$PREFIX/previous")"
}

prune() {
    keep="$(current) $(sed -n 1p "$ROOT$PREFIX/previous" 2>/dev/null || true)"
    for release in "$ROOT$PREFIX"/releases/*; do
        case " $keep " in *" $(basename "$release") "*) ;; *) rm -rf "$release" ;; esac
    done
    # shellcheck disable=SC2012
    ls -t "$(data_dir)"/backups/before-*.tar 2>/dev/null | tail -n "+$((KEPT_BACKUPS + 1))" |
        while read -r file; do as_roost rm -f "$file"; done
}

do_backup() {
    need_installed
    [ ! -e "$1" ] || die "$1 exists already: name a new file."
    be_alone
    umask 077
    part=$1.part
    rm -f "$part"
    # The service's user may not write where root can, so the file comes out of a pipe.
    if ! unit manage backup - --settings-file "$ROOT$ETC/roost.env" $VIDEO >"$part"; then
        rm -f "$part"
        die 'No back-up was made.'
    fi
    sync "$part"
    mv -n "$part" "$1"
    say "$1 is written ($(($(wc -c <"$1") / 1000)) KB). It holds keys and passwords: keep it private."
}

do_restore() {
    need_installed
    [ -r "$1" ] || die "$1 cannot be read."
    say "This will stop Roost, replace its database, keys and settings by those of $1, and start it again."
    ask 'Go on?'
    be_alone
    stop
    if ! unit manage restore - <"$1"; then
        start_again
        die 'The back-up was not put back; Roost runs as before.'
    fi
    take_settings "$(data_dir)/restored.env"
    make_settings
    install_units
    start || die "The back-up is in place, and Roost does not start: journalctl -u 'roost-*' -b"
    say 'Restored. Recordings that are not listed: roost-manage reindex'
}

do_uninstall() {
    check_root
    data=$(data_dir)
    say "This will stop Roost and remove $ROOT$PREFIX, its services and $MANAGE."
    if [ "$PURGE" = yes ]; then
        [ ! -d "$data" ] || [ -e "$data/.roost" ] || die "$data has no marker of a Roost (.roost): it is not deleted."
        say "It will DELETE all recordings, keys and settings: $data and $ROOT$ETC."
    else
        say "It keeps $data and $ROOT$ETC."
    fi
    ask 'Go on?'
    be_alone
    systemd disable --quiet --now roost.target 2>/dev/null || true
    systemd stop 'roost-*.service' 2>/dev/null || true
    remove_units
    systemd daemon-reload
    rm -f "$ROOT$MANAGE"
    rm -rf "$ROOT${PREFIX:?}"
    if [ "$PURGE" = yes ]; then
        delete_data "$data"
        rm -rf "$ROOT${ETC:?}"
        if ! staged && is_own_user; then userdel roost; fi
        say 'Roost and everything it kept are removed.'
    else
        say "Roost is removed. To delete what it kept as well: uninstall --purge-data, from a copy of this directory."
    fi
}

# --- what is asked for ---------------------------------------------------------------------------

COMMAND=''
FILE=''
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage; exit 0 ;;
    --yes) YES=yes ;;
    --purge-data) PURGE=yes ;;
    --with-video) VIDEO=--with-video ;;
    --root | --environment)
        [ -d "${2:-}" ] || { warn "$1 needs a directory."; exit 2; }
        path=$(CDPATH='' cd -- "$2" && pwd)
        if [ "$1" = --root ]; then ROOT=${path%/}; else ENVIRONMENT=$path; fi
        shift
        ;;
    -*) warn "Unknown option $1; see --help."; exit 2 ;;
    *)
        if [ -z "$COMMAND" ]; then COMMAND=$1; elif [ -z "$FILE" ]; then FILE=$1; else
            warn "Too many words: $1. See --help."
            exit 2
        fi
        ;;
    esac
    shift
done
case ${COMMAND:=install} in
install | upgrade | rollback | uninstall) [ -z "$FILE" ] || { warn "$COMMAND takes no file."; exit 2; } ;;
backup | restore)
    [ -n "$FILE" ] || { warn "$COMMAND needs a file."; exit 2; }
    case $FILE in /*) ;; *) FILE=$PWD/$FILE ;; esac
    ;;
*) warn "Unknown command $COMMAND; see --help."; exit 2 ;;
esac
[ -z "$ENVIRONMENT" ] || staged || { warn '--environment goes with --root.'; exit 2; }

case $COMMAND in
install) do_install ;;
upgrade)
    need_installed
    do_install
    ;;
rollback) do_rollback ;;
backup) do_backup "$FILE" ;;
restore) do_restore "$FILE" ;;
uninstall) do_uninstall ;;
esac

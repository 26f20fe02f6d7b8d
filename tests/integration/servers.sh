#!/bin/sh
# Installs from Debian the servers that the tests of make integration start themselves, as root or
# with sudo that asks for no password; otherwise it says what is missing, and their tests are skipped.
set -eu
PATH="$PATH:/usr/sbin:/sbin"

missing=""
while read -r program package; do
  command -v "$program" >/dev/null || missing="$missing $package"
done <<LIST
pgbouncer pgbouncer
mariadbd mariadb-server
ip iproute2
nsenter util-linux
LIST
[ -n "$missing" ] || exit 0

say() { echo "make integration: $1; the tests that need$missing are skipped." >&2; }

command -v apt-get >/dev/null || { say "there is no apt-get here"; exit 0; }
as_root=""
if [ "$(id -u)" != 0 ]; then
  sudo -n true 2>/dev/null || { say "as root, run: apt-get install$missing"; exit 0; }
  as_root="sudo -n"
fi
echo "Installing$missing from Debian ..."
# The tests start servers of their own: the packages need not start theirs (RUNLEVEL=1).
# shellcheck disable=SC2086
{
  $as_root apt-get update -qq &&
    $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
      apt-get install -y -qq --no-install-recommends $missing >/dev/null
} || say "apt-get failed"

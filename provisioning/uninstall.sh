#!/usr/bin/env bash
# Remove the appliance from this machine: `sudo /opt/appliance/current/provisioning/uninstall.sh`.
# System packages such as python3 stay, because other programs may use them by now.
set -euo pipefail

kept='/etc/appliance /etc/appliance-update /opt/appliance/models /var/lib/appliance /var/lib/private/appliance-camera'
usage="usage: sudo uninstall.sh [--keep-state]
  --keep-state  keep settings, secrets, models and state: $kept
                and what 'systemctl edit' has written to /etc/systemd/system/appliance*.d"
keep=no
case ${1:-} in
  '') ;;
  --keep-state) keep=yes ;;
  *) echo "$usage" >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { echo 'appliance: must run as root; use sudo' >&2; exit 1; }

# Never an account that a person logs in with, which may have had this name before.
remove_account() {
  local id
  id=$(getent passwd "$1" | cut -d: -f3) || true
  [ "${id:-0}" -lt 1000 ] || return 0
  [ -z "$id" ] || userdel "$1"
  ! getent group "$1" >/dev/null || groupdel "$1"
}

if [ -d /run/systemd/system ]; then
  systemctl stop appliance.target 'appliance*' 2>/dev/null || true
fi
find /usr/lib/systemd/system -name 'appliance*' -prune -exec rm -rf {} +
if [ $keep = yes ]; then # drop-ins in /etc are the operator's; the installer's are in /usr/lib
  find /etc/systemd/system -name 'appliance*.d' -prune -o -name 'appliance*' -prune -exec rm -rf {} +
else
  find /etc/systemd/system -name 'appliance*' -prune -exec rm -rf {} +
fi
rm -rf /usr/libexec/appliance /run/appliance /var/cache/appliance
rm -f /usr/lib/sysusers.d/appliance.conf /usr/lib/tmpfiles.d/appliance.conf /usr/lib/udev/rules.d/60-appliance.rules \
  /run/issue.d/appliance.issue /run/issue.d/.token /run/issue.d/.offline /boot/firmware/appliance-first-start.txt /boot/appliance-first-start.txt
link=/usr/local/bin/appliance
if [ "$(readlink $link || true)" = /opt/appliance/current/venv/bin/appliance ]; then
  rm -f $link
  [ ! -e $link.before ] || mv -T $link.before $link # what the installer has moved
fi
for folder in /etc/systemd/system/boot-complete.target.requires /usr/libexec; do
  [ ! -d "$folder" ] || rmdir --ignore-fail-on-non-empty "$folder"
done
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl reset-failed 'appliance*' 2>/dev/null || true
fi

rm -rf /opt/appliance/current /opt/appliance/releases /opt/appliance/update /var/lib/appliance-update
remove_account appliance-update
if [ $keep = yes ]; then
  # Keep the account too: it owns the state.
  found=''
  for folder in $kept /etc/systemd/system/appliance*.d; do
    [ ! -e "$folder" ] || found="$found $folder"
  done
  echo "The appliance was removed. Kept:$found"
  exit 0
fi
rm -rf /opt/appliance /etc/appliance /etc/appliance-update /var/lib/appliance /var/lib/appliance-camera /var/lib/private/appliance-camera
remove_account appliance
echo 'The appliance was removed completely.'

#!/usr/bin/env bash
# Takes the appliance off this machine: `sudo /opt/appliance/current/provisioning/uninstall.sh`.
# Packages of the system (python3 and the like) stay.
set -euo pipefail

usage="usage: sudo uninstall.sh [--keep-state]
  --keep-state  leave settings, secrets, models and state: /etc/appliance, /opt/appliance/models, /var/lib/appliance"
keep=no
units_only=no
case ${1:-} in
  '') ;;
  --keep-state) keep=yes ;;
  --units-only) units_only=yes ;; # the installer takes back what it began
  *) echo "$usage" >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { echo 'appliance: only root can uninstall; use sudo' >&2; exit 1; }

units=(appliance.target appliance.service appliance.socket appliance-boot-check.service appliance-rescue.socket
  appliance-retry.timer appliance-first-boot.service)
cameras=$(systemctl list-units --all --plain --no-legend 'appliance-camera@*' 2>/dev/null | awk '{ print $1 }' || true)
systemctl disable --now "${units[@]}" $cameras >/dev/null 2>&1 || systemctl disable "${units[@]}" >/dev/null 2>&1 || true
rm -rf /usr/lib/systemd/system/appliance* /usr/lib/sysusers.d/appliance.conf /usr/lib/tmpfiles.d/appliance.conf \
  /usr/lib/udev/rules.d/60-appliance.rules /usr/libexec/appliance /etc/systemd/system/appliance*.d \
  /etc/systemd/system/*.wants/appliance* /etc/systemd/system/*.requires/appliance* /run/issue.d/appliance.issue
rmdir --ignore-fail-on-non-empty /etc/systemd/system/*.requires 2>/dev/null || true
[ ! -d /run/systemd/system ] || { systemctl daemon-reload; systemctl reset-failed 'appliance*' 2>/dev/null || true; }
if [ $units_only = yes ]; then
  userdel appliance 2>/dev/null || true
  rmdir /etc/appliance /etc/credstore /opt/appliance/models 2>/dev/null || true
  exit 0
fi

rm -rf /var/cache/appliance /run/appliance
rm -f /usr/local/bin/appliance /opt/appliance/current
rm -rf /opt/appliance/releases
if [ $keep = no ]; then
  rm -rf /opt/appliance /etc/appliance /var/lib/appliance
  rm -f /etc/credstore/server.viewer_token /etc/credstore/server.api_key
  userdel appliance 2>/dev/null || true
  getent group appliance >/dev/null && groupdel appliance
  echo 'The appliance is gone; nothing of it is left.'
else
  echo 'The appliance is gone; kept: /etc/appliance /opt/appliance/models /var/lib/appliance'
fi

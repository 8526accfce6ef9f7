#!/bin/sh
# Check the units with systemd-analyze: they load without warnings, and their exposure stays within the limits below
# (docs/boot.md). Part of `make lint`; needs no root.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
if ! command -v systemd-analyze >/dev/null; then
  echo "SKIPPED: systemd-analyze is not installed; the units in systemd/ were not checked" >&2
  exit 0
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# A root file system with what the units refer to: systemd's own units, and empty files in place of the programs.
mkdir -p "$root/usr/lib/systemd" "$root/etc"
cp -r /usr/lib/systemd/system "$root/usr/lib/systemd"
system=$root/usr/lib/systemd/system
cp "$here"/units/* "$system"
for program in opt/appliance/current/venv/bin/appliance usr/libexec/appliance/boot-check \
  usr/libexec/appliance/update-guard usr/libexec/appliance/update-watch usr/libexec/appliance/rescue-answer usr/libexec/appliance/clock-cap opt/appliance/current/provisioning/at_boot.py bin/echo bin/sh \
  opt/appliance/current/provisioning/erase.py opt/appliance/releases/x/venv/bin/appliance \
  bin/rm usr/bin/systemctl usr/sbin/agetty; do
  install -D -m 755 /dev/null "$root/$program"
done

units=$(cd "$here/units" && ls | sed 's/@\./@x./')
warnings=$(systemd-analyze verify --man=no --root="$root" $units 2>&1) || failed=yes
if [ -n "${failed:-}$warnings" ]; then
  echo "$warnings" >&2
  exit 1
fi

exposure() { # UNIT LIMIT [BOARD]: fail above the limit, given in tenths
  systemd-analyze security --offline=true --no-pager --root="$root" --threshold="$2" "$1" >"$root/report" ||
    { cat "$root/report" >&2; exit 1; }
  sed -n "s/.*level for \(.*\): \([0-9.]*\) .*/units: \1 ${3:+with $3 }\2/p" "$root/report"
}

exposure appliance.service 11
exposure appliance-camera@x.service 13
exposure appliance-boot-check.service 11
exposure appliance-rescue@x.service 11
exposure appliance-clock@x.service 11
exposure appliance-console.service 15
exposure appliance-retry.service 15
exposure appliance-at-boot.service 20
exposure appliance-erase.service 20
exposure appliance-update-guard.service 20
exposure appliance-update-fetch@x.service 15
exposure appliance-update-install.service 20
exposure appliance-update-watch.service 20
exposure appliance-update-warm@x.service 11
for board in "$here"/boards/*.conf; do
  mkdir -p "$system/appliance.service.d"
  cp "$board" "$system/appliance.service.d"
  exposure appliance.service 13 "$(basename "$board" .conf)"
  rm -r "$system/appliance.service.d"
done

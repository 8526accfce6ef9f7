#!/bin/sh
# Install units, account, folders and device rules on this system or into another root file system.
set -eu

usage="usage: systemd/install.sh [--memory 1g|2g|4g|8g] [--with gpu|jetson]... [ROOT]"
here=$(cd "$(dirname "$0")" && pwd)
root=''
drop_ins=''
while [ $# -gt 0 ]; do
  case $1 in
    --memory | --with) [ $# -gt 1 ] || { echo "$usage" >&2; exit 2; } ;;
  esac
  case $1 in
    --memory) drop_ins="$drop_ins memory-$2"; shift 2 ;;
    --with) drop_ins="$drop_ins $2"; shift 2 ;;
    -*) echo "$usage" >&2; exit 2 ;;
    *) root=${1%/}; shift ;;
  esac
done
for name in $drop_ins; do
  [ -f "$here/boards/$name.conf" ] || { echo "unknown board option $name: systemd/boards/$name.conf does not exist. $usage" >&2; exit 2; }
done

lib=$root/usr/lib
install -d "$root/etc" "$lib/systemd/system/appliance.service.d" "$lib/sysusers.d" "$lib/tmpfiles.d" "$lib/udev/rules.d" \
  "$root/usr/libexec/appliance"
install -m 644 "$here"/units/* "$lib/systemd/system"
install -m 755 "$here"/libexec/* "$root/usr/libexec/appliance"
install -m 644 "$here/appliance.sysusers.conf" "$lib/sysusers.d/appliance.conf"
install -m 644 "$here/appliance.tmpfiles.conf" "$lib/tmpfiles.d/appliance.conf"
install -m 644 "$here/60-appliance.rules" "$lib/udev/rules.d"
# Remove the drop-ins of earlier runs.
rm -f "$lib"/systemd/system/appliance.service.d/*.conf
# Do not ask the running systemd: ROOT may contain another version.
[ ! -e "$root/lib/systemd/libsystemd-shared-249.so" ] || drop_ins="$drop_ins systemd-249"
for name in $drop_ins; do
  install -m 644 "$here/boards/$name.conf" "$lib/systemd/system/appliance.service.d"
done

systemd-sysusers ${root:+--root="$root"} appliance.conf
systemd-tmpfiles ${root:+--root="$root"} --create appliance.conf
systemctl ${root:+--root="$root"} enable \
  appliance.target appliance.socket appliance.service appliance-boot-check.service \
  appliance-at-boot.service appliance-console.service appliance-erase.path
if [ -z "$root" ]; then
  systemctl daemon-reload
  udevadm control --reload 2>/dev/null || true # containers have no udev
fi

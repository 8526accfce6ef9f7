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
# Each file is replaced as a whole and is on the disk before the next: a power cut leaves a file old or new, never empty.
put() { # MODE FOLDER FILE...
  mode=$1 folder=$2
  shift 2
  for file; do
    new=$folder/.${file##*/}.new
    install -m "$mode" "$file" "$new"
    sync "$new"
    mv -T "$new" "$folder/${file##*/}"
  done
}
put 644 "$lib/systemd/system" "$here"/units/*
put 755 "$root/usr/libexec/appliance" "$here"/libexec/*
put 644 "$lib/udev/rules.d" "$here/60-appliance.rules"
for kind in sysusers tmpfiles; do
  install -m 644 "$here/appliance.$kind.conf" "$lib/$kind.d/.appliance.new"
  sync "$lib/$kind.d/.appliance.new"
  mv -T "$lib/$kind.d/.appliance.new" "$lib/$kind.d/appliance.conf"
done
# Do not ask the running systemd: ROOT may contain another version.
[ ! -e "$root/lib/systemd/libsystemd-shared-249.so" ] || drop_ins="$drop_ins systemd-249"
for name in $drop_ins; do
  put 644 "$lib/systemd/system/appliance.service.d" "$here/boards/$name.conf"
done
# The rescue answers on the port that `systemctl edit appliance.socket` sets. Until then the link leads nowhere.
ln -sfn /etc/systemd/system/appliance.socket.d "$lib/systemd/system/appliance-rescue.socket.d"
# Remove the drop-ins of earlier runs, after the new ones are there: the update guard reads the board from their names.
for path in "$lib"/systemd/system/appliance.service.d/*.conf; do
  name=${path##*/}
  case " $drop_ins " in *" ${name%.conf} "*) ;; *) rm -f "$path" ;; esac
done

systemd-sysusers ${root:+--root="$root"} appliance.conf
systemd-tmpfiles ${root:+--root="$root"} --create appliance.conf
systemctl ${root:+--root="$root"} enable \
  appliance.target appliance.socket appliance.service appliance-boot-check.service \
  appliance-at-boot.service appliance-console.service appliance-console.path appliance-erase.path \
  appliance-update-check.timer appliance-update-request.path appliance-update-install.path
if [ -z "$root" ] && [ -d /run/systemd/system ]; then # there is none while an image is made
  systemctl daemon-reload
  udevadm control --reload 2>/dev/null || true # containers have no udev
fi

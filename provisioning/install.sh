#!/usr/bin/env bash
# Install the appliance on this machine: `sudo ./provisioning/install.sh`, online or with `--bundle FILE`.
#
# Rules of this file:
# - It can be run again at any time: whatever is already correct stays as it is.
# - Each step says what it does. A step that fails says why and what to do, and everything done so far is undone.
# - It is one long file, because people read it from top to bottom before they run it as root.
# - A release has a folder of its own, /opt/appliance/releases/VERSION-HASH, with its environment and units;
#   `current` is a link to the one in use. Settings, models and state are not part of a release.
set -Eeuo pipefail
# The service's account reads what is installed here, whatever root's shell allows others.
umask 022

usage="usage: sudo provisioning/install.sh [--bundle FILE] [--no-start] [--tune[=FOLDER] | --no-tune]
  --bundle FILE  a file made by \`make bundle\`: install without a network
  --no-start     install and enable, but do not start
  --tune[=FOLDER]  then measure which model and engine are fastest here (\`appliance tune\`); FOLDER: pictures of this
                 site's cameras, to make an INT8 model. --no-tune: do not ask"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
base=/opt/appliance
config=/etc/appliance/appliance.toml
bundle=''
start=yes
tune=ask
pictures=''
while [ $# -gt 0 ]; do
  case $1 in
    --bundle) [ $# -gt 1 ] || { echo "$usage" >&2; exit 2; }; bundle=$(realpath "$2"); shift 2 ;;
    --no-start) start=no; shift ;;
    --no-tune) tune=no; shift ;;
    --tune) tune=yes; shift ;;
    --tune=?*) tune=yes; pictures=$(realpath "${1#*=}"); shift ;;
    -h | --help) echo "$usage"; exit 0 ;;
    *) echo "$usage" >&2; exit 2 ;;
  esac
done

# Commands that undo the steps so far, run in reverse order when a step fails.
undo=()
# Not in /tmp, which is in memory on some systems: the bundle is unpacked here.
work=$(mktemp -d /var/tmp/appliance.XXXXXX)
log=$work/log
step=start
advice=''
running=''
changed=no

say() { printf '%s\n' "$*"; }
begin() { step=$1; advice=$2; printf '  %-12s ' "$step"; }
done_() { say "${1:-done}"; }

fail() {
  [ "$BASH_SUBSHELL" = 0 ] || exit 1 # the main shell fails on this
  trap - ERR INT TERM HUP
  say 'FAILED'
  {
    say ''
    say "appliance: the step \"$step\" failed: ${1:-}"
    tr '\r' '\n' 2>/dev/null <"$log" | grep -v '^(Reading database' | tail -n 15 | sed 's/^/    /' || true
    say "  → $advice"
  } >&2
  local left=no output
  for ((i = ${#undo[@]} - 1; i >= 0; i--)); do
    # Without a temporary file: the disk may be full.
    output=$(eval "${undo[i]}" 2>&1) || { left=yes; say "  cannot undo: ${undo[i]}: ${output##*$'\n'}" >&2; }
  done
  [ $left = yes ] || say 'All changes were undone; the machine is as before.' >&2
  rm -rf "$work"
  exit 1
}
trap 'fail "${running:-line $LINENO: $BASH_COMMAND}"' ERR
trap 'fail "interrupted"' INT TERM HUP
quietly() {
  running="$(basename "$1") ${*:2}"
  [ ${#running} -le 90 ] || running=${running:0:90}…
  running="\`$running\` failed"
  "$@" >>"$log" 2>&1 || return
  running=''
}
# For tests: APPLIANCE_FAIL_AT=STEP makes that step fail after it has done its work. Unset it, because the program
# would read it as a setting.
fail_at=${APPLIANCE_FAIL_AT:-}
unset APPLIANCE_FAIL_AT
end() { [ "$fail_at" != "$step" ] || fail 'failure requested by APPLIANCE_FAIL_AT'; done_ "$@"; : >"$log"; }

# FILE: let the updates of the device use the proxy that this installer was run with.
use_proxy() {
  local proxy=${https_proxy:-${HTTPS_PROXY:-}}
  [ -n "$proxy" ] || return 0
  case $proxy in *://*) ;; *) proxy=http://$proxy ;; esac
  cp "$1" "$1.proxy"
  printf '\n[update]\n# the proxy that the installer was run with\nproxy = "%s"\n' "$proxy" >>"$1.proxy"
  if "$appliance" config check "$1.proxy" >>"$log" 2>&1; then
    mv "$1.proxy" "$1"
  else
    rm "$1.proxy"
    say '               updates cannot use this proxy: its address must be http://HOST:PORT (update.proxy)'
  fi
}

# Whether an account exists and is not one of the system: a person logs in with it.
of_a_person() {
  local id
  id=$(getent passwd "$1" | cut -d: -f3) || true
  [ "${id:-0}" -ge 1000 ]
}

begin machine 'Run this as root on Debian 12 or 13, Raspberry Pi OS or Ubuntu 22.04 or 24.04, amd64 or arm64.'
[ "$(id -u)" = 0 ] || fail 'must run as root'
exec 9>/run/appliance-install.lock
flock --nonblock 9 || { advice='Wait for its end.'; fail 'another installation is running'; }
for account in appliance appliance-update; do
  advice="Log in with another account and rename that one: \`usermod --login NAME $account\`, \`groupmod --new-name NAME $account\`."
  ! of_a_person $account || fail "a person uses the account $account; the service needs it for itself alone"
done
advice='Run this on Debian 12 or 13, Raspberry Pi OS or Ubuntu 22.04 or 24.04, amd64 or arm64.'
[ -r /etc/os-release ] || fail 'unknown system: /etc/os-release is missing'
. /etc/os-release
case " $ID ${ID_LIKE:-} " in *' debian '* | *' ubuntu '*) ;; *) fail "$PRETTY_NAME is not based on Debian" ;; esac
{ command -v apt-get && command -v systemctl; } >/dev/null || fail 'apt-get or systemd is missing'
# An older systemd would start the service without its secrets and with half of its sandbox.
systemd=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
[ "${systemd:-0}" -ge 249 ] || fail "$PRETTY_NAME has systemd ${systemd:-of unknown version}; 249 or later is required"
machine=$(uname -m)
case $machine in x86_64 | aarch64) ;; *) fail "OpenVINO does not support $machine" ;; esac
mkdir -p /opt
free_mb=$(df --output=avail -m /opt | tail -1)
need_mb=1400
if [ "$free_mb" -lt "$need_mb" ]; then
  advice="Free some space, for example with \`sudo apt-get clean\` and \`sudo journalctl --vacuum-size=50M\`."
  fail "/opt has $free_mb MB free; $need_mb MB are required"
fi
end "$PRETTY_NAME, $machine, $free_mb MB free"

source_dir=$(dirname "$here")
if [ -n "$bundle" ]; then
  begin bundle 'Copy the bundle again. Make it with `make bundle` for this machine and its Python.'
  [ -f "$bundle" ] || fail "$bundle does not exist"
  mkdir "$work/bundle"
  quietly tar -xf "$bundle" -C "$work/bundle"
  (cd "$work/bundle" && quietly sha256sum --quiet --strict -c SHA256SUMS) || fail 'the bundle is damaged (wrong checksum)'
  source_dir=$work/bundle
  . "$work/bundle/BUNDLE" # version, architecture, python
  [ "$architecture" = "$machine" ] || fail "the bundle is for $architecture; this machine is $machine"
  end "complete, for $architecture and Python $python"
fi

# A new system updates itself after its first boot and holds the package manager's lock meanwhile, for minutes.
exec 3>&1 # what a person sees: the output of commands goes to the log
apt_get() {
  local try
  for try in {1..60}; do
    if LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get "$@" >"$work/apt" 2>&1; then cat "$work/apt"; return; fi
    grep -qE 'Could not (get|open) lock|Unable to (lock|acquire the dpkg)' "$work/apt" || break
    [ "$try" != 1 ] || say 'waiting for another program that installs packages' >&3
    sleep 10
  done
  cat "$work/apt"
  return 1
}

# Install missing system packages.
begin packages 'Check the network and the package sources of this machine: `sudo apt-get update`.'
wanted=(python3 python3-systemd libgomp1 ca-certificates)
[ -n "$bundle" ] || wanted+=(python3-venv)
missing=()
for package in "${wanted[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ] && [ -n "$bundle" ]; then
  # Without a network only Python itself is indispensable.
  command -v python3 >/dev/null || fail 'python3 is missing, and a bundle does not contain it'
  missing=()
fi
if [ ${#missing[@]} -gt 0 ]; then
  changed=yes
  dpkg-query -W -f '${Package}\n' | sort >"$work/packages.before"
  undo+=("dpkg-query -W -f '\${Package}\\n' | sort | comm -13 '$work/packages.before' - |
    DEBIAN_FRONTEND=noninteractive xargs -r apt-get purge -y")
  quietly apt_get update
  quietly apt_get install -y --no-install-recommends "${missing[@]}"
  end "installed ${missing[*]}"
else
  end 'all installed'
fi

begin python 'Install the Python of this system (`sudo apt-get install python3`), or make the bundle for this one.'
python=${PYTHON:-/usr/bin/python3}
# MNN may be faster than OpenVINO on ARM; `appliance tune` measures it.
mnn=''
[ "$machine" != aarch64 ] || mnn=yes
has=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || fail "$python does not start"
case $has in 3.10 | 3.11 | 3.12 | 3.13) ;; *) fail "$python is Python $has; 3.10 to 3.13 is required" ;; esac
case $(realpath "$python") in
  /home/* | /root/* | /run/* | /tmp/*)
    advice='Install that Python for all users, for example below /opt or /usr/local.'
    fail "the service runs under its own account, which cannot read $(realpath "$python")" ;;
esac
"$python" -c 'import venv' 2>>"$log" || fail "$python lacks the module venv"
if [ -n "$bundle" ]; then
  (. "$work/bundle/BUNDLE" && [ "$python" = "$has" ]) || fail "the bundle is for another Python than $has"
fi
# JetPack's TensorRT is a system package for one Python; the other packages it needs are installed here.
tensorrt=/usr/lib/python$has/dist-packages/tensorrt
[ -e "$tensorrt/__init__.py" ] || tensorrt=''
[ -z "$bundle" ] || [ -e "$source_dir/requirements-tensorrt.txt" ] || tensorrt=''
end "$has${tensorrt:+, with TensorRT}"

# The release is named VERSION-HASH; the hash covers everything that goes into it. A folder without `complete` is the
# rest of an interrupted installation.
begin release 'Check whether the disk is full or the network is down, then run this again.'
content=(appliance systemd provisioning pyproject.toml README.md LICENSE)
[ -z "$bundle" ] || content=(BUNDLE SHA256SUMS)
hash=$(cd "$source_dir" && find "${content[@]}" -type f -not -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z |
  xargs -0 sha256sum | sha256sum | cut -c1-8)
[ -n "$bundle" ] || version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' "$source_dir/appliance/__init__.py")
name=$version-$hash${tensorrt:+-tensorrt}
release=$base/releases/$name
if [ -e "$release/complete" ]; then
  end "$name is installed"
else
  changed=yes
  [ -d "$base" ] || undo+=("rm -rf '$base'")
  undo+=("rm -rf '$release'")
  rm -rf "$release"
  mkdir -p "$release"
  cp -r "$source_dir/systemd" "$source_dir/provisioning" "$release/"
  say "$name"
  if [ -n "$bundle" ]; then
    quietly "$here/make_release.sh" --bundle "$source_dir" "$release" "$python" "$tensorrt"
  else
    say "               downloading about 150 MB of packages"
    cp -r "$source_dir"/{appliance,pyproject.toml,README.md,LICENSE} "$work/"
    quietly "$python" -m venv "$release/venv"
    pip=("$release/venv/bin/python" -m pip --disable-pip-version-check)
    # Small parts that many devices can do without are in every release, so that an update never loses them.
    extras=mdns,site,kserve
    # The versions of the lock file, and no file that it does not know.
    lock=$source_dir/provisioning/requirements.lock
    "$python" -I "$source_dir/provisioning/locked.py" constraints "$lock" >"$work/constraints.txt"
    # So are pip and setuptools: the first pip, which comes with the system's Python, fetches nothing but them.
    "$python" -I "$source_dir/provisioning/locked.py" select "$lock" pip setuptools >"$work/installer.txt"
    quietly "${pip[@]}" install --no-compile --no-deps --only-binary=:all: --require-hashes -r "$work/installer.txt"
    quietly "${pip[@]}" wheel --no-cache-dir --no-build-isolation --only-binary=:all: --wheel-dir "$work/wheels" --constraint "$work/constraints.txt" \
      "$work/.[$extras${mnn:+,mnn}${tensorrt:+,tensorrt}]"
    quietly "$python" -I "$source_dir/provisioning/locked.py" verify "$lock" "$work/wheels" edge-detection-appliance
    quietly "${pip[@]}" install --no-index --no-compile --find-links "$work/wheels" \
      "edge-detection-appliance[$extras${mnn:+,mnn}${tensorrt:+,tensorrt}]"
    quietly "$here/make_release.sh" "$release" "$python" "$tensorrt"
    # An update does not fetch these again.
    mv "$work/wheels" "$release/wheels"
  fi
  sync -f "$release"
  touch "$release/complete"
  sync -f "$release"
  printf '  %-12s ' ''
  end 'complete'
fi
appliance=$release/venv/bin/appliance

# All of our files that systemd uses, so that they can be restored.
owned() {
  find /usr/lib/systemd/system /etc/systemd/system -name 'appliance*' -prune
  for path in /usr/lib/{sysusers,tmpfiles}.d/appliance.conf /usr/lib/udev/rules.d/60-appliance.rules \
    /usr/libexec/appliance /etc/systemd/system/boot-complete.target.requires; do
    [ ! -e "$path" ] || echo "$path"
  done
}
put_units_back() {
  owned | xargs -r rm -rf
  tar -xf "$work/units.tar" -C /
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl reset-failed 'appliance*' || true # fails for units that run or never ran
  fi
}

# Remember owner and mode of a file or folder that existed before.
remember() { undo+=("chown $(stat -c '%U:%G' "$1") '$1' && chmod $(stat -c '%a' "$1") '$1'"); }

begin units 'Report the lines above to the maintainers.'
drop_ins=()
for name_ in $("$appliance" board --drop-ins); do
  case $name_ in memory-*) drop_ins+=(--memory "${name_#memory-}") ;; *) drop_ins+=(--with "$name_") ;; esac
done
before=$(readlink "$base/current" 2>/dev/null || true)
units_now() { owned | xargs -r -d '\n' -I@ find @ -type f | xargs -r -d '\n' sha256sum; }
units_before=$(units_now)
owned | tar -cf "$work/units.tar" -P --files-from=-
# What systemd/install.sh creates in addition to the units.
for account in appliance appliance-update; do getent passwd $account >/dev/null || undo+=("userdel $account"); done
for group in render video; do getent group $group >/dev/null || undo+=("groupdel $group"); done
for folder in /etc/appliance /etc/appliance/credentials /etc/appliance-update /var/lib/appliance-update; do
  if [ -d $folder ]; then remember $folder; else undo+=("rm -rf $folder"); fi
done
[ -d /usr/libexec ] || undo+=('rmdir --ignore-fail-on-non-empty /usr/libexec')
undo+=(put_units_back)
# The update guard keeps what it knows here; see docs/update.md.
guard=$release/systemd/libexec/update-guard
if [ -d "$base/update" ]; then
  cp -a "$base/update" "$work/update"
  undo+=("rm -rf '$base/update' && cp -a '$work/update' '$base/update'")
else
  undo+=("rm -rf '$base/update'")
fi
quietly "$guard" units-change
quietly "$release/systemd/install.sh" "${drop_ins[@]}"
quietly "$guard" units-change "$name"
[ "$units_before" = "$(units_now)" ] || changed=yes
end "for this board: $("$appliance" board --drop-ins)"

begin settings "Fix $config: the line above says what is wrong."
if [ -e "$config" ]; then
  quietly "$appliance" config check "$config"
  if [ "$(stat -c '%U:%G %a' "$config")" != 'root:appliance 640' ]; then
    changed=yes
    remember "$config"
    chown root:appliance "$config"
    chmod 640 "$config"
  fi
  end "$config unchanged"
else
  changed=yes
  install -d -m 750 -o root -g appliance "$(dirname "$config")"
  "$appliance" board --toml >"$work/appliance.toml"
  use_proxy "$work/appliance.toml"
  quietly "$appliance" config check "$work/appliance.toml"
  install -m 640 -o root -g appliance "$work/appliance.toml" "$config"
  end "$config, for this board"
fi

begin model 'Copy `yolo11n.onnx` to /opt/appliance/models, or use --bundle, then run this again.'
model=$(cd "$base" && "$appliance" config show --config "$config" | sed -n '/^\[model\]/,/^\[/s/^name = "\(.*\)"/\1/p')
if [ -e "$base/models/$model/manifest.json" ]; then
  end "$model is installed"
else
  changed=yes
  undo+=("rm -rf '$base/models/$model'")
  if [ -d "$source_dir/models/$model" ]; then
    cp -r "$source_dir/models/$model" "$base/models/"
    end "$model, from the bundle"
  else
    say "downloading $model"
    (cd "$base" && quietly "$appliance" model fetch $([ -z "$tensorrt$mnn" ] || echo --onnx))
    printf '  %-12s ' ''
    end "$model"
  fi
fi
# More models of the bundle, for example in INT8: a person, or `appliance tune`, chooses one later.
for path in "$source_dir"/models/*/; do
  name_=$(basename "$path")
  [ -n "$bundle" ] && [ -e "$path/manifest.json" ] && [ ! -e "$base/models/$name_/manifest.json" ] || continue
  changed=yes
  undo+=("rm -rf '$base/models/$name_'")
  cp -r "$path" "$base/models/$name_"
done
chmod -R u=rwX,go=rX "$base/models"

begin current 'If an update is on trial, wait for its end: `appliance update status`. Otherwise check whether the disk is full.'
if [ "$before" = "releases/$name" ]; then
  end "$name"
else
  changed=yes
  if [ -n "$before" ]; then
    # On trial until the service is ready: after a power cut in between, the guard goes back by itself.
    undo+=("ln -sfn '$before' '$base/.current' && mv -T '$base/.current' '$base/current' && systemctl restart appliance")
    quietly "$guard" try "$name" 0
  else
    undo+=("rm -f '$base/current'")
    ln -sfn "releases/$name" "$base/.current"
    mv -T "$base/.current" "$base/current"
  fi
  end "$name${before:+, previously ${before#releases/}}"
fi
link=/usr/local/bin/appliance
if [ "$(readlink "$link" || true)" != "$base/current/venv/bin/appliance" ]; then
  if [ -e "$link" ] || [ -L "$link" ]; then # of another installation, for example by pip
    mv -fT "$link" "$link.before"
    undo+=("mv -fT '$link.before' '$link'")
    say "               the former $link is now $link.before"
  fi
  undo+=("rm -f '$link'")
  ln -sfn "$base/current/venv/bin/appliance" "$link"
fi

if [ $start = no ]; then
  say "appliance $name is installed; it starts at the next boot."
elif [ ! -d /run/systemd/system ]; then
  say "appliance $name is installed; systemd is not running, so it starts at the next boot."
else
  begin service 'See `journalctl -u appliance -n 50`. Check the settings: `appliance config check`.'
  for folder in /var/lib/appliance /var/cache/appliance /run/appliance; do
    [ -e "$folder" ] || undo+=("rm -rf '$folder'")
  done
  systemctl is-active --quiet appliance.target || undo+=("systemctl stop appliance.target 'appliance*'")
  action=start
  ! { [ $changed = yes ] && systemctl is-active --quiet appliance.service; } || action=restart
  if ! quietly systemctl $action appliance.service; then
    journalctl -u appliance -n 15 -o cat --no-pager >"$log"
    fail 'the service did not become ready'
  fi
  # Do not wait: the console shows the address once there is a network.
  systemctl start --no-block appliance.target appliance-console.service appliance-console.path appliance-erase.path \
    appliance-update-check.timer appliance-update-request.path appliance-update-install.path
  status=$(systemctl show -p StatusText --value appliance)
  case $status in
    'safe mode'*) fail "detection is off: $status" ;;
  esac
  end "$status"
  address=$("$appliance" address 2>/dev/null) || address='no network address yet'
  say "appliance $name is $(systemctl is-active appliance): $address"
fi
# Of older releases, the guard keeps the one to which it would go back.
if [ -n "$before" ] && [ "$before" != "releases/$name" ]; then quietly "$guard" commit; else quietly "$guard" adopt; fi
trap - ERR INT TERM HUP
# The power may be cut from here on.
sync
rm -rf "$work"

# Measuring takes a minute, or many with pictures, and needs memory: never by itself on a board with 1 GB. A failure
# here leaves the device as it is.
if [ $start = yes ] && [ -d /run/systemd/system ]; then
  case " ${drop_ins[*]} " in *' --memory 1g '*) [ $tune != ask ] || tune=no ;; esac
  if [ $tune = ask ]; then
    tune=no
    if [ -z "$before" ] && [ -t 0 ] && [ -t 1 ]; then
      printf 'Measure now which model and engine are fastest on this device? It takes a minute. [y/N] '
      read -r answer || answer=''
      case $answer in [yY]*) tune=yes ;; esac
    fi
  fi
  [ $tune = no ] || "$base/current/venv/bin/appliance" tune ${pictures:+--pictures "$pictures"} ||
    say 'The device works as before. To measure again: sudo appliance tune'
fi

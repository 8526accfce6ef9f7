#!/usr/bin/env bash
# Make the environment of a release: make_release.sh [--bundle FOLDER] RELEASE PYTHON [TENSORRT]
#
# The installer and the updater both use it. With --bundle the environment is made from an unpacked bundle, without a
# network; otherwise it exists, with its packages. The caller writes `complete` when all is on the disk.
set -euo pipefail

bundle=''
[ "$1" != --bundle ] || { bundle=$2; shift 2; }
release=$1 python=$2 tensorrt=${3:-}

if [ -n "$bundle" ]; then
  "$python" -m venv --without-pip "$release/venv"
  pip=("$release/venv/bin/python" "$(echo "$bundle"/wheels/pip-*.whl)/pip")
  "${pip[@]}" install --no-index --no-compile --find-links "$bundle/wheels" --require-hashes \
    -r "$bundle/requirements.txt" ${tensorrt:+-r "$bundle/requirements-tensorrt.txt"}
else
  pip=("$release/venv/bin/python" -m pip --disable-pip-version-check)
fi
# OpenVINO works without it, and the device sends no telemetry.
"${pip[@]}" uninstall --yes openvino-telemetry
# Debian builds systemd-python for the system's Python; without it the journal has no fields.
journal=/usr/lib/python3/dist-packages/systemd
site=$(echo "$release"/venv/lib/python*/site-packages)
if [ -d $journal ] && [ ! -e "$site/systemd" ] && [ "$python" = /usr/bin/python3 ]; then
  ln -s $journal "$site/systemd"
fi
[ -z "$tensorrt" ] || ln -s "$tensorrt" "$site/tensorrt"
"$release/venv/bin/python" -m compileall -q -j 0 "$release/venv/lib"
"$release/venv/bin/appliance" --version
# For the update guard: what the files were like before a power cut, and before the disk grew old.
(cd "$release" && find venv systemd provisioning -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) >"$release/SHA256SUMS"
# An update does not fetch these again. Links: the bundle is thrown away, or is on another disk.
if [ -n "$bundle" ]; then
  mkdir -p "$release/wheels"
  cp -l "$bundle"/wheels/*.whl "$release/wheels/" 2>/dev/null || cp "$bundle"/wheels/*.whl "$release/wheels/"
fi

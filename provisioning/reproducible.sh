#!/usr/bin/env bash
# Build and sign a release twice, with keys that exist only meanwhile, and compare all files byte by byte.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
python=${1:-$here/../.venv/bin/python}
work=$(mktemp -d /var/tmp/appliance-release.XXXXXX)
trap 'rm -rf "$work"' EXIT
export APPLIANCE_KEY_PASSPHRASE=only-for-this-check
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

release() { "$python" "$here/release.py" "$@" >/dev/null; }
mkdir "$work/keys"
for key in alice bob keys/targets keys/snapshot keys/timestamp; do release key "$work/$key.pem"; done
for build in first second; do
  release root --repository "$work/$build/repository" --keys "$work/keys" \
    --root-keys "$work/alice.pub" "$work/bob.pub" --sign-with "$work/alice.pem" "$work/bob.pem"
  release build --out "$work/$build" --repository "$work/$build/repository" --keys "$work/keys" --number 1
done
diff -r "$work/first" "$work/second"
cat "$work/first/SHA256SUMS"
echo 'Both builds have the same bytes.'

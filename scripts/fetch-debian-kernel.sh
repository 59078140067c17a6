#!/bin/sh
# Downloads Debian's arm64 cloud kernel as kernels/debian-6.1.0-50-cloud-arm64.Image, the kernel that tests/kernel and the
# scenario debian-arm64 know every figure of. Needs apt-get and dpkg-deb of any Debian or Ubuntu, but no root: lists and
# caches go to a temporary folder, and the system's own package state is only read.
#
# Exit: 0 that kernel is there; 3 Debian has it no longer, the newest 6.1 kernel was fetched under its own name; 1 neither.
set -eu

PACKAGE=linux-image-6.1.0-50-cloud-arm64-unsigned
RELEASE=6.1.0-50-cloud-arm64
SHA256=a08ee489c733d77bbda363beff42094731f60637668dbedc6787791e0d7974ad
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf 'fetch-debian-kernel: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

cd "$(dirname "$0")/.."
mkdir -p kernels
target=kernels/debian-$RELEASE.Image

is_right() { [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$SHA256" ]; }

if [ -f "$target" ]; then
  if is_right "$target"; then
    say "$target is there already"
    exit 0
  fi
  say "$target has another checksum and is fetched again"
fi
for tool in apt-get apt-cache dpkg-deb; do
  command -v "$tool" >/dev/null 2>&1 || fail "needs $tool, which this machine does not have; no kernel fetched"
done

work=$(mktemp -d "$PWD/kernels/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/etc"
: >"$work/status"

# Runs an apt tool on arm64 with all of its state in $work. The extra argument, if any, is a private list of sources.
apt_with() {
  sources=$1
  shift
  set -- "$@" -qq -oAPT::Architecture=arm64 -oAPT::Architectures=arm64 -oAPT::Sandbox::User=root \
    -oDir::State::Lists="$work/lists" -oDir::State::status="$work/status" -oDir::Cache="$work/cache" \
    -oAcquire::Languages=none -oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
  [ -z "$sources" ] || set -- "$@" -oDir::Etc::SourceList="$sources" -oDir::Etc::SourceParts=/nonexistent
  "$@"
}

knows() { apt_with "$1" apt-cache show "$2" 2>/dev/null | grep -q '^Package:'; }

# The machine's own sources come first: they name the mirror that works here. Failing parts of them do not matter.
sources=''
apt_with "$sources" apt-get update >/dev/null 2>"$work/log" || true
if ! knows "$sources" "$PACKAGE" && [ -f "$KEYRING" ]; then
  sources=$work/etc/sources.list
  for suite in 'debian bookworm' 'debian-security bookworm-security'; do
    echo "deb [signed-by=$KEYRING] http://deb.debian.org/$suite main"
  done >"$sources"
  apt_with "$sources" apt-get update >/dev/null 2>"$work/log" || true
fi

package=$PACKAGE
if ! knows "$sources" "$package"; then
  package=$(apt_with "$sources" apt-cache pkgnames linux-image-6.1.0- 2>/dev/null |
    grep '^linux-image-6\.1\.0-[0-9]*-cloud-arm64-unsigned$' | sort -V | tail -n 1)
  [ -n "$package" ] || fail "no 6.1 cloud kernel for arm64 to be had: $(tail -n 1 "$work/log" | cut -c1-200)"
  say "$PACKAGE is no longer to be had; fetching $package instead, of which the tests know no figures"
fi

(cd "$work" && apt_with "$sources" apt-get download "$package" >/dev/null 2>"$work/log") ||
  fail "cannot download $package: $(tail -n 1 "$work/log" | cut -c1-200)"
dpkg-deb -x "$work"/*.deb "$work/root"
image=$(find "$work/root/boot" -name 'vmlinuz-*' | head -n 1)
[ -n "$image" ] || fail "$package holds no boot/vmlinuz"

if [ "$package" != "$PACKAGE" ]; then
  name=kernels/debian-${image##*/vmlinuz-}.Image
  mv "$image" "$name"
  say "fetched $name"
  exit 3
fi
if ! is_right "$image"; then
  mv "$image" "kernels/debian-$RELEASE-other-build.Image"
  say "the package has another build (checksum differs); kept as kernels/debian-$RELEASE-other-build.Image"
  exit 3
fi
mv "$image" "$target"
say "fetched $target"

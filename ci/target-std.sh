#!/usr/bin/env bash
# The pinned compiler's std for another target: ci/target-std.sh TARGET [check]
# Where it is already there: nothing. Else rustup fetches it, where it can. Else it is built from Debian's source of the same release, which
# brings what std depends on (trixie-backports has it for as long as that release is current there); with `check`, only what `cargo check` reads.
# It lies in the toolchain's own folder, which is the cache. Where there is no way: it says so and exits 3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=$1 how=${2:-build}
sysroot=$(rustc --print sysroot)
version=$(rustc --version | cut -d ' ' -f 2)
lib=$sysroot/lib/rustlib/$target/lib

there() { compgen -G "$lib/libstd-*.rlib" >/dev/null || { [ "$how" = check ] && compgen -G "$lib/libstd-*.rmeta" >/dev/null; }; }
no_way() {
    echo "skipped: no std of rustc $version for $target here: $1" >&2
    exit 3
}

there && exit 0
if [ "${TRITBENCH_STD:-}" != debian ] && command -v rustup >/dev/null; then
    # A release of rustup that cannot reach its server waits long.
    timeout 180 rustup target add "$target" && there && exit 0
fi

{ [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; } || no_way "rustup cannot fetch it, and apt-get or root is missing"
mirror=$({ cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null || true; } |
    sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\?\(http[^ ]*\).*/\2/p' | sed -n 1p)
[ -n "$mirror" ] || no_way "this system's list of packages names no mirror of Debian"
work=$(mktemp -d)
linked=
trap 'rm -rf "$work"; [ -z "$linked" ] || rm -f "$linked"' EXIT
mkdir -p "$work/lists/partial" "$work/std/src"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie-backports main" >"$work/backports.list"
apt=(-o "Dir::Etc::sourcelist=$work/backports.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$work/lists"
    -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false)
apt-get "${apt[@]}" update -qq || no_way "trixie-backports cannot be read"
package=$(apt-cache "${apt[@]}" madison rust-src | sed -n "s/^ *rust-src | \($version+[^ ]*\) .*/\1/p" | head -n 1)
[ -n "$package" ] || no_way "trixie-backports has no rust-src $version any more"
(cd "$work" && apt-get "${apt[@]}" download -qq "rust-src=$package")
dpkg --fsys-tarfile "$work"/rust-src_*.deb | tar -x -C "$work" "./usr/src/rustc-$version/library"
library=$work/usr/src/rustc-$version/library

# Cargo looks for std's source in the toolchain.
if [ ! -e "$sysroot/lib/rustlib/src/rust" ]; then
    mkdir -p "$sysroot/lib/rustlib/src"
    linked=$sysroot/lib/rustlib/src/rust
    ln -s "$work/usr/src/rustc-$version" "$linked"
fi
printf '[package]\nname = "std-of-a-target"\nversion = "0.0.0"\nedition = "2024"\n' >"$work/std/Cargo.toml"
: >"$work/std/src/lib.rs"
cp rust-toolchain.toml "$work/std/"
unpacked=$sysroot/lib/rustlib/.$target.part
rm -rf "$unpacked"
mkdir -p "$unpacked/lib"
(
    cd "$work/std"
    RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$work/target cargo "$how" --release -Zbuild-std=std,panic_abort,panic_unwind,test,proc_macro \
        --target "$target" --config 'source.crates-io.replace-with="v"' --config "source.v.directory=\"$library/vendor\""
)
case $how in check) made=rmeta ;; *) made=rlib ;; esac
cp "$work/target/$target/release/deps/"*."$made" "$unpacked/lib/"
rm -f "$unpacked"/lib/libstd_of_a_target-*
rm -rf "$sysroot/lib/rustlib/$target"
mv "$unpacked" "$sysroot/lib/rustlib/$target"
there
echo "built: std of rustc $version for $target"

#!/bin/sh
# llama.sh version FOLDER            one line: which engine the library in FOLDER is
# llama.sh run FOLDER [--repack]     speaks the engine protocol with it (llama.c)
#
# FOLDER is a built llama.cpp, ik_llama.cpp or bitnet.cpp, or the output folder of the crate llama-cpp-sys-2. Compiles
# llama.c, which takes a second or two, and keeps the program in the user's cache. Needs a C compiler: CC, else cc.
set -eu
fail() { echo "$1" >&2; exit 1; }
digest() { { sha256sum 2>/dev/null || shasum -a 256; } | cut -c1-12; }
# Shortest path first: a checkout has copies of headers for other languages and libraries of other builds.
by_length() { awk '{ print length($0), $0 }' | sort -n | cut -d' ' -f2-; }

[ $# -ge 2 ] || fail "usage: llama.sh version|run FOLDER [--repack]"
case $1 in
version) option=--version ;;
run) option=${3:-} ;;
*) fail "usage: llama.sh version|run FOLDER [--repack]" ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
folder=$(cd "$2" 2>/dev/null && pwd) || fail "no folder $2: name that of a built llama.cpp"
cc=${CC:-cc}
compiler=$("$cc" --version 2>/dev/null | head -n 1)
[ -n "$compiler" ] || fail "no C compiler $cc: install one, or set CC"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for ending in so dylib a; do
    llama=$(find -L "$folder" -name "libllama.$ending" 2>/dev/null | by_length | head -n 1)
    [ -z "$llama" ] || break
done
[ -n "$llama" ] || fail "no libllama in $folder: build it there by its own instructions first"
set -- -std=c11
for header in llama.h ggml.h; do
    path=$(find -L "$folder" -path "*/include/$header" 2>/dev/null | by_length | head -n 1)
    [ -n "$path" ] || fail "no include/$header in $folder: name the whole checkout's folder"
    set -- "$@" -isystem "$(dirname "$path")"
    digest <"$path" >>"$scratch/digests"
done

# The ggml libraries of the same build: of the nearest folder around libllama that has any.
root=$(dirname "$llama")
while :; do
    find -L "$root" -name "libggml*.$ending" 2>/dev/null | by_length | awk -F/ '!seen[$NF]++' >"$scratch/ggml"
    [ ! -s "$scratch/ggml" ] && [ "$root" != "$folder" ] || break
    root=$(dirname "$root")
done
[ -s "$scratch/ggml" ] || fail "no libggml beside $llama: build all of it"
{ echo "$llama" && cat "$scratch/ggml"; } >"$scratch/libraries"
while read -r path; do digest <"$path"; done <"$scratch/libraries" >>"$scratch/digests"

# A commit where FOLDER has one; the library's digest in any case.
build="$(basename "$llama") sha256 $(digest <"$llama")"
if [ -e "$folder/.git" ]; then
    build="commit $(git -C "$folder" rev-parse --short=12 HEAD 2>/dev/null || echo unknown), $build"
fi

cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/tritbench
mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ] || cache=${TMPDIR:-/tmp}/tritbench-$(id -u)
mkdir -p "$cache"
key=$({ cat "$0" "$here/llama.c" "$scratch/digests" "$scratch/libraries" && echo "$compiler $build"; } | digest)
program=$cache/llama-$key
if [ ! -x "$program" ]; then
    # What the header has: each probe of llama.c is an expression that compiles or does not.
    {
        sed -n '/^#if __has_include/,/^#endif/p' "$here/llama.c"
        printf '#include "llama.h"\nint main(void) { (void)(PROBE); return 0; }\n'
    } >"$scratch/probe.c"
    sed -n 's|^// probe ||p' "$here/llama.c" >"$scratch/probes"
    while IFS=: read -r word expression; do
        if "$cc" "$@" -fsyntax-only -Werror=implicit-function-declaration "-DPROBE=($expression)" "$scratch/probe.c" \
            2>/dev/null; then
            echo "-D$word"
        fi
    done <"$scratch/probes" >"$scratch/defined"
    while read -r word; do set -- "$@" "$word"; done <"$scratch/defined"

    set -- "$@" "-DBUILD=\"$build\"" -O2 "$here/llama.c" -o "$scratch/llama"
    [ "$ending" != a ] || set -- "$@" -Wl,--start-group
    while read -r path; do
        set -- "$@" "$path"
        [ "$ending" = a ] || set -- "$@" "-Wl,-rpath,$(dirname "$path")"
    done <"$scratch/libraries"
    case $ending in
    # RPATH and not RUNPATH, which would not hold for what these libraries need themselves.
    so) set -- "$@" -Wl,--disable-new-dtags ;;
    a) set -- "$@" -Wl,--end-group -lstdc++ -lpthread -ldl ;;
    esac
    # Static libraries may need OpenMP, which nothing but linking tells.
    "$cc" "$@" -lm 2>"$scratch/errors" || "$cc" "$@" -lm -fopenmp 2>"$scratch/errors" ||
        fail "llama.c does not compile with $folder: $(grep -m 1 -E 'error|undefined' "$scratch/errors")"
    mv "$scratch/llama" "$program"
fi
rm -rf "$scratch"
exec "$program" $option

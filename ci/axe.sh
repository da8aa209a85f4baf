#!/usr/bin/env bash
# Accessibility of pages, judged by axe-core in a headless Chromium: no serious or critical violation, light and dark, 1280 and 360 px.
#
#   ci/axe.sh reports/runs/RUN/report.html [comparison.html index.html ...]
#
# Fetches axe-core with npm in the version below, into a folder that is removed again (or kept in $TRITBENCH_AXE for the next time).
# Exit code 0: nothing found. 1: violations, one a line. 3: npm or its registry cannot be reached, so nothing was checked.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=4.14.1
[ $# -gt 0 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }

folder=${TRITBENCH_AXE:-}
if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi
script=$folder/node_modules/axe-core/axe.min.js
if ! [ -f "$script" ] || ! grep -q "\"version\": \"$version\"" "$folder/node_modules/axe-core/package.json"; then
    if ! command -v npm >/dev/null; then
        echo "npm is not installed: accessibility was not checked" >&2
        exit 3
    fi
    mkdir -p "$folder"
    if ! npm install --prefix "$folder" --no-save --no-audit --no-fund --ignore-scripts --silent "axe-core@$version" >&2; then
        echo "npm could not install axe-core $version: accessibility was not checked" >&2
        exit 3
    fi
fi
"$here/browser-test" --axe "$script" "$@"

#!/usr/bin/env bash
# A stage built outside of the tree: install Loom into a folder, copy the skeleton, build it with pkg-config alone, and
# have the installed launcher find it. test_install.sh BUILD_FOLDER CC [flags of the build, e.g. sanitizers]...
set -euo pipefail

source=$(cd "$(dirname "$0")/.." && pwd)
build=$1
shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cmake --install "$build" --prefix "$folder/loom" >/dev/null
sed 's/"skeleton"/"mine"/' "$source/stages/skeleton.c" >"$folder/mine.c"
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$folder/loom" -name loom.pc)")
mkdir "$folder/bin"
# shellcheck disable=SC2046  # words, on purpose
"$@" -o "$folder/bin/loom-mine" "$folder/mine.c" $(pkg-config --cflags --libs loom)

PATH=$folder/bin:$PATH
"$folder/loom/bin/loom" list | grep -q '^mine ' || { echo "loom list does not show the stage" >&2 && exit 1; }
"$folder/loom/bin/loom" inspect mine | grep -q 'brightest value wanted' || { echo "loom inspect fails" >&2 && exit 1; }
echo "a stage of one's own was built and found"

# shellcheck shell=sh
# shellcheck shell=sh
# Prints "home version" of the first Java 17 or 21, or of the home $1, whatever its version is.
# As root, a Java that other users cannot reach is none: what runs on it is not root.

reachable() {
  [ "$(id -u)" = 0 ] || return 0
  path=$1
  while :; do
    case $(stat -Lc %A "$path") in
      *x | *t) ;;
      *) return 1 ;;
    esac
    [ "$path" = / ] && return 0
    path=$(dirname "$path")
  done
}

version_of() {
  "$1/bin/java" -version 2>&1 | sed -nE '/version "/{s/.*version "(1\.)?([0-9]+).*/\2/p;q;}'
}

if [ -n "$1" ]; then
  [ -x "$1/bin/java" ] && reachable "$(readlink -f "$1/bin/java")" && echo "$1 $(version_of "$1")"
  exit 0
fi

on_path=$(command -v java) && on_path=$(dirname "$(dirname "$(readlink -f "$on_path")")")
for home in "$JAVA_HOME" "$on_path" /usr/lib/jvm/*; do
  [ -x "${home:-/none}/bin/java" ] || continue
  reachable "$(readlink -f "$home/bin/java")" || continue
  version=$(version_of "$home")
  case $version in
    17 | 21)
      echo "$home $version"
      exit 0
      ;;
  esac
done
exit 0

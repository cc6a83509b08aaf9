# shellcheck shell=sh
# packages.sh PACKAGE...: installs Debian packages from the bundle and from nowhere else, whatever sources the host has: they may be out of reach.
folder=/var/lib/cctv-pipeline
from_bundle="-o Dir::Etc::SourceList=$folder/deb.list -o Dir::Etc::SourceParts=- -o Dir::State::Lists=$folder/deb-lists"
mkdir -p "$folder/deb-lists/partial"
# A run that was interrupted may have left packages unpacked.
dpkg --configure --pending
# What a reset takes back is what was not there before, however often this is interrupted.
[ -e "$folder/packages-before" ] || dpkg-query --show --showformat '${Package}\n' | sort >"$folder/packages-before"
# shellcheck disable=SC2086
apt-get --quiet=2 $from_bundle update
# shellcheck disable=SC2086
apt-get --quiet=2 $from_bundle --yes --no-install-recommends install "$@"

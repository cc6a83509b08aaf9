# shellcheck shell=sh
# certificates.sh NAME ADDRESS: makes NAME.crt and NAME.key for ADDRESS, and first the authority beside them that signs, ca.crt and ca.key.
# The authority's key is root's alone, the other also the registry's own user's. Each file appears when it is complete.
name=$1 address=$2
cd "$(dirname "$name")" || exit 1
umask 077
scratch=$(mktemp -d -p .)
trap 'rm -rf "$scratch"' EXIT
new_key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"

if [ ! -e ca.crt ]; then
    # shellcheck disable=SC2086
    openssl req -x509 $new_key -days 7300 -subj "/CN=cctv.pipeline registry $address" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign \
        -keyout "$scratch/ca.key" -out "$scratch/ca.crt"
    chmod 644 "$scratch/ca.crt"
    mv "$scratch/ca.key" ca.key
    mv "$scratch/ca.crt" ca.crt
fi

case $address in
    *[!0-9.]*) kind=DNS ;;
    *) kind=IP ;;
esac
printf 'subjectAltName=%s:%s\nextendedKeyUsage=serverAuth\n' "$kind" "$address" >"$scratch/extensions"
# shellcheck disable=SC2086
openssl req -new $new_key -subj "/CN=$address" -keyout "$scratch/tls.key" -out "$scratch/tls.csr"
openssl x509 -req -in "$scratch/tls.csr" -CA ca.crt -CAkey ca.key -set_serial "0x$(openssl rand -hex 16)" -days 3650 \
    -extfile "$scratch/extensions" -out "$scratch/tls.crt"
getent passwd cctv-registry >/dev/null || useradd --system --no-create-home --home-dir / --shell /usr/sbin/nologin cctv-registry
chgrp cctv-registry "$scratch/tls.key"
chmod 640 "$scratch/tls.key"
chmod 644 "$scratch/tls.crt"
mv "$scratch/tls.key" "$name.key"
mv "$scratch/tls.crt" "$name.crt"

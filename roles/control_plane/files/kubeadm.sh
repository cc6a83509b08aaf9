# shellcheck shell=sh
# kubeadm.sh init|join ARGUMENT...: runs kubeadm, whose half-done work an interruption leaves to the next run to take back.
marker=/var/lib/cctv-pipeline/kubeadm-in-progress
[ ! -e "$marker" ] || kubeadm reset --force </dev/null
echo "$1" >"$marker"
kubeadm "$@"
rm "$marker"

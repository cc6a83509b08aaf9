# shellcheck shell=sh
# kubeadm.sh init|join ARGUMENT...: runs kubeadm, and takes back first what an earlier run of it left half done.
folder=/var/lib/cctv-pipeline
marker=$folder/kubeadm-in-progress
# An earlier run may still be at work here, when only its controller was interrupted.
exec 9>"$folder/kubeadm.lock"
flock 9
if [ -e "$marker" ]; then
    kubeadm reset --force </dev/null 9>&-
elif [ -e /etc/kubernetes/kubelet.conf ]; then
    exit 0
fi
echo "$1" >"$marker"
kubeadm "$@" 9>&-
rm "$marker"

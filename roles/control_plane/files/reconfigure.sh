# shellcheck shell=sh
# reconfigure.sh NODE SERVER: writes the manifests of this control plane's static Pods anew, and waits until its API server runs by them.
node=$1 server=$2
manifest=/etc/kubernetes/manifests/kube-apiserver.yaml
running() {
    kubectl --server "$server" --namespace kube-system get pod "kube-apiserver-$node" \
        --output 'jsonpath={.metadata.annotations.kubernetes\.io/config\.hash}' 2>/dev/null || :
}
before=$(sha256sum <"$manifest")
run_before=$(running)
kubeadm init phase control-plane all --config /etc/kubernetes/kubeadm.yaml
seconds=0
until kubectl --server "$server" get --raw /readyz >/dev/null 2>&1 &&
    { [ "$(sha256sum <"$manifest")" = "$before" ] || [ "$(running)" != "$run_before" ]; }; do
    seconds=$((seconds + 1))
    if [ "$seconds" -gt 180 ]; then
        echo "the API server of $node does not come up with its new settings; see /var/log/pods on it" >&2
        exit 1
    fi
    sleep 1
done

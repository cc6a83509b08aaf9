# shellcheck shell=sh
# ready.sh TIMEOUT NODE...: waits until these nodes are ready, then until CoreDNS answers.
timeout=$1
shift
if ! { kubectl wait node "$@" --for=create --timeout="$timeout" && kubectl wait node "$@" --for=condition=Ready --timeout="$timeout"; } >/dev/null; then
    kubectl get nodes >&2
    kubectl --namespace kube-flannel get pods --output wide >&2
    kubectl --namespace kube-flannel get events --field-selector type=Warning --sort-by .lastTimestamp | tail -5 >&2
    exit 1
fi
# Once there are several nodes, so that its replicas are not all on the first.
if ! kubectl --namespace kube-system get deployment coredns >/dev/null 2>&1; then
    kubeadm init phase addon coredns --config /etc/kubernetes/kubeadm.yaml
fi
if ! kubectl --namespace kube-system wait deployment coredns --for=condition=Available --timeout="$timeout" >/dev/null; then
    kubectl --namespace kube-system get pods --selector k8s-app=kube-dns >&2
    kubectl --namespace kube-system logs --selector k8s-app=kube-dns --tail 5 >&2
    exit 1
fi

# shellcheck shell=sh
# forget.sh SEED NODE...: removes nodes from the cluster, and from etcd where they are still members, by way of the control plane SEED, and
# volumes that were on their disks. Prints what it removed.
seed=$1
shift
etcdctl() {
    kubectl --namespace kube-system exec "etcd-$seed" -- etcdctl --endpoints https://127.0.0.1:2379 --cacert /etc/kubernetes/pki/etcd/ca.crt \
        --cert /etc/kubernetes/pki/etcd/server.crt --key /etc/kubernetes/pki/etcd/server.key "$@"
}
members=$(etcdctl member list)
for node in "$@"; do
    member=$(printf '%s\n' "$members" | awk -F ', ' -v name="$node" '$3 == name { print $1 }')
    [ -z "$member" ] || etcdctl member remove "$member"
done
kubectl delete node --ignore-not-found "$@"

# Their claims are made anew by what needs them: on another node, or empty on the one that comes back under that name.
kubectl get persistentvolumes --output 'jsonpath={range .items[*]}{.metadata.name} {.spec.claimRef.namespace} {.spec.claimRef.name} {.spec.nodeAffinity.required.nodeSelectorTerms[*].matchExpressions[?(@.key=="kubernetes.io/hostname")].values[*]}{"\n"}{end}' |
    while read -r volume namespace claim on; do
        for node in "$@"; do
            [ "$on" = "$node" ] || continue
            kubectl --namespace "$namespace" delete persistentvolumeclaim --ignore-not-found --wait=false "$claim"
            kubectl delete persistentvolume --ignore-not-found --wait=false "$volume"
        done
    done

# A new node of the same name would take them for its own, with volumes that are not there.
for node in "$@"; do
    kubectl delete pods --all-namespaces --field-selector "spec.nodeName=$node" --force --wait=false 2>/dev/null
done

#!/usr/bin/env bash
# The floor for the time that site.yml takes: the same calls on equal hosts, by a plain script that knows what it will find.
# cluster_by_hand.sh BUNDLE CONFIGS SSH-CONFIG CONTROL-PLANE WORKER...
# CONFIGS has a folder for each host, with the files that the roles rendered for it, and cluster.json with what they applied; log goes there.
set -euo pipefail
bundle=$1 configs=$2 ssh_config=$3 seed=$4
shift 3
log=$configs/log
packages="ca-certificates conntrack ethtool iproute2 iptables kmod openssl procps runc socat"
on() { local host=$1; shift; ssh -F "$ssh_config" "$host" sudo "$@"; }
each() { local host; for host in "${hosts[@]}"; do "$1" "$host" & pids+=($!); done; for pid in "${pids[@]}"; do wait "$pid"; done; pids=(); }
hosts=("$@") pids=()

install_packages() {
    tar -C "$bundle" -cf - deb | on "$1" sh -c "'mkdir -p /var/lib/cctv-pipeline/deb-lists/partial; tar -C /var/lib/cctv-pipeline -xf -'"
    echo 'deb [trusted=yes check-valid-until=no] file:/var/lib/cctv-pipeline/deb ./' | on "$1" tee /var/lib/cctv-pipeline/deb.list >/dev/null
    local options="-o Dir::Etc::SourceList=/var/lib/cctv-pipeline/deb.list -o Dir::Etc::SourceParts=- -o Dir::State::Lists=/var/lib/cctv-pipeline/deb-lists"
    on "$1" sh -c "'export DEBIAN_FRONTEND=noninteractive; apt-get -qq $options update; apt-get -qq $options -y --no-install-recommends install $packages'" >>"$log" 2>&1
}
place() {
    tar -C "$bundle" --transform 's,^bin,usr/local/bin,;s,^cni,opt/cni/bin,' -cf - bin/{kubeadm,kubelet,kubectl,containerd,containerd-shim-runc-v2,ctr,etcdutl} cni |
        on "$1" tar -C / --no-same-owner -xf -
    tar -C "$configs/$1" -cf - . | on "$1" tar -C / --no-same-owner --no-overwrite-dir -xf -
    on "$1" sh -c "'sysctl -q -p /etc/sysctl.d/90-cctv-pipeline.conf; systemctl daemon-reload; systemctl enable -q --now containerd cctv-service-route; systemctl enable -q kubelet'"
}
serve_images() {
    tar -C "$bundle" --transform 's,^images,var/lib/cctv-pipeline/registry,;s,^bin/registry,usr/local/bin/cctv-registry,' -cf - bin/registry images |
        on "$seed" tar -C / --no-same-owner -xf -
    # Its certificates are among the files.
    on "$seed" sh -c "'useradd --system cctv-registry; chgrp cctv-registry /etc/cctv-pipeline/registry/*.key; chmod 640 /etc/cctv-pipeline/registry/*.key; systemctl enable -q --now cctv-registry'"
}
join() {
    on "$1" kubeadm join --config /dev/stdin >>"$log" 2>&1 <<END
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery: {bootstrapToken: {apiServerEndpoint: "$endpoint", token: "$token", caCertHashes: ["$ca_hash"]}}
nodeRegistration:
  name: $1
  criSocket: unix:///run/containerd/containerd.sock
  kubeletExtraArgs: [{name: node-ip, value: $(ssh -F "$ssh_config" -G "$1" | sed -n 's/^hostname //p')}]
  ignorePreflightErrors: [all]
END
}
kubectl() { on "$seed" env KUBECONFIG=/etc/kubernetes/admin.conf kubectl "$@"; }

each install_packages
each place
serve_images
on "$seed" kubeadm init --config /etc/kubernetes/kubeadm.yaml --skip-phases=addon/coredns --skip-token-print >>"$log" 2>&1
kubectl apply --server-side --force-conflicts -f - <"$configs/cluster.json" >/dev/null
read -r _ _ endpoint _ token _ ca_hash <<<"$(on "$seed" kubeadm token create --ttl 15m --print-join-command 2>/dev/null)"
hosts=("${hosts[@]:1}")
each join
kubectl wait node "$seed" "${hosts[@]}" --for=create --timeout=120s >/dev/null
kubectl wait node --all --for=condition=Ready --timeout=120s >/dev/null
on "$seed" kubeadm init phase addon coredns --config /etc/kubernetes/kubeadm.yaml >/dev/null
kubectl --namespace kube-system wait deployment coredns --for=condition=Available --timeout=120s >/dev/null
on "$seed" kubeadm token delete "$token" >/dev/null

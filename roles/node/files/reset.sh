# shellcheck shell=sh
# reset.sh [KUBEADM-OPTION...]: takes a host out of its cluster and removes what the roles of the cluster placed on it.
# Each step takes what it finds, so one that was interrupted is finished by the next run.
if [ -x /usr/local/bin/kubeadm ]; then
    # It removes Pods by way of containerd.
    systemctl start containerd.service 2>/dev/null || :
    /usr/local/bin/kubeadm reset --force --cri-socket unix:///run/containerd/containerd.sock "$@"
fi

for unit in kubelet containerd cctv-registry cctv-image-store cctv-service-route; do
    systemctl disable --now "$unit.service" 2>/dev/null || :
    rm -f "/etc/systemd/system/$unit.service"
done
# What packages of the image store were kept from starting.
for unit in nfs-ganesha.service nfs-ganesha-lock.service rpcbind.service rpcbind.socket; do
    [ "$(readlink "/etc/systemd/system/$unit")" != /dev/null ] || rm "/etc/systemd/system/$unit"
done
systemctl daemon-reload
# Shims outlive containerd.
pkill -x containerd-shim || :

awk '$2 ~ "^/(run/containerd|var/lib/containerd|var/lib/kubelet|run/netns/cni-)" { print $2 }' /proc/mounts | sort -r |
    while read -r folder; do umount -l "$folder" || :; done
for device in cni0 flannel.1 kube-ipvs0; do
    ip link delete "$device" 2>/dev/null || :
done
for netns in /run/netns/cni-*; do
    [ ! -e "$netns" ] || ip netns delete "${netns##*/}" || :
done
for iptables in iptables ip6tables; do
    if command -v "$iptables-save" >/dev/null; then
        "$iptables-save" | grep -Ev 'KUBE-|CNI-|FLANNEL-' | "$iptables-restore" || :
    fi
done

userdel cctv-registry 2>/dev/null || :
rm -rf /etc/kubernetes /etc/containerd /etc/cni /etc/cctv-pipeline /opt/cni /opt/containerd \
    /var/lib/kubelet /var/lib/etcd /var/lib/cni /var/lib/containerd /run/flannel /run/containerd \
    /var/log/kubernetes /var/log/pods /var/log/containers \
    /etc/modules-load.d/cctv-pipeline.conf /etc/sysctl.d/90-cctv-pipeline.conf
for program in containerd containerd-shim-runc-v2 ctr etcdctl etcdutl kubeadm kubectl kubelet cctv-registry; do
    rm -f "/usr/local/bin/$program"
done

if [ -s /var/lib/cctv-pipeline/packages-before ]; then
    dpkg-query --show --showformat '${Package}\n' | sort | comm -13 /var/lib/cctv-pipeline/packages-before - |
        DEBIAN_FRONTEND=noninteractive xargs -r apt-get --quiet=2 --yes purge
fi
rm -rf /var/lib/cctv-pipeline

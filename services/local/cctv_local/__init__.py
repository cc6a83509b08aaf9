"""What the local runtime does where a cluster has a kubelet: starts a pod's process and probes it."""

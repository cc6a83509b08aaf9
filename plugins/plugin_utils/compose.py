# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""From manifests to a Compose project: one service for each replica. Pure: nothing here touches the machine.

What a container reads of ConfigMaps is in the project itself, or in files beside it; what comes of Secrets is in files only.
"""

from __future__ import annotations

import hashlib
import json
import re

from ansible_collections.cctv.pipeline.plugins.module_utils.local_pods import PROBES, Refused, Store, expand
from ansible_collections.cctv.pipeline.plugins.module_utils.manifests import title

ANY_ADDRESS = "0.0.0.0"  # nobody knows a container's own address beforehand
PRIVATE = ("env", "secrets")
"""The folders that hold Secrets: closed to all others, as files in them that containers read are open to everybody."""
CONFIGURATION = "cctv.pipeline/configuration"  # the label by which Compose sees that a file is another one
SHORTEST_INTERVAL_S = 10  # an engine starts a process for each check, and nothing but a person waits for its result

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|[KMGT]i?)?$")
_UNITS = {"m": 0.001, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS.update({unit + "i": 1024**power for power, unit in enumerate("KMGT", 1)})

# Every image has bash, and nothing else that speaks TCP.
_CONNECT = 'exec 3<>"/dev/tcp/127.0.0.1/$1"'
_GET = _CONNECT + (
    r' && printf "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" "$2" >&3 && read -r _ status _ <&3 && [[ $status == [23]* ]]'
)


def compose(manifests, listen_address, network=None, revisions=None):
    """Return what goes into the Compose file, and the files beside it: path -> (content, mode). Raises Refused.

    ``revisions``: path of a file of a Secret -> what changes when its content does. A hash of it must not be published.
    """
    containers, hidden = (_Containers(manifests, listen_address, hide) for hide in (False, True))
    pods = containers.pods()
    revisions = revisions or {}
    services, volumes = {}, {}
    for pod, without_secrets in zip(pods, hidden.pods()):
        if pod.service["entrypoint"] + pod.service["command"] != (
            without_secrets.service["entrypoint"] + without_secrets.service["command"]
        ):
            raise Refused(["%s: a value of a Secret is on its command line, which everybody can read" % pod.name])
        # What a Secret has a part in is what is different when Secrets have other values.
        secret = sorted(name for name in pod.env if pod.env[name] != without_secrets.env[name])
        service = dict(pod.service, environment={k: v for k, v in sorted(pod.env.items()) if k not in secret})
        if secret:
            service["env_file"] = containers.env_file(pod, secret)
        read = pod.reads.union(service.get("env_file", ()))
        if read:
            service["labels"][CONFIGURATION] = containers.digest(read, revisions)
        services[pod.name] = {key: value for key, value in service.items() if value not in ([], {}, None)}
        volumes.update((claim, {}) for claim in pod.claims)
    for name, needed in _needed(pods).items():
        services[name]["depends_on"] = needed
    project = {"name": containers.namespace, "services": services}
    if volumes:
        project["volumes"] = volumes
    if network:
        project["networks"] = {"default": network}
    return _literal(project), containers.files


def _needed(pods):
    """Return, by name, those that keep state and whose names a replica is told: they start before it, and end after it."""
    needed = {}

    def reaches(name, other):
        return name == other or any(reaches(next_one, other) for next_one in needed.get(name, ()))

    for pod in pods:
        told = " ".join(pod.env.values())
        for other in pods:
            names = (re.escape(alias) for alias in other.aliases)
            if (
                other.stateful
                and other.workload != pod.workload
                and any(re.search(r"(?<![\w.-])%s(?![\w-])" % name, told) for name in names)
                and not reaches(other.name, pod.name)
            ):
                needed.setdefault(pod.name, []).append(other.name)
    return needed


def is_secret(path):
    """Tell whether a file holds what comes of Secrets."""
    return path.split("/")[0] in PRIVATE


class _Container:
    """One replica.

    ``name``, ``workload``, ``stateful``, ``aliases`` (names that lead to it), ``service`` (as Compose has it), ``env``, ``claims``,
    ``reads`` (paths of mounted files).
    """

    def __init__(self, **fields):
        self.__dict__.update(fields)


class _Containers(Store):
    runtime = "compose"

    def __init__(self, manifests, listen_address, hide):
        self._hide = hide
        self._listen_address = listen_address
        self._published = {}
        self.files = {}
        super().__init__({"": {"manifests": manifests, "environment": {}}}, network="")
        self.namespace = next(
            (manifest["metadata"]["namespace"] for component, manifest in self._objects.values()), "default"
        )

    def _data(self, kind, name, optional, who):
        data = super()._data(kind, name, optional, who)
        return dict.fromkeys(data, "\0") if kind == "Secret" and self._hide else data

    def _replicas(self, component, manifest, services):
        who = title(manifest)
        pod = manifest["spec"]["template"]["spec"]
        containers = pod.get("containers") or []
        if len(containers) != 1:
            self._problems.append("%s: has %d containers, compose runs exactly one in a pod" % (who, len(containers)))
            return
        for index in range(int(manifest["spec"].get("replicas", 1))):
            yield self._container(manifest, pod, containers[0], index, services, who)

    def _no_port_twice(self):
        names = [pod.name for pod in self._pods]
        self._problems.extend("%s is there twice" % name for name in sorted(set(names)) if names.count(name) > 1)

    def _container(self, manifest, pod, container, index, services, who):
        metadata = manifest["metadata"]
        name = "%s-%d" % (metadata["name"], index)
        labels = dict(manifest["spec"]["template"]["metadata"].get("labels") or {})
        if manifest["kind"] == "StatefulSet":
            # As its controller labels them: a Service may stand for one replica.
            labels["statefulset.kubernetes.io/pod-name"] = name
        fields = {
            "metadata.name": name,
            "metadata.namespace": metadata["namespace"],
            "metadata.labels": labels,
            "status.podIP": ANY_ADDRESS,
            "spec.nodeName": "localhost",
        }
        env = {}
        self._set_environment(env, container, fields, {}, who)
        aliases, published = self._reached(manifest, name, labels, container, services)
        volumes, tmpfs, claims, reads = self._mounts(manifest, pod, container, index, who)
        service = {
            "image": container["image"],
            "hostname": name,
            "labels": labels,
            "entrypoint": [expand(word, env) for word in container.get("command") or []],
            "command": [expand(word, env) for word in container.get("args") or []],
            "restart": "unless-stopped",
            "stop_grace_period": "%ds" % pod.get("terminationGracePeriodSeconds", 30),
            "volumes": volumes,
            "tmpfs": tmpfs,
            "ports": published,
            "networks": {"default": {"aliases": aliases} if aliases else {}},
            "healthcheck": self._health(container, who),
        }
        service.update(self._security(pod, container, who))
        service.update(self._limits(container, who))
        return _Container(
            name=name,
            workload=metadata["name"],
            stateful=manifest["kind"] == "StatefulSet",
            aliases=aliases,
            service=service,
            env=env,
            claims=claims,
            reads=reads,
        )

    def _reached(self, manifest, name, labels, container, services):
        """Return the names that lead to a replica, as in a cluster's DNS, and the ports published for it."""
        numbers = {port.get("name"): port["containerPort"] for port in container.get("ports") or []}
        aliases, published = [], []
        for service in services:
            spec, metadata = service["spec"], service["metadata"]
            selector = spec.get("selector") or {}
            if not selector or any(labels.get(key) != value for key, value in selector.items()):
                continue
            domain = "%s.%s.svc" % (metadata["name"], metadata["namespace"])
            aliases.append(domain)
            if metadata["name"] == manifest["spec"].get("serviceName"):
                aliases.append("%s.%s" % (name, domain))
            ports = spec.get("ports") or []
            inner = [{key: value for key, value in port.items() if key != "nodePort"} for port in ports]
            self._same_ports(dict(service, spec={"ports": inner}), numbers)
            for port in ports:
                # One machine has each port once: that of the first replica, as there is no proxy.
                if "nodePort" in port and self._published.setdefault(port["nodePort"], name) == name:
                    published.append("%s:%d:%d" % (self._listen_address, port["nodePort"], port["port"]))
        return sorted(aliases), published

    def _mounts(self, manifest, pod, container, index, who):
        files, empty, claims = self._volumes(manifest, pod, index, who)
        folders = {}
        for volume in pod.get("volumes") or []:
            for kind, field, name, folder in (
                ("configMap", "ConfigMap", "name", "config"),
                ("secret", "Secret", "secretName", "secrets"),
            ):
                if kind in volume:
                    folders[volume["name"]] = "%s/%s" % (folder, volume[kind][name])
            self._only(volume.get("emptyDir"), ("medium", "sizeLimit"), "%s: volume %s" % (who, volume["name"]))
        sizes = {v["name"]: v["emptyDir"].get("sizeLimit") for v in pod.get("volumes") or [] if "emptyDir" in v}
        volumes, tmpfs, claimed, reads = [], [], [], set()
        for mount in container.get("volumeMounts") or []:
            name, target = mount["name"], mount["mountPath"]
            if name in files:
                for key, content in files[name].items():
                    path = "%s/%s" % (folders[name], key)
                    self.files[path] = (content, "0444")
                    reads.add(path)
                volumes.append(
                    {
                        "type": "bind",
                        "source": "./" + folders[name],
                        "target": target,
                        "read_only": True,
                        "bind": {"selinux": "z"},
                    }
                )
            elif name in claims:
                claimed.append(claims[name])
                volumes.append({"type": "volume", "source": claims[name], "target": target})
            elif name in empty:
                size = ",size=%d" % self._quantity(sizes[name], who) if sizes[name] else ""
                tmpfs.append("%s:exec,mode=1777%s" % (target, size))
            else:
                self._problems.append("%s: volumeMounts names the volume %s, which does not exist" % (who, name))
        return volumes, tmpfs, claimed, reads

    def env_file(self, pod, names):
        """Write a file of the variables ``names``, and return the list of it for the service."""
        path = "env/%s.env" % pod.name
        self.files[path] = ("".join("%s=%s\n" % (name, _quoted(pod, name)) for name in names), "0600")
        return [path]

    def digest(self, paths, revisions):
        """Return what changes when, and only when, one of the files does."""
        known = [(path, revisions.get(path) if is_secret(path) else self.files[path][0]) for path in sorted(paths)]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]

    def _health(self, container, who):
        probes = {
            name: self._probe(container[name], self._numbers(container), who) for name in PROBES if name in container
        }
        # Alive rather than ready: who acts on it, ends what is unhealthy.
        probe = probes.get("livenessProbe") or probes.get("readinessProbe")
        if probe is None:
            return None
        if "exec" in probe:
            test = ["CMD"] + probe["exec"]["command"]
        elif "httpGet" in probe:
            test = ["CMD", "bash", "-c", _GET, "probe", str(probe["httpGet"]["port"]), probe["httpGet"]["path"]]
        else:
            test = ["CMD", "bash", "-c", _CONNECT, "probe", str(probe["tcpSocket"]["port"])]
        started = probes.get("startupProbe", probe)
        return {
            "test": test,
            "interval": "%ds" % max(probe["periodSeconds"], SHORTEST_INTERVAL_S),
            "timeout": "%ds" % max(probe["timeoutSeconds"], 5),
            "retries": probe["failureThreshold"],
            "start_period": "%ds"
            % (started["initialDelaySeconds"] + started["periodSeconds"] * started["failureThreshold"]),
        }

    @staticmethod
    def _numbers(container):
        return {port.get("name"): port["containerPort"] for port in container.get("ports") or []}

    def _security(self, pod, container, who):
        of_pod, own = pod.get("securityContext") or {}, container.get("securityContext") or {}
        common = ("runAsNonRoot", "runAsUser", "runAsGroup", "seccompProfile")
        self._only(of_pod, common + ("fsGroup", "fsGroupChangePolicy"), who + ": securityContext")
        known = ("allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities")
        self._only(own, common + known, who + ": securityContext")
        both = dict(of_pod, **own)
        if (both.get("seccompProfile") or {}).get("type", "RuntimeDefault") != "RuntimeDefault":
            self._problems.append("%s: seccompProfile is %s, expected RuntimeDefault" % (who, both["seccompProfile"]))
        capabilities = both.get("capabilities") or {}
        user = [str(both[key]) for key in ("runAsUser", "runAsGroup") if key in both]
        return {
            "user": ":".join(user) or None,
            "read_only": both.get("readOnlyRootFilesystem"),
            "cap_drop": capabilities.get("drop"),
            "cap_add": capabilities.get("add"),
            "security_opt": [] if both.get("allowPrivilegeEscalation", True) else ["no-new-privileges:true"],
        }

    def _limits(self, container, who):
        limits = (container.get("resources") or {}).get("limits") or {}
        self._only(limits, ("memory", "cpu", "ephemeral-storage"), who + ": resources.limits")
        return {
            "mem_limit": int(self._quantity(limits["memory"], who)) if "memory" in limits else None,
            "cpus": self._quantity(limits["cpu"], who) if "cpu" in limits else None,
        }

    def _quantity(self, text, who):
        found = _QUANTITY.match(str(text))
        if not found:
            self._problems.append("%s: %r is no quantity; expected one such as 500m or 64Mi" % (who, text))
            return 0
        return float(found.group(1)) * _UNITS.get(found.group(2), 1)

    def _only(self, found, known, where):
        for field in sorted(set(found or ()) - set(known)):
            self._problems.append("%s.%s is not understood by compose" % (where, field))


def _quoted(pod, name):
    """Quote a value so that Docker Compose and podman-compose read it alike."""
    value = pod.env[name]
    # The one takes everything between single quotes as it is; the other replaces ${} there, and takes backslashes away.
    if not re.search(r"['\\]|\$\{", value):
        return "'%s'" % value
    if "$" not in value:
        return '"%s"' % value.replace("\\", "\\\\").replace('"', '\\"')
    raise Refused(
        [
            "%s: the secret value of %s has $ together with a quote, backslash or {, which no env_file can carry"
            % (pod.name, name)
        ]
    )


def _literal(value):
    """Keep Compose from replacing what looks like a variable."""
    if isinstance(value, dict):
        return {key: _literal(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_literal(inner) for inner in value]
    return value.replace("$", "$$") if isinstance(value, str) else value

# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""From manifests to the processes that stand for their pods. Pure: nothing here touches the machine."""

from __future__ import annotations

import base64
import hashlib
import json
import re

from ansible_collections.cctv.pipeline.plugins.module_utils.addresses import free_address, replica_address
from ansible_collections.cctv.pipeline.plugins.module_utils.manifests import problems, title

WORKLOADS = ("Deployment", "StatefulSet")
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


class Refused(Exception):
    """Manifests that the local runtime does not take; ``problems`` has a line for each reason."""

    def __init__(self, found):
        super().__init__("\n".join(found))
        self.problems = found


class Pod:
    """One replica: what to run, where it listens, how to see that it is well.

    ``name``, ``workload``, ``component``, ``labels``, ``address``, ``ports`` (name -> number), ``argv``, ``env``,
    ``files`` (volume -> file name -> content), ``empty`` (names of emptyDir volumes), ``claims`` (volume -> claim),
    ``mounts`` (mount path -> volume), ``probes``, ``grace`` (seconds), ``image``.
    """

    def __init__(self, **fields):
        self.__dict__.update(fields)

    @property
    def digest(self):
        """Changes when, and only when, the process must be started anew."""
        read = {key: value for key, value in self.__dict__.items() if key not in ("probes", "labels", "component")}
        return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()[:16]


class Store:
    """All manifests that were applied: what an API server would hold.

    ``components``: name -> {"manifests": [...], "environment": what its images would set, ...}. ``lenient``: objects
    that a manifest refers to may be missing, as in check mode, where the role that makes them has not made them.
    """

    runtime = "the local runtime"  # as messages name it

    def __init__(self, components, network, addresses=None, lenient=False):
        self.network = network
        self.addresses = dict(addresses or {})
        self._components = components
        self.lenient = lenient
        self._problems = []
        self._objects = {}
        self._pods = []
        for component, applied in sorted(components.items()):
            for manifest in applied["manifests"]:
                self._add(component, manifest)
        self._check()

    def _add(self, component, manifest):
        found = problems(manifest, self.runtime)
        if found:
            self._problems.extend(found)
            return
        key = (manifest["kind"], manifest["metadata"]["name"])
        if key in self._objects:
            self._problems.append(
                "%s is there twice, in %s and in %s" % (title(manifest), self._objects[key][0], component)
            )
        self._objects[key] = (component, manifest)

    def _check(self):
        if self._problems:
            raise Refused(self._problems)

    def _get(self, kind, name, optional, who):
        if (kind, name) in self._objects:
            return self._objects[kind, name][1]
        if not optional and not self.lenient:
            self._problems.append("%s: %s %s does not exist" % (who, kind, name))
        return {}

    def _data(self, kind, name, optional, who):
        found = self._get(kind, name, optional, who)
        data = dict(found.get("data") or {})
        if kind == "Secret":
            data = {key: base64.b64decode(value).decode() for key, value in data.items()}
            data.update(found.get("stringData") or {})
        return data

    def _sources(self, source, suffix, who):
        """Yield kind, reference and data of each ConfigMap or Secret that ``source`` refers to."""
        for kind, field in (("ConfigMap", "configMap"), ("Secret", "secret")):
            reference = source.get(field + suffix)
            if reference is not None:
                yield kind, reference, self._data(kind, reference["name"], reference.get("optional"), who)

    def pods(self):
        """Return every Pod that should run; raises Refused with all that stands against it."""
        if not self._pods:
            services = [
                manifest for kind_name, (component, manifest) in self._objects.items() if kind_name[0] == "Service"
            ]
            for kind_name, (component, manifest) in sorted(self._objects.items()):
                if kind_name[0] in WORKLOADS:
                    self._pods.extend(self._replicas(component, manifest, services))
            self._no_port_twice()
            names = {pod.name for pod in self._pods}
            self.addresses = {name: address for name, address in self.addresses.items() if name in names}
            self._check()
        return self._pods

    def _no_port_twice(self):
        listeners = {}
        for pod in self._pods:
            for name, number in sorted(pod.ports.items()):
                other = listeners.setdefault((pod.address, number), pod.name)
                if other != pod.name:
                    self._problems.append("%s and %s both want %s:%d" % (other, pod.name, pod.address, number))

    def _replicas(self, component, manifest, services):
        who = title(manifest)
        spec = manifest["spec"]
        template = spec.get("template") or {}
        labels = (template.get("metadata") or {}).get("labels") or {}
        containers = (template.get("spec") or {}).get("containers") or []
        if len(containers) != 1:
            self._problems.append(
                "%s: has %d containers, %s runs exactly one in a pod" % (who, len(containers), self.runtime)
            )
            return
        container = containers[0]
        if not container.get("command") or "/" in container["command"][0]:
            self._problems.append(
                "%s: command is %r, expected a bare program name that is on PATH" % (who, container.get("command"))
            )
            return
        ports = {
            port.get("name", str(port["containerPort"])): port["containerPort"] for port in container.get("ports") or []
        }
        has_service = False
        for service in services:
            selector = service["spec"].get("selector") or {}
            if selector and all(labels.get(key) == value for key, value in selector.items()):
                has_service = True
                self._same_ports(service, ports)
        for index in range(int(spec.get("replicas", 1))):
            name = "%s-%d" % (manifest["metadata"]["name"], index)
            yield self._pod(component, manifest, container, name, index, ports, has_service, who)

    def _same_ports(self, service, ports):
        for port in service["spec"].get("ports") or []:
            target = port.get("targetPort", port["port"])
            numbers = {port["port"], ports.get(target, target), port.get("nodePort", port["port"])}
            if len(numbers) > 1:
                self._problems.append(
                    "%s: port %s leads from %s to %s, expected one number: %s has no proxy"
                    % (
                        title(service),
                        port.get("name", port["port"]),
                        port.get("nodePort", port["port"]),
                        ports.get(target, target),
                        self.runtime,
                    )
                )

    def _pod(self, component, manifest, container, name, index, ports, has_service, who):
        workload = manifest["metadata"]["name"]
        pod_spec = manifest["spec"]["template"]["spec"]
        labels = manifest["spec"]["template"].get("metadata", {}).get("labels") or {}
        if has_service:
            address = replica_address(self.network, workload, index)
        else:
            address = self.addresses.get(name) or free_address(self.network, set(self.addresses.values()))
            self.addresses[name] = address
        files, empty, claims = self._volumes(manifest, pod_spec, index, who)
        mounts = {}
        for mount in container.get("volumeMounts") or []:
            if mount["name"] not in files and mount["name"] not in empty and mount["name"] not in claims:
                self._problems.append(
                    "%s: volumeMounts names the volume %s, which does not exist" % (who, mount["name"])
                )
            mounts[mount["mountPath"].rstrip("/") or "/"] = mount["name"]
        fields = {
            "metadata.name": name,
            "metadata.namespace": manifest["metadata"].get("namespace", "default"),
            "metadata.labels": labels,
            "status.podIP": address,
            "status.hostIP": address,
            "spec.nodeName": "localhost",
        }
        env = dict(self._components[component]["environment"])
        self._set_environment(env, container, fields, mounts, who)
        probes = {}
        for probe in PROBES:
            if container.get(probe):
                probes[probe] = self._probe(container[probe], ports, "%s: %s" % (who, probe))
        return Pod(
            name=name,
            workload=workload,
            component=component,
            labels=labels,
            address=address,
            ports=ports,
            image=container.get("image", ""),
            argv=[expand(word, env) for word in container["command"] + (container.get("args") or [])],
            env=env,
            files=files,
            empty=empty,
            claims=claims,
            mounts=mounts,
            probes=probes,
            grace=int(pod_spec.get("terminationGracePeriodSeconds", 30)),
        )

    def _volumes(self, manifest, pod_spec, index, who):
        files, empty, claims = {}, [], {}
        for volume in pod_spec.get("volumes") or []:
            name = volume["name"]
            if "emptyDir" in volume:
                empty.append(name)
            elif "configMap" in volume:
                source = volume["configMap"]
                files[name] = self._data("ConfigMap", source["name"], source.get("optional"), who)
            elif "secret" in volume:
                source = volume["secret"]
                files[name] = self._data("Secret", source["secretName"], source.get("optional"), who)
            elif "persistentVolumeClaim" in volume:
                claims[name] = volume["persistentVolumeClaim"]["claimName"]
                self._get("PersistentVolumeClaim", claims[name], False, who)
            else:
                self._problems.append("%s: volume %s has no source" % (who, name))
        for template in manifest["spec"].get("volumeClaimTemplates") or []:
            claim = template["metadata"]["name"]
            claims[claim] = "%s-%s-%d" % (claim, manifest["metadata"]["name"], index)
        return files, empty, claims

    def _set_environment(self, env, container, fields, mounts, who):
        for source in container.get("envFrom") or []:
            for kind, reference, data in self._sources(source, "Ref", who):
                env.update((source.get("prefix", "") + key, placed(value, mounts)) for key, value in data.items())
        for variable in container.get("env") or []:
            name = variable["name"]
            if "valueFrom" not in variable:
                env[name] = placed(expand(str(variable.get("value", "")), env), mounts)
                continue
            source = variable["valueFrom"]
            for kind, reference, data in self._sources(source, "KeyRef", who):
                if reference["key"] in data:
                    env[name] = placed(data[reference["key"]], mounts)
                elif not reference.get("optional") and not self.lenient:
                    self._problems.append("%s: %s %s has no key %s" % (who, kind, reference["name"], reference["key"]))
            if "fieldRef" in source:
                path = source["fieldRef"]["fieldPath"]
                label = re.match(r"metadata\.labels\['([^']+)'\]$", path)
                if label:
                    env[name] = str(fields["metadata.labels"].get(label.group(1), ""))
                elif path in fields and path != "metadata.labels":
                    env[name] = fields[path]
                else:
                    self._problems.append(
                        "%s: env %s: fieldPath %s is not understood by %s" % (who, name, path, self.runtime)
                    )

    def _probe(self, probe, ports, who):
        out = {
            "initialDelaySeconds": probe.get("initialDelaySeconds", 0),
            "periodSeconds": probe.get("periodSeconds", 10),
            "timeoutSeconds": probe.get("timeoutSeconds", 1),
            "failureThreshold": probe.get("failureThreshold", 3),
        }
        if "terminationGracePeriodSeconds" in probe:
            out["terminationGracePeriodSeconds"] = probe["terminationGracePeriodSeconds"]
        for kind in ("httpGet", "tcpSocket"):
            if kind in probe:
                port = probe[kind]["port"]
                number = ports.get(port, port)
                if not isinstance(number, int):
                    self._problems.append("%s: port %s is none of the container's ports" % (who, port))
                out[kind] = {"port": number}
                if kind == "httpGet":
                    out[kind]["path"] = probe[kind].get("path", "/")
        if "exec" in probe:
            out["exec"] = {"command": probe["exec"]["command"]}
        if not {"httpGet", "tcpSocket", "exec"} & set(out):
            self._problems.append("%s: has none of httpGet, tcpSocket and exec" % who)
        return out


def expand(text, env):
    """Replace ``$(NAME)`` as Kubernetes does: ``$$`` stands for ``$``, an unknown name stays as it is."""

    def value(match):
        if match.group(0) == "$$":
            return "$"
        return env.get(match.group(1), match.group(0))

    return _REFERENCE.sub(value, text)


def placed(value, mounts):
    """Mark a value that is, or lies under, a mount path: ``{volume}`` and the rest, resolved where the folders are known."""
    for path in sorted(mounts, key=len, reverse=True):
        if value == path or value.startswith(path + "/"):
            return "\0%s\0%s" % (mounts[path], value[len(path) :])
    return value

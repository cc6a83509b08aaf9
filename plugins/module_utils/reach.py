# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the pipeline's pods say, wherever they run."""

from __future__ import annotations

import base64

from ansible.module_utils.urls import open_url
from ansible_collections.cctv.pipeline.plugins.module_utils.kubernetes_api import Api, Problem, need_library
from ansible_collections.cctv.pipeline.plugins.module_utils.metrics_ports import METRICS_PORTS

UNANSWERED = (OSError, ValueError, Problem)
"""What asking raises, with the reason."""


def reach(module):
    """Return who asks for a module that has ``namespace``, ``kubeconfig`` and ``context``.

    And perhaps ``url``, the video service's, with ``username`` and ``password``.
    """
    said = module.params
    headers = credentials(said.get("username"), said.get("password"))
    if not said["namespace"]:
        return Direct(said.get("url") or "", headers)
    need_library(module)
    try:
        return Proxied(Api(said["kubeconfig"], said["context"]), said["namespace"], headers)
    except Problem as error:
        return module.fail_json(msg=str(error))


def credentials(username, password):
    """Return the headers for a password; the API server keeps C(Authorization) for itself, so it is another one."""
    if not password:
        return {}
    said = "%s:%s" % (username, password)
    return {"X-Authorization": "Basic " + base64.b64encode(said.encode()).decode()}


class Direct:
    """Asks the video service and the pods at their own addresses."""

    def __init__(self, url, headers=None):
        self.video = url.rstrip("/")
        self._headers = headers

    def cameras(self):
        """Return what C(/cameras) of the video service says."""
        return self._get(self.video + "/cameras", self._headers)

    def pod(self, pod, path):
        """Return what a pod answers."""
        return self._get("http://%s:%d%s" % (pod["address"], http_port(pod), path))

    def metrics(self, pod):
        """Return what C(/metrics) of a pod says."""
        return self.pod(pod, "/metrics")

    def _get(self, url, headers=None):
        return open_url(url, timeout=3, use_proxy=False, headers=headers).read().decode()


class Proxied:
    """The same, through the API server: pods may be out of reach from here."""

    def __init__(self, api, namespace, headers=None):
        self._api = api
        self._headers = headers
        self._namespace = "/api/v1/namespaces/%s" % namespace
        self.video = "service video in namespace %s" % namespace

    def cameras(self):
        """Return what C(/cameras) of the video service says."""
        return self._api.text(self._namespace + "/services/video:http/proxy/cameras", headers=self._headers)

    def pod(self, pod, path):
        """Return what a pod answers."""
        return self._api.text("%s/pods/%s:%d/proxy%s" % (self._namespace, pod["name"], http_port(pod), path))

    def metrics(self, pod):
        """Return what C(/metrics) of a pod says."""
        return self.pod(pod, "/metrics")


def http_port(pod):
    """Return the port at which a pod serves its pages or metrics."""
    ports = pod["ports"]
    return next((ports[name] for name in METRICS_PORTS if name in ports), None) or next(iter(ports.values()))

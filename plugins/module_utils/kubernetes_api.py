# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""An API server, asked by paths: what these modules need has well-known ones, so nothing is spent on discovery."""

from __future__ import annotations

import json
import traceback

from ansible.module_utils.basic import env_fallback, missing_required_lib
from ansible_collections.cctv.pipeline.plugins.module_utils import kubernetes_refusal

try:
    import kubernetes
    import urllib3
    from kubernetes.dynamic import DynamicClient
    from kubernetes.dynamic.exceptions import DynamicApiError

    MISSING = None
except ImportError:
    MISSING = traceback.format_exc()

ARGUMENTS = {
    "kubeconfig": {"type": "path", "fallback": (env_fallback, ["K8S_AUTH_KUBECONFIG"])},
    "context": {"type": "str", "fallback": (env_fallback, ["K8S_AUTH_CONTEXT"])},
}
PART_OF = "app.kubernetes.io/part-of=cctv-pipeline"
COMPONENT = "app.kubernetes.io/component"
NAME = "app.kubernetes.io/name"
TIMEOUT_S = (5, 30)  # to connect, to answer


class Problem(Exception):
    """Why the API server did not do as asked, as a sentence for a person; ``code`` is its HTTP status, 0 for none."""

    def __init__(self, message, code=0):
        super().__init__(message)
        self.code = code


def need_library(module):
    """End the module when its library is not there."""
    if MISSING:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=MISSING)


class Api:
    """The API server that a kubeconfig names."""

    def __init__(self, kubeconfig=None, context=None):
        self.named = "workload_kubeconfig=%s" % (kubeconfig or "''")
        if context:
            self.named += ", workload_context=%s" % context
        try:
            configuration = self._configuration(kubeconfig, context)
            # How long to go on trying is for the caller to say.
            configuration.retries = False
            client = kubernetes.client.ApiClient(configuration)
        # A kubeconfig can be wrong in as many ways as there are parsers below.
        except Exception as error:
            raise Problem(kubernetes_refusal.unusable(self.named, error)) from error
        self.server = configuration.host
        # Its request() is the same in all versions of the library; what it would discover is not needed.
        self._client = DynamicClient(client, discoverer=lambda client, cache_file: None)

    def _configuration(self, kubeconfig, context):
        configuration = kubernetes.client.Configuration()
        if not kubeconfig and not context:
            try:
                kubernetes.config.load_incluster_config(client_configuration=configuration)
                return configuration
            except kubernetes.config.ConfigException:
                pass
        kubernetes.config.load_kube_config(kubeconfig or None, context or None, configuration, persist_config=False)
        return configuration

    def text(self, path, method="get", body=None, headers=None, **query):
        """Return the body of an answer as text; raises Problem."""
        try:
            return self._client.request(
                method,
                path,
                body=body,
                query_params=list(query.items()),
                # What is proxied need not be JSON.
                header_params=dict(headers or {}, Accept="*/*"),
                serialize=False,
                _request_timeout=TIMEOUT_S,
            ).data.decode(errors="replace")
        except DynamicApiError as error:
            raise Problem(self._told(error), error.status) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise Problem(kubernetes_refusal.unreachable(self.named, self.server, reason)) from error

    def _told(self, error):
        try:
            status = json.loads(error.body)
        except (TypeError, ValueError):
            status = {}
        if not isinstance(status, dict) or status.get("kind") != "Status":
            status = {"code": error.status, "message": "%s %s" % (error.status, error.reason)}
        return kubernetes_refusal.explain(status, self.named)

    def get(self, path, **query):
        """Return an object, or any JSON; raises Problem."""
        return json.loads(self.text(path, **query))

    def items(self, path, **query):
        """Return the objects of a list."""
        return self.get(path, **query)["items"]

    def readable(self, path, **query):
        """Return the objects of a list that a person wants and nothing depends on: none where they may not be read."""
        try:
            return self.items(path, **query)
        except Problem as problem:
            if problem.code != 403:
                raise
            return []

    def post(self, path, body, **query):
        """Make an object; return what the server made of it."""
        return json.loads(self.text(path, "post", body, **query))

    def delete(self, path):
        """Delete an object; what it owns goes after it."""
        self.text(path, "delete", {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"})

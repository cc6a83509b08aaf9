# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an API server says when it refuses, in words that say what to do. Pure: nothing here asks it.

They do not name the object: who asked knows it.
"""

from __future__ import annotations

import re

ADMIN = "an administrator does it with playbooks/admin.yml"
FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)
QUOTA = re.compile(
    r"exceeded quota: (?P<name>[^,]+), requested: (?P<asked>.*), used: (?P<used>.*), limited: (?P<hard>.*)"
)
# A namespace can demand limits of those that name none, too.
QUOTA_NEEDS = re.compile(r"failed quota: (?P<name>[^:]+): must specify (?P<what>.*)")
TERMINATING = re.compile(
    r"(?:in|namespace) (?:namespace )?\"?(?P<namespace>[a-z0-9-]+)\"? (?:because it )?is being terminated"
)
TYPED = re.compile(
    r"failed to create typed patch object \([^)]*\): (?P<field>\S+): (?P<why>.*)",
    re.S,
)
PORT_TAKEN = "provided port is already allocated"
IMMUTABLE = re.compile(
    r"field is immutable|updates to statefulset spec for fields other than|is immutable after creation|may not be changed in an update"
)
# What urllib3 puts before what happened.
CONNECTION = re.compile(r"^(?:<.*?>: |\w+\(host=.*?\): )+")
INVALID = re.compile(r'^[\w.]+ "[^"]*" is invalid: ')
VALUE = re.compile(r"Invalid value: .*?(: |$)|(?<=, )got .*", re.S)


def quota(message):
    """Say which quota is full, '' when the message is of something else."""
    found = QUOTA.search(message)
    if found:
        return (
            "ResourceQuota %(name)s is full: asked for %(asked)s, used %(used)s of %(hard)s; raise it, or ask for less by the workload's replicas and resources"
            % found.groupdict()
        )
    found = QUOTA_NEEDS.search(message)
    if found:
        return "ResourceQuota %(name)s wants every pod to set %(what)s" % found.groupdict()
    return ""


def terminating(message):
    """Say that the namespace is going, '' when the message is of something else."""
    found = TERMINATING.search(message)
    if not found:
        return ""
    return terminating_namespace(found.group("namespace"))


def terminating_namespace(namespace):
    """Say what to do about a namespace that is going."""
    return (
        "workload_namespace=%s: the namespace is being terminated; wait until `kubectl get namespace %s` does not find it, then make it anew (%s), "
        "or choose another" % (namespace, namespace, ADMIN)
    )


def missing_namespace(namespace):
    """Say what to do about a namespace that is not there."""
    return "workload_namespace=%s: there is no such namespace; expected one that is there: %s" % (namespace, ADMIN)


def unusable(named, why):
    """Say that a kubeconfig is of no use."""
    return "%s: the kubeconfig cannot be used (%s); expected one that kubectl works with" % (
        named,
        " ".join(str(why).split()),
    )


def unreachable(named, server, why):
    """Say that nothing answers."""
    return "%s: the API server%s cannot be reached (%s); see that it runs, and that this machine may reach it" % (
        named,
        " at " + server if server else "",
        CONNECTION.sub("", str(why)),
    )


def _immutable(kind, name, message):
    advice = "set back the variable that changed it, or delete the object, which the next run makes anew: kubectl delete %s %s"
    if kind == "StatefulSet":
        # Its pods go on without it, and the new one takes them over.
        advice += " --cascade=orphan"
    return "it cannot be changed so (%s); %s" % (message, advice % (kind.lower(), name))


def explain(status, named="the kubeconfig"):
    """Return what a Status of the API server means; ``named`` is how the kubeconfig was given."""
    message = str(status.get("message") or "").strip()
    details = status.get("details") or {}
    kind, name = details.get("kind") or "", details.get("name") or ""
    code = status.get("code") or 0
    if kind.lower() in ("secret", "secrets") or "Kind=Secret" in message:
        # It quotes what it refuses.
        message = VALUE.sub("(its value is not shown) ", message)
    if code == 401:
        return (
            "%s: the API server does not accept its credentials (401 Unauthorized); expected a kubeconfig that is valid"
            % named
        )
    if code == 403:
        refused = FORBIDDEN.search(message)
        if refused:
            return "%s: %s may not %s %s%s; %s" % (
                named,
                refused.group("user"),
                refused.group("verb"),
                ".".join(filter(None, [refused.group("resource"), refused.group("group")])),
                " in namespace " + refused.group("namespace") if refused.group("namespace") else "",
                "expected a kubeconfig that may; playbooks/admin.yml makes one for the pipeline, and needs an administrator's itself",
            )
        for said in (terminating(message), quota(message)):
            if said:
                return said
    if code == 404 and kind == "namespaces":
        return missing_namespace(name)
    causes = details.get("causes") or []
    if code == 422:
        for cause in causes:
            said = str(cause.get("message") or "")
            if PORT_TAKEN in said:
                port = re.search(r"\d+", said)
                return (
                    "node port %s is taken by another Service; find it with `kubectl get services -A | grep %s`, or choose another port"
                    % (port.group(0), port.group(0))
                )
        if IMMUTABLE.search(message):
            fields = ", ".join(sorted({str(cause.get("field")) for cause in causes})) or "a field"
            return _immutable(kind, name, message[message.find(fields) :] if fields in message else fields)
    typed = TYPED.search(message)
    if typed:
        field, why = typed.group("field").lstrip("."), typed.group("why")
        if "not declared in schema" in why:
            why = "the cluster knows no such field"
        return "%s: %s" % (field, why)
    return INVALID.sub("", message) or "the API server refused (%s)" % (code or "no code")

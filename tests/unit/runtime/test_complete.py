from ansible_collections.cctv.pipeline.plugins.filter.complete import complete

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "video", "labels": {"mine": "1"}},
    "spec": {
        "template": {
            "spec": {
                "containers": [{"name": "video", "env": [{"name": "TMPDIR", "value": "/var/spool"}]}],
                "securityContext": {"runAsUser": 4},
            }
        }
    },
}


def test_what_a_manifest_says_itself_is_kept():
    (made,) = complete([DEPLOYMENT], "video", "cctv")
    pod = made["spec"]["template"]["spec"]
    env = pod["containers"][0]["env"]
    assert [variable for variable in env if variable["name"] == "TMPDIR"] == [{"name": "TMPDIR", "value": "/var/spool"}]
    assert pod["securityContext"]["runAsUser"] == 4
    assert made["metadata"]["labels"]["mine"] == "1"


def test_the_selector_selects_the_pods():
    (made,) = complete([DEPLOYMENT], "video", "cctv")
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert made["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_pods_meet_pod_security_restricted():
    (made,) = complete([DEPLOYMENT], "video", "cctv")
    pod = made["spec"]["template"]["spec"]
    container = pod["containers"][0]["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert container["readOnlyRootFilesystem"] is True


def test_the_given_manifests_are_not_changed():
    before = repr(DEPLOYMENT)
    complete([DEPLOYMENT], "video", "cctv")
    assert repr(DEPLOYMENT) == before

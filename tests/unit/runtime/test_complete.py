import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cctv.pipeline.plugins.filter.complete import complete, configuration_hashes

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


def config_map(name: str, **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def reading(**container) -> dict:
    template = {"spec": {"containers": [{"name": "video", **container}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "video"},
        "spec": {"template": template},
    }


def annotation(*manifests: dict, read: dict) -> str:
    made = complete(list(manifests), "video", "cctv", read=read)[-1]
    return made["spec"]["template"]["metadata"]["annotations"]["cctv.pipeline/configuration"]


REFERENCES = [
    {"envFrom": [{"configMapRef": {"name": "read"}}]},
    {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "read", "key": "A"}}}]},
]


@pytest.mark.parametrize("container", REFERENCES)
def test_a_changed_config_map_changes_the_template_of_its_readers_only(container):
    other, manifest = config_map("other", A="1"), reading(**container)
    before = annotation(config_map("read", A="1"), other, manifest, read={})
    assert annotation(config_map("read", A="1"), config_map("other", A="2"), manifest, read={}) == before
    assert annotation(config_map("read", A="2"), other, manifest, read={}) != before
    elsewhere = configuration_hashes([config_map("read", A="1")])
    assert annotation(other, manifest, read=elsewhere) == before


def test_a_mounted_config_map_counts_as_read():
    manifest = reading()
    manifest["spec"]["template"]["spec"]["volumes"] = [{"name": "files", "configMap": {"name": "read"}}]
    before = annotation(config_map("read", A="1"), manifest, read={})
    assert annotation(config_map("read", A="2"), manifest, read={}) != before


def test_a_secret_counts_by_what_was_given_for_it():
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"A": "1"}}
    manifest = reading(envFrom=[{"secretRef": {"name": "s"}}])
    before = annotation(secret, manifest, read={"Secret/s": "17"})
    assert annotation(dict(secret, stringData={"A": "2"}), manifest, read={"Secret/s": "17"}) == before
    assert annotation(secret, manifest, read={"Secret/s": "18"}) != before


def test_an_optional_one_may_be_missing_and_counts_once_it_is_there():
    manifest = reading(envFrom=[{"secretRef": {"name": "s", "optional": True}}])
    assert annotation(manifest, read={}) != annotation(manifest, read={"Secret/s": "1"})


def test_one_that_nothing_makes_is_told_by_name():
    with pytest.raises(AnsibleFilterError, match="Deployment video reads Secret/s, which nothing makes"):
        annotation(reading(envFrom=[{"secretRef": {"name": "s"}}]), read={})


def test_on_one_machine_the_template_says_nothing_of_configuration():
    (made,) = complete([DEPLOYMENT], "video", "cctv")
    assert "annotations" not in made["spec"]["template"]["metadata"]

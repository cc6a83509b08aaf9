import pytest
from ansible.errors import AnsibleError
from ansible_collections.cctv.pipeline.plugins.plugin_utils.configuration import annotate, hashes


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
    return annotate(manifests, read)[-1]["spec"]["template"]["metadata"]["annotations"]["cctv.pipeline/configuration"]


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
    elsewhere = hashes([config_map("read", A="1")])
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
    with pytest.raises(AnsibleError, match="Deployment video reads Secret/s, which nothing makes"):
        annotation(reading(envFrom=[{"secretRef": {"name": "s"}}]), read={})

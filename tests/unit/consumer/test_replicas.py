import pytest
from cctv_consumer.replicas import Replicas


@pytest.fixture
def replicas(request: pytest.FixtureRequest):
    def make(*urls: str, **options) -> Replicas:
        made = Replicas(urls, **options)
        request.addfinalizer(made.close)
        return made

    return make


def test_a_name_stands_for_all_its_addresses_and_each_is_first_in_its_turn(replicas):
    two = replicas("http://tf-serving:8501", resolve=lambda name: {"tf-serving": ["10.0.0.1", "10.0.0.2"]}[name])
    assert [two.in_turn()[0] for __ in range(4)] == ["http://10.0.0.1:8501", "http://10.0.0.2:8501"] * 2


def test_addresses_stay_as_they_are(replicas):
    def never(name: str) -> list[str]:
        raise AssertionError(name)

    assert sorted(replicas("http://10.0.0.1:8501", "http://[::1]:8501", resolve=never).in_turn()) == [
        "http://10.0.0.1:8501",
        "http://[::1]:8501",
    ]


def test_an_address_of_ipv6_is_put_in_brackets(replicas):
    assert replicas("http://a:1", resolve=lambda name: ["::1"]).in_turn() == ["http://[::1]:1"]


def test_the_name_of_a_certificate_is_kept(replicas):
    assert replicas("https://a:1", resolve=lambda name: ["10.0.0.1"]).in_turn() == ["https://a:1"]


def test_one_that_failed_is_left_out_unless_all_did(replicas):
    two = replicas("http://192.0.2.1:1", "http://192.0.2.2:1")
    two.failed("http://192.0.2.1:1")
    assert [two.in_turn() for __ in range(2)] == [["http://192.0.2.2:1"]] * 2
    two.failed("http://192.0.2.2:1")
    assert len(two.in_turn()) == 2


def test_a_name_that_cannot_be_looked_up_yet_is_asked_itself(replicas):
    def fails(name: str) -> list[str]:
        raise OSError

    assert replicas("http://a:1", resolve=fails).in_turn() == ["http://a:1"]

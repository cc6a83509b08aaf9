"""Every selected frame of a clip becomes one detection and one picture, whatever happens to the driver."""

from __future__ import annotations

from tests.integration.conftest import wait_for
from tests.integration.detection.conftest import EVERY, PATIENCE_S, Chain


def test_every_selected_frame_is_there(chain: Chain, clip: list[bytes]) -> None:
    chain.start()
    sent = {frame.id: frame for number, jpeg in enumerate(clip) for frame in [chain.send("gate", number, jpeg)]}
    chain.flush()
    wanted = {id for id, frame in sent.items() if frame.frame % EVERY == 0}
    wait_for("detections", lambda: len(chain.documents()) >= len(wanted), PATIENCE_S)
    documents, pictures = chain.documents(), chain.pictures()
    assert sorted(document["id"] for document in documents) == sorted(wanted)
    assert sorted(picture.id for picture in pictures) == sorted(wanted)

"""Snapshots of all indices, and bringing back of those that are not there."""

from __future__ import annotations

import datetime
import re
import time

from cctv_common.log import Log

from cctv_indices.search import Search, Unable

EVERY_S = 0.5
TRIES = 5
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


def snapshot(search: Search, log: Log, name: str) -> None:
    """Take a snapshot, and wait until it is complete; named after the time unless ``name`` says another."""
    name = name or f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
    if not NAME.fullmatch(name):
        raise Unable(f"search_snapshot={name}: expected lower-case letters, digits, dots, hyphens and underscores")
    if not search.has_repository():
        search.put_repository()
    search.take(name)
    while (taken := search.snapshots()[name])["state"] == "IN_PROGRESS":
        time.sleep(EVERY_S)
    if taken["state"] != "SUCCESS":
        raise Unable(f"the snapshot {name} is {taken['state']}: {taken.get('failures')}")
    log.info("snapshot taken", snapshot=name, indices=sorted(taken["indices"]))


def restore(search: Search, log: Log, name: str) -> None:
    """Bring back the indices of a snapshot, the newest unless ``name`` says another, that are not there or are empty.

    Never one with documents: Filebeat writes to it, and what it has may be newer.
    """
    if not search.has_repository():
        search.put_repository()
    there = search.snapshots()
    name = name or next((one for one in reversed(there) if there[one]["state"] == "SUCCESS"), "")
    if name not in there:
        raise Unable(
            f"search_snapshot={name}: is none; expected one of {', '.join(there) or 'none, as there are none'}"
        )
    wanted = sorted(there[name]["indices"])
    for attempt in range(TRIES):
        before = search.counts()
        left = [index for index in wanted if before.get(index)]
        back = [index for index in wanted if index not in left]
        if empty := [index for index in back if index in before]:
            search.delete(empty)
        try:
            if back:
                search.bring_back(name, back)
            break
        except Unable:
            # A document may have come meanwhile, for which the index was made anew.
            if attempt + 1 == TRIES:
                raise
    while not set(back) <= set(search.counts()):
        time.sleep(EVERY_S)
    log.info("indices restored", snapshot=name, restored=back, left_as_they_are=left)

"""The plugin says what it is before anything of it is built."""

from __future__ import annotations

from omni.plugin.catalog import get_catalog


def test_it_says_that_it_is_no_device_and_that_simclinic_is_simulated() -> None:
    status = next(item for item in get_catalog().plugins if item.name == "clinic")
    text = " ".join(status.info.notices)
    assert "not a medical device" in text and "simulated" in text

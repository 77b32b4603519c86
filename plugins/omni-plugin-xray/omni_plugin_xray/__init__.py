"""Radiographs for omni. Research software, not a medical device."""

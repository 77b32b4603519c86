"""For builders of data sets: pinned packages, archives, shards, random numbers that are the same everywhere."""

"""Named numeric columns: units, reference quantiles, presence flags."""

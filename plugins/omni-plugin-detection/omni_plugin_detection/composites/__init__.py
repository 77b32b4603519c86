"""The data set `composites`: cut-outs of real pictures over frames of films, with exact boxes and masks."""

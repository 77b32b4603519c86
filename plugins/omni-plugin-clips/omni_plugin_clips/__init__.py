"""Clips with sound and text, built on the user's machine: fluentclips, bbb, mix."""

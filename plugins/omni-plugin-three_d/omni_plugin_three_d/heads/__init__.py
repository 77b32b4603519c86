"""The heads: shape_field and point_set."""

"""Shapes out of any slots: fields, point sets, meshes, measures, and a small differentiable renderer."""

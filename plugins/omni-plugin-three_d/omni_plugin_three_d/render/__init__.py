"""A small differentiable renderer: cameras in pixels, volumes and surfaces of fields, all plain torch."""

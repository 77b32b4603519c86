"""The pinned package that furniture3d is made of."""

from __future__ import annotations

from omni.data.building.packages import Source

FURNITURE = Source(
    package="sweethome3d-furniture", version="1.8-1", client="apt",
    filename="sweethome3d-furniture_1.8-1_all.deb",
    sha256="3ccb90c63f9525e887a767b9cd5c8b6933b8b6b2973a615a5359ee68a2118668", license="CC0-1.0 AND CC-BY-3.0",
    credit="3D models of Sweet Home 3D by the authors that LICENSES names, put together by Emmanuel Puybaret (eTeks)",
    url="https://www.sweethome3d.com",
)  # fmt: skip
PLACE = "usr/share/sweethome3d/furniture"

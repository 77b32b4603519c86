"""The pinned packages that the clips are made of."""

from __future__ import annotations

from omni.data.building.packages import Source

FLUENT = Source(
    package="@lobehub/fluent-emoji-anim-1", version="1.0.0", client="npm",
    filename="lobehub-fluent-emoji-anim-1-1.0.0.tgz",
    sha256="4c03ac178c1eabf2e2a16dd498f3cc2b92dc30ec3466ae38fdc497d4774c99ea", license="MIT",
    credit="Fluent Emoji, copyright Microsoft Corporation; animated, as packed by LobeHub",
    url="https://github.com/microsoft/fluentui-emoji",
)  # fmt: skip
MOVIEPY = Source(
    package="moviepy", version="2.2.1", client="sdist", filename="moviepy-2.2.1.tar.gz",
    sha256="c80cb56815ece94e5e3e2d361aa40070eeb30a09d23a24c4e684d03e16deacb1", license="CC-BY-3.0",
    credit="Big Buck Bunny, copyright 2008 Blender Foundation, www.bigbuckbunny.org; from the sources of moviepy",
    url="https://peach.blender.org",
)  # fmt: skip
OPENCV = Source(
    package="opencv-doc", version="4.6.0+dfsg-12", client="apt", filename="opencv-doc_4.6.0+dfsg-12_all.deb",
    sha256="4b12681df35878207ac7097dc66184b2ae552e4bf4ddd2af04a0f03ed0b8682a", license="Apache-2.0",
    credit="vtest.avi of OpenCV's sample data: people in a street",
    url="https://opencv.org",
)  # fmt: skip

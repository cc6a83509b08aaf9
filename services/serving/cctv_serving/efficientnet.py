"""EfficientNet-Lite0 as a TensorFlow graph, from the weights of its PyTorch port.

The architecture is that of "EfficientNet: Rethinking Model Scaling" (Tan and Le, 2019) less squeeze-and-excitation,
with ReLU6, as Google published it under the name "lite".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Weights = Mapping[str, npt.NDArray[Any]]

SIZE = 224
"""Height and width in pixels of what the network looks at."""

_CROP_PADDING = 32
_EPSILON = 1e-3
_STAGES = (
    # repeats, kernel, stride, expansion, channels out
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@dataclass(frozen=True)
class _Convolution:
    """A convolution with the batch normalization behind it folded in: kernel HWIO (depthwise HWC1) and bias."""

    kernel: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    depthwise: bool = False

    @classmethod
    def fold(cls, weights: Weights, convolution: str, norm: str, depthwise: bool = False) -> _Convolution:
        """Fold in float64, so that the result is as good as two float32 operations, or better."""
        gamma, beta, mean, variance = (
            weights[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + _EPSILON)
        kernel = weights[f"{convolution}.weight"].astype(np.float64) * scale[:, None, None, None]
        kernel = kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))  # from OIHW
        return cls(kernel.astype(np.float32), (beta - mean * scale).astype(np.float32), depthwise)

    def __call__(self, x: tf.Tensor, stride: int = 1) -> tf.Tensor:
        kernel = tf.constant(self.kernel)
        if self.depthwise:
            x = tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "SAME")
        else:
            x = tf.nn.conv2d(x, kernel, stride, "SAME")
        return tf.nn.bias_add(x, tf.constant(self.bias))


@dataclass(frozen=True)
class _Block:
    """Inverted residual: widen, filter each channel, narrow; the input is added where its form allows."""

    expand: _Convolution | None
    depthwise: _Convolution
    project: _Convolution
    stride: int
    residual: bool

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        wide = tf.nn.relu6(self.expand(x)) if self.expand else x
        out = self.project(tf.nn.relu6(self.depthwise(wide, self.stride)))
        return x + out if self.residual else out


def _blocks(weights: Weights) -> Iterator[_Block]:
    number, channels = 0, 32
    for repeats, __, first_stride, expansion, out in _STAGES:
        for repeat in range(repeats):
            name = f"_blocks.{number}"
            stride = first_stride if repeat == 0 else 1
            yield _Block(
                _Convolution.fold(weights, f"{name}._expand_conv", f"{name}._bn0") if expansion > 1 else None,
                _Convolution.fold(weights, f"{name}._depthwise_conv", f"{name}._bn1", depthwise=True),
                _Convolution.fold(weights, f"{name}._project_conv", f"{name}._bn2"),
                stride,
                stride == 1 and channels == out,
            )
            number, channels = number + 1, out


class EfficientNetLite0:
    """Maps float images [N, 224, 224, 3], scaled as `preprocess` does, to logits [N, 1000]."""

    def __init__(self, weights: Weights) -> None:
        self._stem = _Convolution.fold(weights, "_conv_stem", "_bn0")
        self._blocks = list(_blocks(weights))
        self._head = _Convolution.fold(weights, "_conv_head", "_bn1")
        self._classes = weights["_fc.weight"].T.copy(), weights["_fc.bias"]

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Add the network to the graph that is being traced."""
        x = tf.nn.relu6(self._stem(images, 2))
        for block in self._blocks:
            x = block(x)
        x = tf.reduce_mean(tf.nn.relu6(self._head(x)), [1, 2])
        kernel, bias = self._classes
        return tf.nn.bias_add(tf.matmul(x, tf.constant(kernel)), tf.constant(bias))


def preprocess(image: tf.Tensor) -> tf.Tensor:
    """Decode one JPEG or PNG (scalar string) and bring its centre to float [224, 224, 3], as in the paper's evaluation.

    The accurate integer DCT gives the very pixels of libjpeg and OpenCV.
    """
    pixels = tf.io.decode_jpeg(image, 3, dct_method="INTEGER_ACCURATE")
    height, width = tf.unstack(tf.shape(pixels)[:2])
    side = tf.cast(tf.cast(tf.minimum(height, width), tf.float32) * (SIZE / (SIZE + _CROP_PADDING)), tf.int32)
    pixels = tf.image.crop_to_bounding_box(pixels, (height - side + 1) // 2, (width - side + 1) // 2, side, side)
    pixels = tf.image.resize(pixels, [SIZE, SIZE], "bicubic")
    return (tf.ensure_shape(pixels, [SIZE, SIZE, 3]) - 127.0) / 128.0

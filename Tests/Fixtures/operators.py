"""Golden values of every operator, computed once by PyTorch in fp64: writes operators.h5 and losses.h5 beside this script.

Each case is a tiny network (stem 1x1 convolution, the operator, head 1x1 convolution) with a loss, so that values and
all gradients are exercised. GraphTests/GoldenTests.swift builds the same network under the same name. A case is one
flat float32 dataset; its attribute "index" says what lies where: name:d0xd1x...;
"""

import os

import h5py
import numpy as np
import torch
import torch.nn.functional as F

from philox import DROPOUT, words

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
here = os.path.dirname(os.path.abspath(__file__))


class Case:
    """Parameters drawn on first use, in order; images NCHW inside, NHWC in the file."""

    def __init__(self, name, input_shape, mask=None):
        self.name = name
        self.random = np.random.default_rng(abs(hash_name(name)))
        n, h, w, c = input_shape
        self.x = self.draw((n, c, h, w))
        self.parameters, self.buffers, self.buffers_after = {}, {}, {}
        self.mask_shape = mask

    def draw(self, shape, scale=1.0):
        values = (self.random.uniform(-1, 1, shape) * scale).astype(np.float32)
        return torch.tensor(values, dtype=torch.float64)

    def parameter(self, name, shape, scale=0.7, offset=0.0):
        tensor = self.draw(shape, scale) + offset
        tensor = tensor.float().double().requires_grad_(True)
        self.parameters[name] = tensor
        return tensor

    def conv(self, x, name, out, k=1, stride=1, padding=0, dilation=1, bias=False, groups=1):
        weight = self.parameter(name + ".weight", (out, x.shape[1] // groups, k, k))
        b = self.parameter(name + ".bias", (out,)) if bias else None
        return F.conv2d(x, weight, b, stride, padding, dilation, groups)

    def transposed(self, x, name, out, k, stride, padding=0, output_padding=0):
        weight = self.parameter(name + ".weight", (x.shape[1], out, k, k))
        return F.conv_transpose2d(x, weight, self.parameter(name + ".bias", (out,)), stride, padding, output_padding)

    def norm(self, x, name, frozen=False):
        c = x.shape[1]
        weight = self.parameter(name + ".weight", (c,), 0.4, 1.0)
        bias = self.parameter(name + ".bias", (c,))
        mean = self.draw((c,), 0.2).float().double()
        var = (self.draw((c,), 0.3) + 1).float().double()
        self.buffers[name + ".running_mean"], self.buffers[name + ".running_var"] = mean.clone(), var.clone()
        y = F.batch_norm(x, mean, var, weight, bias, training=not frozen, momentum=0.1, eps=1e-5)
        if not frozen:
            self.buffers_after[name + ".running_mean"], self.buffers_after[name + ".running_var"] = mean, var
        return y

    def group_norm(self, x, name, groups):
        weight = self.parameter(name + ".weight", (x.shape[1],), 0.4, 1.0)
        return F.group_norm(x, groups, weight, self.parameter(name + ".bias", (x.shape[1],)))

    def stem(self, channels=5):
        return self.conv(self.x, "stem", channels, bias=True)

    def finish(self, y, loss):
        logits = self.conv(y, "head", 1, bias=True) if y.shape[1] != 1 or "head" not in self.name else y
        n, _, h, w = logits.shape
        targets = torch.tensor((self.random.uniform(0, 1, (n, 1, h, w)) < 0.4).astype(np.float64))
        if self.name.startswith("loss_empty"):
            targets[0] = 0
        value = loss(logits, targets)
        value.backward()
        out = [("input", self.x.permute(0, 2, 3, 1)), ("targets", targets.permute(0, 2, 3, 1))]
        out += [("parameter/" + k, v) for k, v in self.parameters.items()]
        out += [("buffer/" + k, v) for k, v in self.buffers.items()]
        out += [("logits", logits.permute(0, 2, 3, 1)), ("loss", value.reshape(1))]
        out += [("gradient/" + k, v.grad) for k, v in self.parameters.items()]
        out += [("after/" + k, v) for k, v in self.buffers_after.items()]
        return out


def hash_name(name):
    value = 7
    for letter in name.encode():
        value = (value * 131 + letter) % 1_000_000_007
    return value


def bce(x, t):
    return F.binary_cross_entropy_with_logits(x, t)


def dice(x, t, smooth=1.0, dims=(1, 2, 3), squared=False, bottom=None):
    p = torch.sigmoid(x)
    bottom = smooth if bottom is None else bottom
    d = (p * p + t * t) if squared else (p + t)
    return (1 - (2 * (p * t).sum(dims) + smooth) / (d.sum(dims) + bottom)).mean()


def focal(x, t, gamma=2.0):
    q = torch.sigmoid(x) * t + torch.sigmoid(-x) * (1 - t)
    logq = F.logsigmoid(x) * t + F.logsigmoid(-x) * (1 - t)
    return (-((1 - q) ** gamma) * logq).mean()


ALL = (0, 1, 2, 3)
cases = {}


def case(input_shape):
    def register(function):
        def run():
            c = Case(function.__name__, input_shape)
            result = function(c)
            y, loss = result if isinstance(result, tuple) else (result, bce)
            return c.finish(y, loss)

        cases[function.__name__] = run
        return function

    return register


@case((2, 5, 7, 2))
def convolution_3x3(c):
    return c.conv(c.stem(3), "op", 17, 3, padding=1)


@case((1, 1, 1, 3))
def convolution_one_pixel(c):
    return c.conv(c.stem(), "op", 3, 3, padding=1, bias=True)


@case((1, 9, 11, 1))
def convolution_7x7_stride_2(c):
    return c.conv(c.stem(2), "op", 17, 7, 2, 3)


@case((1, 8, 7, 2))
def convolution_dilated(c):
    return c.conv(c.stem(), "op", 6, 3, padding=2, dilation=2, bias=True)


@case((1, 7, 5, 2))
def convolution_1x1_stride_2(c):
    return c.conv(c.stem(), "op", 19, 1, 2)


@case((2, 6, 5, 2))
def convolution_bias_relu(c):
    return torch.relu(c.conv(c.stem(), "op", 16, 3, padding=1, bias=True))


@case((2, 6, 5, 2))
def convolution_no_padding(c):
    return c.conv(c.stem(), "op", 4, 3, 1, 0)


@case((2, 5, 7, 2))
def convolution_depthwise(c):
    return c.conv(c.stem(19), "op", 19, 3, padding=1, groups=19)


@case((1, 9, 12, 2))
def convolution_depthwise_5x5_relu(c):
    return torch.relu(c.conv(c.stem(6), "op", 6, 5, 2, 2, bias=True, groups=6))


@case((1, 8, 11, 2))
def convolution_depthwise_dilated(c):
    return c.conv(c.stem(5), "op", 5, 3, padding=2, dilation=2, groups=5)


@case((1, 8, 12, 2))
def convolution_depthwise_same(c):
    return c.conv(F.pad(c.stem(6), (0, 1, 0, 1)), "op", 6, 3, 2, groups=6)


@case((2, 5, 11, 2))
def convolution_grouped(c):
    return c.conv(c.stem(20), "op", 20, 3, padding=1, groups=5)


@case((1, 7, 12, 2))
def convolution_grouped_stride_2(c):
    return c.conv(c.stem(32), "op", 32, 3, 2, 1, groups=2)


@case((1, 5, 6, 2))
def convolution_grouped_uneven(c):
    return c.conv(c.stem(12), "op", 18, 3, padding=1, bias=True, groups=6)


@case((2, 6, 8, 2))
def convolution_same(c):
    return c.conv(F.pad(c.stem(5), (1, 2, 1, 2)), "op", 6, 5, 2)


@case((2, 3, 5, 2))
def transposed_2x2(c):
    return c.transposed(c.stem(), "op", 17, 2, 2)


@case((1, 4, 3, 2))
def transposed_3x3(c):
    return torch.relu(c.transposed(c.stem(), "op", 6, 3, 2, 1, 1))


@case((2, 5, 7, 2))
def normalization(c):
    return c.norm(c.stem(16), "op")


@case((3, 1, 1, 2))
def normalization_one_pixel(c):
    return c.norm(c.stem(5), "op")


@case((2, 5, 3, 2))
def normalization_relu(c):
    return torch.relu(c.norm(c.stem(6), "op"))


@case((2, 5, 3, 2))
def normalization_add_relu(c):
    x = c.stem(6)
    return torch.relu(c.norm(c.conv(x, "inner", 6, 3, padding=1), "op") + x)


@case((2, 5, 3, 2))
def normalization_frozen(c):
    return torch.relu(c.norm(c.stem(6), "op", frozen=True))


@case((2, 5, 3, 2))
def normalization_silu(c):
    return F.silu(c.norm(c.stem(19), "op"))


@case((2, 5, 3, 2))
def normalization_leaky_relu(c):
    x = c.stem(6)
    return F.leaky_relu(c.norm(c.conv(x, "inner", 6, 3, padding=1), "op") + x, 0.2)


@case((2, 5, 3, 2))
def normalization_frozen_silu(c):
    return F.silu(c.norm(c.stem(6), "op", frozen=True))


@case((2, 4, 5, 2))
def group_normalization(c):
    return c.group_norm(c.stem(18), "op", 6)


@case((2, 4, 3, 2))
def group_normalization_add_relu(c):
    x = c.stem(8)
    return torch.relu(c.group_norm(c.conv(x, "inner", 8, 3, padding=1), "op", 2) + x)


@case((2, 4, 3, 2))
def group_normalization_silu(c):
    return F.silu(c.group_norm(c.stem(6), "op", 3))


@case((2, 1, 1, 2))
def group_normalization_one_pixel(c):
    return c.group_norm(c.stem(6), "op", 2)


@case((2, 4, 3, 2))
def silu(c):
    x = c.stem(17)
    return F.silu(x) + x


@case((2, 4, 3, 2))
def leaky_relu(c):
    x = c.stem(6)
    return F.leaky_relu(x, 0.1) + x


@case((2, 3, 2, 2))
def softmax(c):
    return torch.softmax(c.stem(19), 1)


@case((2, 5, 13, 2))
def squeeze_and_excitation(c):
    x = c.stem(18)
    gate = F.adaptive_avg_pool2d(x, 1)
    gate = F.silu(c.conv(gate, "reduce", 4, bias=True))
    return x * torch.sigmoid(c.conv(gate, "op", 18, bias=True))


@case((5, 3, 2, 2))
def drop_connect(c):
    x = c.stem(6)
    bits = words(99, DROPOUT, 7, 3, 5).reshape(5, 1, 1, 1)
    keep = torch.tensor((bits < np.uint32(0.6 * 2**32)).astype(np.float64))
    return x * keep / 0.6 + x


@case((2, 4, 3, 2))
def relu(c):
    x = c.stem(6)
    return torch.relu(x) + x


@case((2, 4, 3, 2))
def sigmoid(c):
    return torch.sigmoid(c.stem(17))


@case((2, 4, 3, 2))
def add(c):
    x = c.stem(6)
    return torch.relu(x + c.conv(x, "op", 6)) + x


@case((2, 4, 3, 2))
def concatenation(c):
    x = c.stem(5)
    a = c.conv(x, "op", 3, bias=True)
    return c.conv(torch.cat([a, x, a, c.x], 1), "inner", 4, 3, padding=1)


@case((2, 5, 7, 2))
def max_pooling_2x2(c):
    return F.max_pool2d(c.stem(17), 2)


@case((2, 6, 7, 2))
def max_pooling_3x3(c):
    return F.max_pool2d(c.stem(5), 3, 2, 1)


@case((2, 6, 7, 2))
def max_pooling_ceil(c):
    return F.max_pool2d(c.stem(17), 3, 2, ceil_mode=True)


@case((1, 5, 6, 2))
def max_pooling_ceil_padded(c):
    return F.max_pool2d(c.stem(5), 2, 3, 1, ceil_mode=True)


@case((2, 5, 7, 2))
def average_pooling(c):
    return F.avg_pool2d(c.stem(17), 2)


@case((2, 6, 7, 2))
def average_pooling_padded(c):
    return F.avg_pool2d(c.stem(5), 3, 2, 1)


@case((2, 6, 8, 2))
def average_pooling_ceil(c):
    return F.avg_pool2d(c.stem(5), 3, 2, 1, ceil_mode=True)


@case((1, 6, 8, 2))
def average_pooling_inside(c):
    return F.avg_pool2d(c.stem(5), 3, 2, 1, ceil_mode=True, count_include_pad=False)


@case((1, 3, 2, 2))
def nearest_upsampling(c):
    return F.interpolate(c.stem(17), scale_factor=2, mode="nearest")


@case((1, 2, 3, 2))
def nearest_upsampling_by_3(c):
    return F.interpolate(c.stem(5), scale_factor=3, mode="nearest")


@case((2, 4, 5, 2))
def bilinear_upsampling(c):
    return F.interpolate(c.stem(17), size=(8, 10), mode="bilinear", align_corners=False)


@case((1, 4, 5, 2))
def bilinear_corners(c):
    return F.interpolate(c.stem(5), size=(7, 9), mode="bilinear", align_corners=True)


@case((1, 7, 9, 2))
def bilinear_smaller(c):
    return F.interpolate(c.stem(5), size=(3, 4), mode="bilinear", align_corners=False)


@case((1, 1, 1, 2))
def bilinear_one_pixel(c):
    return F.interpolate(c.stem(5), size=(3, 2), mode="bilinear", align_corners=True)


@case((3, 5, 4, 2))
def pooling_linear(c):
    pooled = F.adaptive_avg_pool2d(c.stem(17), 1)
    weight = c.parameter("op.weight", (6, 17))
    y = F.linear(pooled.flatten(1), weight, c.parameter("op.bias", (6,)))
    return torch.relu(y).reshape(3, 6, 1, 1)


@case((2, 4, 5, 2))
def dropout(c):
    x = c.stem(6)
    n, ch, h, w = x.shape
    bits = words(99, DROPOUT, 7, 3, n * ch * h * w).reshape(n, h, w, ch)
    keep = torch.tensor((bits < np.uint32(0.7 * 2**32)).astype(np.float64)).permute(0, 3, 1, 2)
    return x * keep / 0.7


@case((3, 4, 5, 2))
def channel_dropout(c):
    x = c.stem(6)
    n, ch = x.shape[:2]
    bits = words(99, DROPOUT, 7, 3, n * ch).reshape(n, ch, 1, 1)
    keep = torch.tensor((bits < np.uint32(0.7 * 2**32)).astype(np.float64))
    return x * keep / 0.7 + x


@case((2, 5, 4, 2))
def loss_dice_image(c):
    return c.stem(5), lambda x, t: dice(x, t)


@case((2, 5, 4, 2))
def loss_dice_microbatch(c):
    return c.stem(5), lambda x, t: dice(x, t, 1e-6, ALL)


@case((2, 5, 4, 2))
def loss_dice_squared(c):
    return c.stem(5), lambda x, t: dice(x, t, 0.02, squared=True, bottom=0.01)


@case((2, 5, 4, 2))
def loss_focal(c):
    return c.stem(5), lambda x, t: focal(x, t)


@case((2, 5, 4, 2))
def loss_focal_gamma(c):
    return c.stem(5), lambda x, t: focal(x, t, 1.5)


@case((3, 5, 4, 2))
def loss_empty_mixed(c):
    return c.stem(5), lambda x, t: 3 * bce(x, t) + 1 * dice(x, t) + 4 * focal(x, t)


def clamped(x, t):
    return F.binary_cross_entropy(torch.sigmoid(x).clamp(1e-6, 1 - 1e-6), t)


def dice_nonempty(x, t):
    chosen = t.sum((1, 2, 3)) > 0
    return dice(x[chosen], t[chosen], 0.0)


def dice_two_class(x, t, smooth=1e-7, dims=ALL):
    p = torch.sigmoid(x)
    one = lambda p, t: 2 * (p * t).sum(dims) / (p.sum(dims) + t.sum(dims) + smooth)
    return (1 - (one(p, t) + one(1 - p, 1 - t)) / 2).mean()


@case((2, 5, 4, 2))
def loss_clamped(c):
    # Logits of about ±20: some are clamped, on both sides.
    weight = c.parameter("stem.weight", (5, c.x.shape[1], 1, 1), 25.0)
    return F.conv2d(c.x, weight, c.parameter("stem.bias", (5,))), clamped


@case((3, 5, 4, 2))
def loss_empty_nonempty(c):
    return c.stem(5), dice_nonempty


@case((2, 5, 4, 2))
def loss_two_class(c):
    return c.stem(5), dice_two_class


@case((2, 5, 4, 2))
def loss_two_class_image(c):
    return c.stem(5), lambda x, t: dice_two_class(x, t, 0.5, (1, 2, 3))


@case((3, 5, 4, 2))
def loss_empty_recipe(c):
    loss = lambda x, t: 3 * clamped(x, t) + 2 * dice_nonempty(x, t) + dice(x, t) + 0.5 * bce(x, t)
    return c.stem(5), loss


def main():
    for file_name in ["operators.h5", "losses.h5"]:
        path = os.path.join(here, file_name)
        chosen = {k: v for k, v in cases.items() if k.startswith("loss") == (file_name == "losses.h5")}
        with h5py.File(path, "w") as file:
            for name, run in chosen.items():
                entries = run()
                index = ";".join(f"{k}:{'x'.join(map(str, v.shape))}" for k, v in entries)
                flat = np.concatenate([v.detach().numpy().astype(np.float32).reshape(-1) for _, v in entries])
                data = file.create_dataset(name, data=flat, track_times=False)
                data.attrs["index"] = index
        print(path, os.path.getsize(path), "bytes,", len(chosen), "cases")


main()

"""PyTorch's operators on the shapes of `pleura bench kernels`, for kernels.py.

`make` turns a row of pleura's report into a function that runs PyTorch's operator, or the sequence of operators that one
kernel of pleura fuses, once. All tensors are channels-last; those of feature maps are bfloat16 where the precision is
bf16, weights of convolutions too (what autocast has cast before), those of normalisations and the optimizer are fp32.
A weight gradient therefore leaves PyTorch in bf16, where pleura's is fp32.
"""

import dataclasses
import re

import torch
from torch.nn import functional

import peer

aten = torch.ops.aten
SHAPE = re.compile(r"(\d+)×(\d+)×(\d+)×(\d+)")
KERNEL = re.compile(r"(\d+)×(\d+)((?: [sdg]\d+)*)")


@dataclasses.dataclass
class Convolution:
    """A convolution's sizes; `height` and `width` are those of x, padding is half of the kernel."""

    images: int
    height: int
    width: int
    inputs: int
    outputs: int
    kernel: int
    stride: int
    dilation: int
    groups: int

    @property
    def padding(self):
        return self.dilation * (self.kernel // 2)

    @property
    def output_height(self):
        return (self.height + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    @property
    def output_width(self):
        return (self.width + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    @property
    def flops(self):
        pixels = self.images * self.output_height * self.output_width
        return 2 * pixels * self.outputs * self.inputs // self.groups * self.kernel ** 2

    @property
    def uses_winograd(self):
        """Whether pleura uses Winograd's F(2×2, 3×3) in fp32, as ConvolutionGeometry.usesWinograd says."""
        return (self.kernel == 3 and self.stride == self.dilation == self.groups == 1
                and min(self.inputs, self.outputs) >= 16)

    @property
    def executed_share(self):
        """Multiply-adds of Winograd's products over those of the direct algorithm: 16 for each 2 × 2 tile in the place
        of 36; more at odd sizes, whose last tiles are cut. Transforms are additions and do not count."""
        tiles = ((self.output_height + 1) // 2) * ((self.output_width + 1) // 2)
        return 16 * tiles / (9 * self.output_height * self.output_width)


class Row:
    """A row of the report with its shape taken apart."""

    def __init__(self, row):
        self.row = row
        self.operation = row["operation"]
        arrow, *rest = row["shape"].split(", ")
        source, _, target = arrow.partition(" → ")
        self.source = self.sizes(source)
        self.target = self.sizes(target)
        self.kernel = rest.pop(0) if "Convolution" in self.operation else None
        self.weights = None if self.target else tuple(int(number) for number in re.findall(r"\d+", target))
        self.extras = rest

    @staticmethod
    def sizes(text):
        found = SHAPE.fullmatch(text)
        return tuple(int(number) for number in found.groups()) if found else None

    @property
    def activation(self):
        return next((extra for extra in self.extras if extra in ("ReLU", "Swish", "LeakyReLU")), None)

    @property
    def adds(self):
        return "added" in self.extras

    @property
    def convolution(self):
        """The sizes of a pass of a convolution. The row names the larger operand only; the number of operations gives
        the rest."""
        if self.kernel is None:
            return None
        found = KERNEL.fullmatch(self.kernel)
        options = {part[0]: int(part[1:]) for part in found.group(3).split()}
        kernel, stride = int(found.group(1)), options.get("s", 1)
        dilation, groups = options.get("d", 1), options.get("g", 1)
        flops = self.row["gflops"] * 1e9 * self.row["median_s"]
        if self.operation == "ConvolutionForward":
            images, height, width, inputs = self.source
            result = Convolution(images, height, width, inputs, self.target[3], kernel, stride, dilation, groups)
        elif self.operation == "ConvolutionWeightGradient":
            outputs, inputs = self.weights[0], self.weights[1] * groups
            images, height, width, channels = self.source
            if channels != inputs:  # the larger one is dy
                height, width = height * stride, width * stride
            result = Convolution(images, height, width, inputs, outputs, kernel, stride, dilation, groups)
        else:
            images, height, width, inputs = self.target
            result = Convolution(images, height, width, inputs, groups, kernel, stride, dilation, groups)
            result.outputs = round(groups * flops / result.flops)
        if abs(result.flops - flops) > 1e-3 * flops:
            raise ValueError(f"{self.operation} {self.row['shape']}: {result} has {result.flops:.4g} operations, the "
                             f"report {flops:.4g}")
        return result


def feature(sizes, dtype):
    images, height, width, channels = sizes
    values = torch.rand(images, channels, height, width) - 0.5
    return values.to(dtype).contiguous(memory_format=torch.channels_last)


def activate(x, name):
    """In place, as segmentation_models' modules do."""
    if name == "ReLU":
        return torch.relu_(x)
    if name == "Swish":
        return functional.silu(x, inplace=True)
    if name == "LeakyReLU":
        return functional.leaky_relu_(x, 0.01)
    return x


def activation_gradient(dy, z, name):
    if name == "ReLU":
        return aten.threshold_backward(dy, z, 0)
    if name == "Swish":
        return aten.silu_backward(dy, z)
    if name == "LeakyReLU":
        return aten.leaky_relu_backward(dy, z, 0.01, True)
    return dy


def make_convolution(row, dtype):
    c = row.convolution
    w = (torch.rand(c.outputs, c.inputs // c.groups, c.kernel, c.kernel) - 0.5).to(dtype)
    w = w.contiguous(memory_format=torch.channels_last)
    x = feature((c.images, c.height, c.width, c.inputs), dtype)
    strides, paddings, dilations = [c.stride] * 2, [c.padding] * 2, [c.dilation] * 2
    if row.operation == "ConvolutionForward":
        bias = torch.zeros(c.outputs, dtype=dtype) if "bias" in row.extras else None
        return lambda: activate(functional.conv2d(x, w, bias, strides, paddings, dilations, c.groups), row.activation)
    dy = feature((c.images, c.output_height, c.output_width, c.outputs), dtype)
    mask = [row.operation != "ConvolutionWeightGradient", row.operation == "ConvolutionWeightGradient", False]

    def backward():
        return aten.convolution_backward(dy, x, w, None, strides, paddings, dilations, False, [0, 0], c.groups, mask)

    if not row.adds:
        return backward
    sum = torch.zeros_like(x)
    return lambda: sum.add_(backward()[0])


def make_normalization(row, dtype):
    sizes = row.source
    channels = sizes[3]
    x, other = feature(sizes, dtype), feature(sizes, dtype)
    weight, bias = torch.ones(channels), torch.zeros(channels)
    mean, variance = torch.zeros(channels), torch.ones(channels)
    residual = other if any(extra.startswith("residual") for extra in row.extras) else None
    if row.operation in ("BatchNormalizationForward", "BatchNormalizationApplication"):
        # The application is a second one with the same statistics, of which PyTorch has no need: there, evaluation.
        training = row.operation == "BatchNormalizationForward"

        def forward():
            y = functional.batch_norm(x, mean, variance, weight, bias, training, 0.1, 1e-5)
            return activate(y if residual is None else y.add_(residual), row.activation)

        return forward
    # Sums and gradient to x: PyTorch has one operator for both.
    dy = feature(sizes, dtype)
    inverse = torch.ones(channels)

    def backward():
        g = activation_gradient(dy, x, row.activation)
        return aten.native_batch_norm_backward(g, x, weight, mean, variance, mean, inverse, True, 1e-5,
                                               [True, True, True])

    return backward


def make_optimizer(row, dtype):
    del dtype
    count = int(row.row["shape"].split()[0])
    # As tensors of a usual size: one of all would hide what PyTorch does for each.
    sizes = [1 << 18] * (count >> 18) + [count % (1 << 18)]
    choices = []
    for option in ("fused", "foreach"):
        weights = [torch.nn.Parameter(torch.zeros(size)) for size in sizes if size]
        for weight in weights:
            weight.grad = torch.full_like(weight, 1e-3)
        optimizer = torch.optim.Adam(weights, lr=peer.LEARNING_RATE, **{option: True})

        def update(weights=weights, optimizer=optimizer):
            torch.nn.utils.clip_grad_norm_(weights, 1, foreach=True)
            optimizer.step()

        choices.append(update)
    return choices


def make_other(row, dtype):
    name, x = row.operation, feature(row.source, dtype)
    target = row.target or row.source
    y = feature(target, dtype)
    size, source_size = list(target[1:3]), list(row.source[1:3])
    # The gradient's destination, where it is added to.
    add = (lambda value: y.add_(value)) if row.adds else (lambda value: value)
    if name == "ReLUForward":
        return lambda: torch.relu(x)
    if name == "ReLUBackward":
        return lambda: add(aten.threshold_backward(y, x, 0))
    if name == "SiLUForward":
        return lambda: functional.silu(x)
    if name == "SiLUBackward":
        return lambda: add(aten.silu_backward(y, x))
    if name == "SigmoidForward":
        return lambda: torch.sigmoid(x)
    if name == "SigmoidBackward":
        return lambda: add(aten.sigmoid_backward(y, x))
    if name == "SoftmaxForward":
        return lambda: torch.softmax(x, 1)
    if name == "SoftmaxBackward":
        return lambda: add(aten._softmax_backward_data(y, x, 1, dtype))
    if name == "AdditionForward":
        return lambda: activate(x + y, row.activation)
    if name == "CopyInstruction":
        return lambda: y.add_(x) if row.adds else y.copy_(x)
    if name == "CastInstruction":
        # Between the two formats; the row does not say which way, bytes are the same.
        wide = x.float()
        return lambda: wide.to(torch.bfloat16)
    if name == "ChannelScalingInstruction":
        gate = torch.rand(row.source[0], row.source[3], 1, 1).to(dtype)
        return lambda: add(x * gate)
    if name == "ChannelScalingGateGradient":
        dy = feature(row.source, dtype)
        return lambda: (x * dy).sum((2, 3), keepdim=True)
    if name == "DropConnectInstruction":
        def drop_connect():
            keep = (torch.rand(row.source[0], 1, 1, 1) < 0.8).to(dtype) / 0.8
            return add(x * keep)

        return drop_connect
    if name == "DropoutInstruction":
        if row.row["phase"] == "forward":
            return lambda: aten.native_dropout(x, 0.5, True)
        mask = torch.rand(x.shape) < 0.5
        return lambda: aten.native_dropout_backward(x, mask, 2.0)
    if name == "GlobalAveragePoolingForward":
        return lambda: functional.adaptive_avg_pool2d(x, 1)
    if name == "GlobalAveragePoolingBackward":
        # With `added` the row's source is the destination.
        dy = feature((target[0], 1, 1, target[3]), dtype)
        return lambda: add(aten._adaptive_avg_pool2d_backward(dy, y))
    if name in ("MaxPoolingForward", "MaxPoolingBackward"):
        # The encoders' window: 3 × 3, stride 2.
        x = feature(row.source if name == "MaxPoolingForward" else target, dtype)
        window = ([3, 3], [2, 2], [1, 1], [1, 1], False)
        if name == "MaxPoolingForward":
            return lambda: aten.max_pool2d_with_indices(x, *window)
        pooled, indices = aten.max_pool2d_with_indices(x, *window)
        return lambda: add(aten.max_pool2d_with_indices_backward(pooled, x, *window, indices))
    if name == "NearestUpsamplingForward":
        return lambda: aten.upsample_nearest2d(x, size)
    if name == "NearestUpsamplingBackward":
        return lambda: add(aten.upsample_nearest2d_backward(x, source_size, list(x.shape[:2]) + size))
    if name == "BilinearUpsamplingForward":
        return lambda: aten.upsample_bilinear2d(x, size, True)
    if name == "BilinearUpsamplingBackward":
        return lambda: add(aten.upsample_bilinear2d_backward(x, source_size, list(x.shape[:2]) + size, True))
    if name == "BiasGradient":
        return lambda: x.sum((0, 2, 3))
    if name in ("LossValue", "LossGradient"):
        images, height, width, _ = row.source
        masks = (torch.rand(images, 1, height, width) < 0.3).float()
        logits = torch.zeros(images, 1, height, width, requires_grad=True)
        if name == "LossValue":
            return lambda: peer.loss_of(logits, masks)
        loss = peer.loss_of(logits, masks)
        return lambda: torch.autograd.grad(loss, logits, retain_graph=True)
    return None


def make(row, precision):
    """Functions that each run what PyTorch has in the place of the row once, of which the fastest counts; none where
    there is no such operator."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    if row.operation == "Optimizer":
        return make_optimizer(row, dtype)
    if row.kernel is not None:
        return [make_convolution(row, dtype)]
    if row.operation.startswith("BatchNormalization"):
        return [make_normalization(row, dtype)]
    made = make_other(row, dtype) if row.source else None
    return [made] if made else []

"""Twenty Adam steps of unet/resnet34 in PyTorch, in fp64 and in fp32: writes twenty_steps.json and
parameters_resnet34.json beside this script.

Weights come from philox.py by the rule of ParameterLayout.initialize, images and masks from the same generator, so
that the engine starts from the same bits and nothing large is committed. One thread, deterministic algorithms. The
network below is segmentation_models_pytorch's Unet("resnet34") written out; its encoder has torchvision's names.

Learning rate: 1e-4, the rate that the recipes for this network use, over four batches in turn:
the loss of each batch falls by 0.3 to 0.4 in its five visits, so the run is not converged. It does amplify rounding:
fp32's distance from fp64 grows from 1e-7 at step 0 to 1e-3 at step 6 and stays about there, whichever way PyTorch
computes in fp32, because Adam's first steps are the signs of gradients, however small. The distance has a random sign
and passes through 0, so that of one run at one step says little. "The distance that PyTorch's fp32 keeps" at a step is
therefore taken twice: as the largest one at that step of PyTorch's four ways to compute in fp32 (oneDNN or native
kernels, contiguous or channels-last), and as the largest one up to that step of the way that it takes by itself (oneDNN,
contiguous). The script prints all of them.
"""

import json
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import philox

SEED, SIZE, IMAGES, BATCHES, STEPS, RATE = 2019, 96, 4, 4, 20, 1e-4
here = os.path.dirname(os.path.abspath(__file__))
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def conv(i, o, k, s=1, bias=False):
    return nn.Conv2d(i, o, k, s, k // 2, bias=bias)


class Block(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.conv1, self.bn1 = conv(i, o, 3, s), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = conv(o, o, 3), nn.BatchNorm2d(o)
        self.downsample = nn.Sequential(conv(i, o, 1, s), nn.BatchNorm2d(o)) if s != 1 or i != o else None

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Encoder(nn.Module):
    def __init__(self, channels, blocks):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        for index, count in enumerate(blocks):
            o, i = 64 << index, 64 << max(0, index - 1)
            layer = [Block(i if b == 0 else o, o, 2 if b == 0 and index else 1) for b in range(count)]
            setattr(self, f"layer{index + 1}", nn.Sequential(*layer))

    def forward(self, x):
        features = [F.relu(self.bn1(self.conv1(x)))]
        x = F.max_pool2d(features[0], 3, 2, 1)
        for index in range(4):
            x = getattr(self, f"layer{index + 1}")(x)
            features.append(x)
        return features


class DecoderBlock(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv1 = nn.Sequential(conv(i, o, 3), nn.BatchNorm2d(o), nn.ReLU())
        self.conv2 = nn.Sequential(conv(o, o, 3), nn.BatchNorm2d(o), nn.ReLU())

    def forward(self, x, skip):
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        return self.conv2(self.conv1(x if skip is None else torch.cat([x, skip], 1)))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        shapes = [(512 + 256, 256), (256 + 128, 128), (128 + 64, 64), (64 + 64, 32), (32, 16)]
        self.blocks = nn.ModuleList(DecoderBlock(*s) for s in shapes)


class Unet(nn.Module):
    def __init__(self, channels=1, blocks=(3, 4, 6, 3)):
        super().__init__()
        self.encoder, self.decoder = Encoder(channels, blocks), Decoder()
        self.segmentation_head = nn.Sequential(conv(16, 1, 3, bias=True))

    def forward(self, x):
        features = self.encoder(x)
        x = features[4]
        for index, block in enumerate(self.decoder.blocks):
            x = block(x, features[3 - index] if index < 4 else None)
        return self.segmentation_head(x)


def initialize(model):
    names = sorted(name for name, _ in model.named_parameters())
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            if parameter.dim() == 4:
                values = philox.initial_weight(SEED, names.index(name), tuple(parameter.shape))
                parameter.copy_(torch.tensor(values))
            elif name.startswith("segmentation_head"):
                parameter.fill_(-2.0)
            else:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)


def batch(number):
    """Images [n, 1, h, w] in 0...1 and masks: a bright square on noise, its place and size drawn per image.

    Purpose 9 (simulation), epoch = the batch's number, position = image; word 0...2 place and size the square, words
    from 4 on are the pixels. Each rounding is written out, so that the engine makes the same bits.
    """
    images = np.zeros((IMAGES, SIZE, SIZE), np.float32)
    masks = np.zeros((IMAGES, SIZE, SIZE), np.float32)
    for n in range(IMAGES):
        u = philox.uniforms(SEED, 9, number, n, SIZE * SIZE + 4)
        side = 12 + int(u[2] * np.float32(24))
        top, left = int(u[0] * np.float32(SIZE - side)), int(u[1] * np.float32(SIZE - side))
        images[n] = u[4:].reshape(SIZE, SIZE) * np.float32(0.5)
        if n % 4 != 3:
            masks[n, top : top + side, left : left + side] = 1
            images[n, top : top + side, left : left + side] += np.float32(0.25)
    return torch.tensor(images)[:, None], torch.tensor(masks)[:, None]


def loss_of(logits, masks):
    p = torch.sigmoid(logits)
    dims = (1, 2, 3)
    dice = 1 - (2 * (p * masks).sum(dims) + 1) / (p.sum(dims) + masks.sum(dims) + 1)
    return F.binary_cross_entropy_with_logits(logits, masks) + dice.mean()


def train(dtype, channels_last=False, onednn=True):
    model = Unet()
    initialize(model)
    model.to(dtype).train()
    if channels_last:
        model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, foreach=False, fused=False)
    losses = []
    torch.backends.mkldnn.set_flags(onednn)
    for step in range(STEPS):
        images, masks = (t.to(dtype) for t in batch(step % BATCHES))
        if channels_last:
            images = images.to(memory_format=torch.channels_last)
        logits = model(images)
        loss = loss_of(logits, masks)
        # fp32's loss of its logits in fp64: what is compared is the network, not the rounding of the printed number.
        losses.append(float(loss_of(logits.detach().double(), masks.double())))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


def main():
    parameters = {name: list(p.shape) for name, p in Unet().named_parameters()}
    with open(os.path.join(here, "parameters_resnet34.json"), "w") as file:
        file.write("{\n" + ",\n".join(f'  "{k}": {v}' for k, v in sorted(parameters.items())) + "\n}\n")
    parameters = {name: list(p.shape) for name, p in Unet(blocks=(2, 2, 2, 2)).named_parameters()}
    with open(os.path.join(here, "parameters_resnet18.json"), "w") as file:
        file.write("{\n" + ",\n".join(f'  "{k}": {v}' for k, v in sorted(parameters.items())) + "\n}\n")
    fp64 = train(torch.float64)
    fp32 = {
        f"{kernels}, {layout}": train(torch.float32, layout == "channels-last", kernels == "oneDNN")
        for kernels in ["oneDNN", "native"]
        for layout in ["contiguous", "channels-last"]
    }
    for step in range(STEPS):
        distances = "  ".join(f"{losses[step] - fp64[step]:+.1e}" for losses in fp32.values())
        print(f"{step:2d}  fp64 {fp64[step]:.9f}  fp32 {distances}", file=sys.stderr)
    result = {
        "torch": torch.__version__,
        "seed": SEED,
        "size": SIZE,
        "images": IMAGES,
        "batches": BATCHES,
        "learningRate": RATE,
        "fp64": fp64,
        "fp32": fp32,
    }
    with open(os.path.join(here, "twenty_steps.json"), "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()

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

That proves little about kernels: Adam takes no notice of a gradient that is too large by a constant factor, and from
step 6 on two runs whose weights were an ulp apart have gradients that have nothing to do with each other (their
difference is 0.1 of the gradient at step 1, and more than all of it there). Along the steps therefore stand the losses
of further runs whose initial weights were moved by an ulp at random, the band that rounding makes at each step. And
gradients are compared where rounding has not been amplified yet: at the initial weights, for some of the batches.

Of each parameter's gradient there are the norm and MARKS sums of PICKED elements with signs, all drawn from philox.py,
in fp64. There, too, a rounding may turn the sign of what goes into a ReLU, or another element may become the largest
under a pooling window, and that moves all gradients before it by a percent at once: in one batch of some, not in most.
So what counts is the median over the batches of a distance, in units of the fp64 norm. Its band, for each parameter, is
the largest of PyTorch's ways over contiguous tensors and of the runs moved by an ulp; channels-last, whose statistics
PyTorch adds up worse, is not among them. The band of the norms is 2e-4 for most parameters and 1.2e-3 for one, that of the
sums 4e-3 and 9e-3: an error of 1 % in the gradient of any one parameter is seen, and another algorithm for the
convolutions is not.
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
MARKS, PICKED, COMPARED, MOVED = 4, 256, 3, 4
SIMULATION = 9
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
        u = philox.uniforms(SEED, SIMULATION, number, n, SIZE * SIZE + 4)
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


def move(model, number):
    """Moves about two of three weights by an ulp up or down: words of purpose 9, epoch 2000 + the run's number."""
    names = sorted(name for name, _ in model.named_parameters())
    for name, parameter in model.named_parameters():
        words = philox.words(SEED, SIMULATION, 2000 + number, names.index(name), parameter.numel())
        ulps = torch.tensor((words % 3).astype(np.float32) - 1).reshape(parameter.shape)
        with torch.no_grad():
            parameter.mul_(1 + ulps * 2.0**-23)


def make(dtype, moved=None):
    model = Unet()
    initialize(model)
    if moved is not None:
        move(model, moved)
    return model.to(dtype).train()


def prints(model):
    """The norm and the marks of each parameter's gradient, in the order of names.

    Mark k of the parameter with rank p: element j of PICKED is number word 2j below the count, its sign that of bit 0 of
    word 2j + 1, of purpose 9, epoch 1000 + k, position p. The sum is scaled to the size of the norm.
    """
    parameters = dict(model.named_parameters())
    result = []
    for rank, name in enumerate(sorted(parameters)):
        gradient = parameters[name].grad.detach().double().contiguous().reshape(-1).numpy()
        row = [float(np.linalg.norm(gradient))]
        for k in range(MARKS):
            words = philox.words(SEED, SIMULATION, 1000 + k, rank, 2 * PICKED).astype(np.uint64)
            places = (words[0::2] * np.uint64(len(gradient)) >> np.uint64(32)).astype(np.int64)
            signs = 1 - 2 * (words[1::2] & np.uint64(1)).astype(np.float64)
            row.append(float((gradient[places] * signs).sum() * np.sqrt(len(gradient) / PICKED)))
        result.append(row)
    return np.array(result)


def gradients(dtype, onednn=True, moved=None):
    """The prints of the gradients of the first COMPARED batches, at the initial weights: [batch, parameter, 1 + MARKS]."""
    torch.backends.mkldnn.set_flags(onednn)
    result = []
    for number in range(COMPARED):
        model = make(dtype, moved)
        images, masks = (t.to(dtype) for t in batch(number))
        loss_of(model(images), masks).backward()
        result.append(prints(model))
    return np.array(result)


def bands(exact, others):
    """For each parameter the largest median distance of the norms, and of the marks."""
    norms, marks = [], []
    for found in others:
        difference = np.abs(found - exact) / exact[:, :, :1]
        norms.append(np.median(difference[:, :, 0], axis=0))
        marks.append(np.median(np.sqrt((difference[:, :, 1:] ** 2).mean(axis=2)), axis=0))
    return np.max(norms, axis=0), np.max(marks, axis=0)


def train(dtype, channels_last=False, onednn=True, moved=None):
    model = make(dtype, moved)
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
    moved = [train(torch.float32, moved=number) for number in range(MOVED)]
    exact = gradients(torch.float64)
    others = [gradients(torch.float32), gradients(torch.float32, onednn=False)]
    others += [gradients(torch.float32, moved=number) for number in range(MOVED)]
    norm_band, mark_band = bands(exact, others)
    for step in range(STEPS):
        distances = "  ".join(f"{losses[step] - fp64[step]:+.1e}" for losses in [*fp32.values(), *moved])
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
        "moved": moved,
    }
    text = json.dumps(result, indent=1)
    compact = {
        "names": sorted(name for name, _ in Unet().named_parameters()),
        "norms": [[float(f"{v:.9g}") for v in found[:, 0]] for found in exact],
        "marks": [[[float(f"{v:.7g}") for v in row[1:]] for row in found] for found in exact],
        "normBand": [float(f"{v:.3g}") for v in norm_band],
        "markBand": [float(f"{v:.3g}") for v in mark_band],
    }
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in compact.items())
    with open(os.path.join(here, "twenty_steps.json"), "w") as file:
        file.write(text[:-2] + ',\n "gradients": {\n' + lines + "\n }\n}\n")
    print(f"norms {np.median(norm_band):.1e} to {norm_band.max():.1e}", file=sys.stderr)
    print(f"marks {np.median(mark_band):.1e} to {mark_band.max():.1e}", file=sys.stderr)


if __name__ == "__main__":
    main()

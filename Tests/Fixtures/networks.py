"""The networks of segmentation_models_pytorch: writes parameters_<network>.json (names and shapes, as Pleura must give
them), networks.json (what each computes of one input, in fp64) and networks_siblings.json (a digest of the names and
shapes of the other encoders, and some logits) beside this script.

Weights come from philox.py by the rule of ParameterLayout.initialize and the input from the same generator, so that
the engine starts from the same bits and nothing large is committed. Needs torch and segmentation_models_pytorch.
"""

import json
import os

import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch import nn

import philox

SEED, SIZE, IMAGES = 7, 64, 2
HEAD_BIAS = -2.0
SIMULATION = 9
here = os.path.dirname(os.path.abspath(__file__))
torch.set_num_threads(1)

NETWORKS = {
    "unet-resnet50": lambda: smp.Unet("resnet50", encoder_weights=None),
    "unet-se_resnext50_32x4d": lambda: smp.Unet("se_resnext50_32x4d", encoder_weights=None),
    "unet-efficientnet-b0": lambda: smp.Unet("efficientnet-b0", encoder_weights=None),
    "unet-efficientnet-b4": lambda: smp.Unet("efficientnet-b4", encoder_weights=None),
    "deeplabv3plus-resnet50": lambda: smp.DeepLabV3Plus("resnet50", encoder_weights=None),
    "fpn-resnet34": lambda: smp.FPN("resnet34", encoder_weights=None),
}
# The rest of each family: other depths, and other paddings of an EfficientNet.
SIBLINGS = [("unet", name) for name in ("resnet101", "resnet152", "se_resnext101_32x4d")]
SIBLINGS += [("unet", f"efficientnet-b{number}") for number in (1, 2, 3, 5, 6, 7)]
SIBLINGS += [("deeplabv3plus", name) for name in ("resnet18", "resnet34", "resnet101", "resnet152")]
SIBLINGS += [("fpn", name) for name in ("resnet50", "se_resnext50_32x4d", "efficientnet-b0", "efficientnet-b4")]
# A norm below this share of the largest is 0 but for rounding: a shift that the next normalisation takes away, or the
# mean behind one.
VANISHING = 1e-6
# The classifier's convolution of an EfficientNet, which a segmenter does not use.
UNUSED = ("encoder._conv_head.", "encoder._bn1.")


def initialise(model):
    """Draws the parameters by name order; returns their names and shapes."""
    parameters = {n: p for n, p in model.named_parameters() if not n.startswith(UNUSED)}
    for rank, name in enumerate(sorted(parameters)):
        parameter = parameters[name]
        with torch.no_grad():
            if parameter.dim() == 4:
                values = philox.initial_weight(SEED, rank, tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(values))
            elif name.endswith("weight"):
                parameter.fill_(1)
            else:
                parameter.fill_(HEAD_BIAS if name == "segmentation_head.0.bias" else 0)
    return {name: list(parameters[name].shape) for name in sorted(parameters)}


def still(model):
    """Training, without what drops at random."""
    model.train()
    for module in model.modules():
        if isinstance(module, (nn.Dropout, nn.Dropout2d)):
            module.p = 0.0
    if hasattr(model.encoder, "_drop_connect_rate"):
        model.encoder._drop_connect_rate = 0.0
    return model


def compute(model, dtype, images, masks):
    """Logits in evaluation; in training the loss, the norms of its gradients and of the running statistics after it."""
    initialise(model)
    model.to(dtype).eval()
    with torch.no_grad():
        logits = model(images.to(dtype)).reshape(-1).double()
    still(model)
    loss = nn.functional.binary_cross_entropy_with_logits(model(images.to(dtype)), masks.to(dtype))
    loss.backward()
    norms = {n: p.grad.double().norm().item() for n, p in model.named_parameters() if not n.startswith(UNUSED)}
    statistics = {n: b.double().norm().item() for n, b in model.named_buffers()
                  if b.dim() == 1 and not n.startswith(UNUSED)}
    return logits, loss.item(), norms, statistics


def digest(shapes):
    """FNV-1a over a line for each parameter: its name and its shape."""
    value = 0xCBF29CE484222325
    for byte in "".join(f"{name} {','.join(map(str, shape))}\n" for name, shape in shapes.items()).encode():
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return f"{value:016x}"


def some(values, count):
    """`count` of the values, at equal distances."""
    return [float(v) for v in values[:: values.numel() // count][:count]]


def substantial(norms):
    """The names of those that are more than rounding."""
    largest = max(norms.values())
    return sorted(name for name, norm in norms.items() if norm > VANISHING * largest)


def distance(single, exact, chosen):
    """The largest relative distance of some norms."""
    return max(abs(single[name] - exact[name]) / exact[name] for name in chosen)


def sibling(architecture, encoder, images):
    classes = {"unet": smp.Unet, "deeplabv3plus": smp.DeepLabV3Plus, "fpn": smp.FPN}
    model = classes[architecture](encoder, encoder_weights=None)
    shapes = initialise(model)
    logits = []
    for dtype in (torch.float32, torch.float64):
        model.to(dtype).eval()
        with torch.no_grad():
            logits.append(model(images.to(dtype)).reshape(-1).double())
    return {
        "architecture": architecture, "encoder": encoder, "parameters": len(shapes), "digest": digest(shapes),
        "logits": some(logits[1], 16), "fp32": float((logits[0] - logits[1]).abs().max()),
    }


def main():
    count = IMAGES * SIZE * SIZE * 3
    pixels = philox.uniforms(SEED, SIMULATION, 0, 0, count).reshape(IMAGES, SIZE, SIZE, 3)
    images = torch.from_numpy(pixels.astype(np.float64)).permute(0, 3, 1, 2)
    masks = torch.zeros(IMAGES, 1, SIZE, SIZE, dtype=torch.float64)
    masks[:, :, 16:40, 8:32] = 1
    golden = {}
    for name, make in NETWORKS.items():
        exact = compute(make(), torch.float64, images, masks)
        single = compute(make(), torch.float32, images, masks)
        shapes = initialise(make())
        with open(os.path.join(here, f"parameters_{name}.json"), "w") as file:
            file.write("{\n" + ",\n".join(f"  {json.dumps(n)}: {s}" for n, s in shapes.items()) + "\n}\n")
        chosen, watched = substantial(exact[2])[::9], substantial(exact[3])[::11]
        golden[name] = {
            "logits": some(exact[0], 64),
            "loss": exact[1],
            "gradients": {n: exact[2][n] for n in chosen},
            "statistics": {n: exact[3][n] for n in watched},
            # How far PyTorch's own fp32 is from that: the largest over the logits, and over the chosen norms in units of
            # each.
            "fp32": {
                "logits": float((single[0] - exact[0]).abs().max()),
                "loss": abs(single[1] - exact[1]),
                "gradients": distance(single[2], exact[2], chosen),
                "statistics": distance(single[3], exact[3], watched),
            },
        }
    with open(os.path.join(here, "networks.json"), "w") as file:
        json.dump(golden, file, indent=1)
        file.write("\n")
    with open(os.path.join(here, "networks_siblings.json"), "w") as file:
        rows = [json.dumps(sibling(architecture, encoder, images)) for architecture, encoder in SIBLINGS]
        file.write("[\n" + ",\n".join(rows) + "\n]\n")


if __name__ == "__main__":
    main()

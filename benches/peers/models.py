"""The networks of the benchmark: torchvision's with seeded random weights, and a small perceptron for the built-in table.

Random weights are right for speed and for comparing numbers, and say nothing about the quality of an explanation.
"""

import csv
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
PERCEPTRON = "breast_cancer_30_64_32_2"
BACKGROUND = 100


def photo():
    """The built-in photo at 224 x 224, `[H, W, 3]` of bytes."""
    from PIL import Image

    with Image.open(ROOT / "assets/photos/cat.png") as image:
        return np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))


def segments(pixels, count=70):
    """SLIC of about `count` segments, numbered without gaps."""
    from skimage.segmentation import slic

    tried = [slic(pixels, n_segments=n, compactness=10, start_label=0) for n in range(count, count + 40, 2)]
    nearest = min(tried, key=lambda labels: abs(len(np.unique(labels)) - count))
    return np.unique(nearest, return_inverse=True)[1].reshape(nearest.shape)


def normalized(pixels):
    """`[..., H, W, 3]` of bytes to `[..., 3, H, W]` as ImageNet networks take it."""
    scaled = (np.asarray(pixels, np.float32) / 255 - MEAN) / STD
    return np.ascontiguousarray(np.moveaxis(scaled, -1, -3), dtype=np.float32)


def table():
    """The built-in table, `[569, 30]`, and its classes."""
    with open(ROOT / "assets/table/breast_cancer.csv", newline="") as file:
        lines = list(csv.reader(file))[1:]
    return np.array([line[:-1] for line in lines], np.float32), np.array([line[-1] == "benign" for line in lines], int)


def network(name):
    """A torchvision network whose BatchNorm statistics come from pieces of the photo, or the perceptron."""
    import torch

    torch.manual_seed(0)
    if name == PERCEPTRON:
        return perceptron()
    import torchvision

    model = getattr(torchvision.models, name)(weights=None)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    if norms:
        draw, pixels = np.random.default_rng(0), photo()
        shown = np.stack([np.roll(pixels[:, :: draw.choice([-1, 1])], tuple(draw.integers(0, 224, 2)), (0, 1))
                          for _ in range(16)])
        for norm in norms:
            norm.momentum = None
        for module in model.modules():
            module.train(isinstance(module, torch.nn.BatchNorm2d))
        with torch.no_grad():
            model(torch.from_numpy(normalized(shown)))
    return model.eval()


def perceptron():
    import torch

    rows, classes = (torch.from_numpy(part) for part in table())
    layers = [torch.nn.Linear(30, 64), torch.nn.ReLU(), torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2)]
    net = torch.nn.Sequential(*layers)
    mean, std = rows.mean(0), rows.std(0)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3, weight_decay=1e-3)
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net((rows - mean) / std), classes, label_smoothing=0.05).backward()
        optimizer.step()
    with torch.no_grad():  # rows come in the table's units
        layers[0].weight /= std
        layers[0].bias -= layers[0].weight @ mean
    return net.eval()


def export(name, folder):
    """Writes NAME.onnx (opset 17, any batch size) unless it is there, and returns its path."""
    path = pathlib.Path(folder) / f"{name}.onnx"
    if not path.exists():
        import torch

        path.parent.mkdir(parents=True, exist_ok=True)
        example = torch.zeros(2, 30) if name == PERCEPTRON else torch.zeros(2, 3, 224, 224)
        batch = {"input": {0: "N"}, "output": {0: "N"}}
        torch.onnx.export(network(name), example, str(path), opset_version=17, input_names=["input"],
                          output_names=["output"], dynamic_axes=batch, dynamo=False)
    return path


def session(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)

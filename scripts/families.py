"""Exports the full networks of every family, with what ONNX Runtime answers to eight samples.

    python3 scripts/families.py FOLDER [name ...]
    WHYBOX_FAMILIES=FOLDER cargo test --release --test families_full

About 6 GB and an hour for all of them. Weights are random (seeded), normalisation statistics those of the samples, so that the
networks are as well conditioned as trained ones: ONNX Runtime's answers are compared with PyTorch's in float64, and where rounding
alone takes more than a fifth of the tests' tolerance, the script fails. Right for numbers, no good as explanations. Needs what
tests/fixtures/families/record.py needs. A network that an exporter refuses is named and left out.
"""

import copy
import gc
import sys
from functools import partial
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent.parent / "tests/fixtures/families"))

import numpy as np
import onnx
import torch
import torchvision.models as zoo

import record

# Of the largest number: a fifth of what the tests allow.
ROUNDING = 2e-5
PHOTO = (3, 224, 224)
# Name: what makes it, shape of a sample. GoogLeNet and Inception as their pretrained weights come: with a transformed input.
PRETRAINED = dict(aux_logits=False, transform_input=True, init_weights=False)
FAMILIES = {
    "squeezenet1_1": (zoo.squeezenet1_1, PHOTO),
    "resnet18": (zoo.resnet18, PHOTO),
    "resnet50": (zoo.resnet50, PHOTO),
    "resnext50_32x4d": (zoo.resnext50_32x4d, PHOTO),
    "wide_resnet50_2": (zoo.wide_resnet50_2, PHOTO),
    "vgg11": (zoo.vgg11, PHOTO),
    "vgg16_bn": (zoo.vgg16_bn, PHOTO),
    "densenet121": (zoo.densenet121, PHOTO),
    "googlenet": (partial(zoo.googlenet, **PRETRAINED), PHOTO),
    "inception_v3": (partial(zoo.inception_v3, **PRETRAINED), (3, 299, 299)),
    "mobilenet_v2": (zoo.mobilenet_v2, PHOTO),
    "mobilenet_v3_large": (zoo.mobilenet_v3_large, PHOTO),
    "mobilenet_v3_small": (zoo.mobilenet_v3_small, PHOTO),
    "shufflenet_v2_x1_0": (zoo.shufflenet_v2_x1_0, PHOTO),
    "mnasnet1_0": (zoo.mnasnet1_0, PHOTO),
    "efficientnet_b0": (zoo.efficientnet_b0, PHOTO),
    "regnet_x_400mf": (zoo.regnet_x_400mf, PHOTO),
    "regnet_y_400mf": (zoo.regnet_y_400mf, PHOTO),
    "convnext_tiny": (zoo.convnext_tiny, PHOTO),
    "vit_b_16": (zoo.vit_b_16, PHOTO),
}
# The two that most files have; the tiny ones' test covers all opsets of every family, and here a few have others too.
EXPORTS = [("script", 17), ("dynamo", 18)]
FURTHER = {
    "squeezenet1_1": [("script", 11), ("script", 14), ("dynamo", 20)],
    "resnet18": [("script", 11), ("dynamo", 23)],
    "mobilenet_v3_small": [("script", 11), ("script", 14), ("dynamo", 20), ("dynamo", 23)],
    "shufflenet_v2_x1_0": [("script", 11), ("dynamo", 20)],
    "densenet121": [("script", 14), ("dynamo", 20)],
    "convnext_tiny": [("script", 14), ("dynamo", 20)],
    "vit_b_16": [("script", 14), ("dynamo", 20), ("dynamo", 23)],
}


@torch.no_grad()
def in_doubles(network, x):
    return copy.deepcopy(network).double()(x.double()).numpy()


def rounding(found, exact, name):
    """How far float32 is from float64, of the largest number: what a network does to a rounding error."""
    apart = np.abs(found - exact).max() / np.abs(exact).max()
    assert apart < ROUNDING, f"{name} is ill-conditioned: rounding alone makes {apart:.1e}"
    return apart


def main(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    unknown = set(names) - set(FAMILIES)
    if unknown:
        sys.exit(f"there is no {', '.join(sorted(unknown))}; there are: {', '.join(FAMILIES)}")
    for name in names or FAMILIES:
        make, shape = FAMILIES[name]
        x = torch.from_numpy(record.inputs(shape))
        network = record.seeded(partial(make, weights=None), x)
        exact = in_doubles(network, x)
        for exporter, opset in EXPORTS + FURTHER.get(name, []):
            path = folder / f"{name}_{exporter}_{opset}.onnx"
            path.with_name(path.name + ".data").unlink(missing_ok=True)
            try:
                model = record.export(network, x, exporter, opset)
            except Exception as error:  # noqa: BLE001, whatever an exporter throws is its answer
                print(f"{path.stem}: the exporter refuses: {record.reason(error)}", flush=True)
                continue
            # Larger files cannot embed their weights; here both forms occur.
            where = dict(save_as_external_data=True, location=path.name + ".data") if exporter == "dynamo" else {}
            onnx.save(model, path, **where)
            del model
            found = record.checked(record.answers(str(path), x.numpy()), path.stem)
            print(f"{path.stem}: {path.stat().st_size} bytes, rounding {rounding(found, exact, path.stem):.1e}", flush=True)
            np.save(path.with_suffix(".npy"), found)
            gc.collect()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])

"""Writes the built-in table, its network and the grouping file; see README.md. Run: python train.py"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
HIDDEN = (32, 16)

torch.manual_seed(0)
torch.set_num_threads(1)
data = load_breast_cancer()
names = [str(name) for name in data.feature_names]
classes = [str(name) for name in data.target_names]  # malignant, benign

# The table, every number in its shortest form.
lines = [",".join([*names, "diagnosis"])]
for row, target in zip(data.data, data.target):
    lines.append(",".join([*(np.format_float_positional(x, trim="-") for x in row), classes[target]]))
(HERE / "breast_cancer.csv").write_text("\n".join(lines) + "\n")
(HERE / "breast_cancer_classes.txt").write_text("\n".join(classes) + "\n")

# The network.
train, test = train_test_split(np.arange(len(data.data)), test_size=0.25, random_state=0, stratify=data.target)
mean, scale = data.data[train].mean(axis=0), data.data[train].std(axis=0)
x = torch.tensor((data.data - mean) / scale, dtype=torch.float32)
y = torch.tensor(data.target)
sizes = [x.shape[1], *HIDDEN, len(classes)]
layers = [torch.nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]
model = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
for epoch in range(120):
    for batch in torch.randperm(len(train)).split(32):
        rows = train[batch.numpy()]
        # Noise keeps so small a table from being learnt by heart.
        loss = torch.nn.functional.cross_entropy(model(x[rows] + 0.3 * torch.randn_like(x[rows])), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
with torch.no_grad():
    right = (model(x).argmax(dim=1) == y).numpy()
print(f"accuracy: training rows {right[train].mean():.4f}, other rows {right[test].mean():.4f}")

# ONNX: the network takes the table's own units.
weights, nodes, value = [], [], "row"
for i, layer in enumerate(layers):
    w, b = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    if i == 0:
        w, b = w / scale, b - (w / scale) @ mean
    weights += [
        numpy_helper.from_array(w.astype(np.float32), f"w{i}"),
        numpy_helper.from_array(b.astype(np.float32), f"b{i}"),
    ]
    last = i == len(layers) - 1
    out = "logits" if last else f"h{i}"
    nodes.append(helper.make_node("Gemm", [value, f"w{i}", f"b{i}"], [out], f"layer{i}", transB=1))
    if not last:
        nodes.append(helper.make_node("Relu", [out], [f"r{i}"], f"relu{i}"))
        value = f"r{i}"
graph = helper.make_graph(
    nodes,
    "breast_cancer",
    [helper.make_tensor_value_info("row", TensorProto.FLOAT, ["N", len(names)])],
    [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(classes)])],
    weights,
)
document = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(document)
onnx.save(document, HERE / "breast_cancer_mlp.onnx")

# Twenty groups: for each of the ten measures, its size (mean and worst) and its spread (error).
groups = []
for measure in [name.removeprefix("mean ") for name in names if name.startswith("mean ")]:
    groups.append((measure, [f"mean {measure}", f"worst {measure}"]))
    groups.append((f"{measure} error", [f"{measure} error"]))
assert sorted(name for _, members in groups for name in members) == sorted(names) and len(groups) == 20
text = "# The table's 30 features in 20 groups: each measure (mean and worst), and its error.\n"
for name, members in groups:
    quoted = ", ".join(f'"{member}"' for member in members)
    text += f'\n[[group]]\nname = "{name}"\nfeatures = [{quoted}]\n'
(HERE / "breast_cancer_groups20.toml").write_text(text)

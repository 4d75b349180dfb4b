"""Forward passes a second: whybox's CPU engine against ONNX Runtime, in turn, in one run.

    pip install onnxruntime numpy            # and torch, torchvision, onnx to export the networks
    cargo build --release --example forward_rate
    python benches/peers/forward.py resnet18.onnx [more.onnx ...] [--rounds 5] [--export resnet18 squeezenet1_1 ...]

`--export NAME` first writes NAME.onnx from torchvision with random weights. Each round times ONNX Runtime at its best batch
size and then whybox; medians over the rounds and their ratio are printed.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import time

import numpy as np
import onnxruntime as ort

ROOT = pathlib.Path(__file__).resolve().parents[2]


def export(name):
    import torch
    import torchvision

    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None).eval()
    example = torch.randn(2, 3, 224, 224)
    batch = {"input": {0: "N"}, "output": {0: "N"}}
    torch.onnx.export(model, example, f"{name}.onnx", opset_version=17, input_names=["input"],
                      output_names=["output"], dynamic_axes=batch, dynamo=False)
    return f"{name}.onnx"


def session(path, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def ort_rate(run, batch, seconds):
    feed = {run.get_inputs()[0].name: np.random.default_rng(0).standard_normal((batch, 3, 224, 224)).astype(np.float32)}
    run.run(None, feed)
    start, passes = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        run.run(None, feed)
        passes += batch
    return passes / (time.perf_counter() - start)


def whybox_rate(path, seconds):
    program = ROOT / "target/release/examples/forward_rate"
    output = subprocess.run([program, path, str(seconds)], capture_output=True, text=True, check=True).stdout
    return float(output.split()[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--export", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    for path in [export(name) for name in args.export] + args.models:
        run = session(path, args.threads)
        best = max((1, 8, 32), key=lambda batch: ort_rate(run, batch, args.seconds / 2))
        peers, ours = [], []
        for _ in range(args.rounds):
            peers.append(ort_rate(run, best, args.seconds))
            ours.append(whybox_rate(path, args.seconds))
        peer, own = statistics.median(peers), statistics.median(ours)
        print(f"{pathlib.Path(path).stem}: ONNX Runtime {ort.__version__} {peer:.1f}/s (batch {best}), "
              f"whybox {own:.1f}/s, ratio {own / peer:.2f}", flush=True)


if __name__ == "__main__":
    main()

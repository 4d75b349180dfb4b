#!/usr/bin/env python3
"""Train the built-in CIFAR-10 network and export it as ONNX.

    python train.py --data train.zip --out run --epochs 30      # train
    python train.py --data train.zip --out run --resume         # go on after an interruption
    python train.py --out run --export cifar10_resnet.onnx      # write the ONNX file

--data is one of
  * a zip file or a folder holding one folder per class (airplane/, automobile/, ...)
    with the 50,000 training pictures as JPEG or PNG,
  * a folder with the cache train_x.npy (uint8, N x 32 x 32 x 3) and train_y.npy (uint8, N).
Decoded pictures are cached in --out.

2,000 training pictures (200 per class, chosen by a fixed seed) are held out; they choose the
checkpoint.  --test takes a file in the CIFAR-10 binary layout (1 label byte, then 3 x 1024 bytes
red, green, blue per picture; may be gzipped) and is only used by --export, to report accuracy.

Needs torch, numpy, pillow, onnx and (for the check after the export) onnxruntime.
"""
import argparse
import copy
import gzip
import io
import json
import os
import time
import zipfile

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)


# ---------------------------------------------------------------- network

class ConvBn(nn.Module):
    """3x3 convolution and batch norm; the ReLU is applied by the caller."""

    def __init__(self, c_in, c_out, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x):
        return self.bn(self.conv(x))

    def folded(self):
        """Weight and bias of the single convolution equal to conv + bn at inference."""
        scale = self.bn.weight / torch.sqrt(self.bn.running_var + self.bn.eps)
        return self.conv.weight * scale[:, None, None, None], self.bn.bias - self.bn.running_mean * scale


class Net(nn.Module):
    """stem -> 3 stages of (stride-2 convolution, residual block) -> global average -> linear."""

    def __init__(self, widths=(32, 48, 96, 160)):
        super().__init__()
        self.widths = tuple(widths)
        self.stem = ConvBn(3, widths[0])
        self.stages = nn.ModuleList(
            nn.ModuleList([ConvBn(a, b, 2), ConvBn(b, b), ConvBn(b, b)])
            for a, b in zip(widths[:-1], widths[1:])
        )
        self.head = nn.Linear(widths[-1], 10)

    def forward(self, x):
        x = F.relu(self.stem(x))
        for down, c1, c2 in self.stages:
            x = F.relu(down(x))
            x = F.relu(x + c2(F.relu(c1(x))))
        return self.head(x.mean((2, 3)))

    def macs(self):
        """Multiply-adds per 32 x 32 picture."""
        total, side = 3 * self.widths[0] * 9 * 32 * 32, 32
        for a, b in zip(self.widths[:-1], self.widths[1:]):
            side //= 2
            total += (a * b + 2 * b * b) * 9 * side * side
        return total + self.widths[-1] * 10


# ---------------------------------------------------------------- data

def load_train(data, cache):
    """(uint8 N x 3 x 32 x 32, int64 N) from a zip, a folder per class or an .npy cache."""
    for folder in filter(None, (data, cache)):
        fx, fy = os.path.join(folder, "train_x.npy"), os.path.join(folder, "train_y.npy")
        if os.path.exists(fx) and os.path.exists(fy):
            x, y = np.load(fx), np.load(fy)
            break
    else:
        from PIL import Image
        if os.path.isdir(data):
            names = [os.path.join(d, f) for d, _, fs in os.walk(data) for f in fs]
            read = lambda n: open(n, "rb").read()
        else:
            archive = zipfile.ZipFile(data)
            names, read = archive.namelist(), archive.read
        names = sorted(n for n in names if n.lower().endswith((".jpg", ".jpeg", ".png")))
        x = np.stack([np.asarray(Image.open(io.BytesIO(read(n))).convert("RGB")) for n in names])
        y = np.array([CLASSES.index(n.replace(os.sep, "/").split("/")[-2]) for n in names], np.uint8)
        np.save(os.path.join(cache, "train_x.npy"), x)
        np.save(os.path.join(cache, "train_y.npy"), y)
    return torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(y.astype(np.int64))


def load_test(path):
    raw = (gzip.open if path.endswith(".gz") else open)(path, "rb").read()
    raw = np.frombuffer(raw, np.uint8).reshape(-1, 3073)
    return torch.from_numpy(raw[:, 1:].reshape(-1, 3, 32, 32).copy()), torch.from_numpy(raw[:, 0].astype(np.int64))


def split(y, per_class=200):
    """Indices of training and validation pictures."""
    g = torch.Generator().manual_seed(2024)
    order = torch.randperm(len(y), generator=g)
    val = torch.cat([order[y[order] == c][:per_class] for c in range(10)])
    mask = torch.ones(len(y), dtype=torch.bool)
    mask[val] = False
    return mask.nonzero().squeeze(1), val


def normalise(x):
    """uint8 N x 3 x H x W -> normalised float32."""
    mean = torch.tensor(MEAN).view(1, 3, 1, 1) * 255
    std = torch.tensor(STD).view(1, 3, 1, 1) * 255
    return x.float().sub_(mean).div_(std)


class Batches:
    """Augmented training batches; all work is done on whole batches."""

    def __init__(self, x, y, args):
        self.y, self.args, self.pad = y, args, args.translate
        # float normalising is left to the batch; the reflect padding is done once
        p = self.pad
        idx = torch.arange(-p, 32 + p).abs()
        idx = torch.where(idx > 31, 62 - idx, idx)
        self.x = x[:, :, idx][:, :, :, idx].contiguous()

    def epoch(self, seed, skip, side):
        """Yields the batches of one epoch, beginning with number `skip`, at `side` x `side`."""
        a, n = self.args, len(self.y)
        g = torch.Generator().manual_seed(seed)
        order = torch.randperm(n, generator=g)
        for b in range(skip, n // a.batch):
            i = order[b * a.batch:(b + 1) * a.batch]
            k = len(i)
            # random shift of up to `translate` pixels and random mirror, as one gather
            rows = torch.randint(0, 2 * self.pad + 1, (k, 1)) + torch.arange(32)
            cols = torch.randint(0, 2 * self.pad + 1, (k, 1)) + torch.arange(32)
            flip = torch.rand(k, 1) < 0.5
            cols = torch.where(flip, cols.flip(1), cols)
            x = self.x[i[:, None, None, None], torch.arange(3)[None, :, None, None],
                       rows[:, None, :, None], cols[:, None, None, :]]
            x = normalise(x)
            # brightness and contrast, mildly
            if a.jitter > 0:
                gain = 1 + a.jitter * (2 * torch.rand(k, 1, 1, 1) - 1)
                x = x * gain + a.jitter * (2 * torch.rand(k, 1, 1, 1) - 1)
            # one square of `cutout` pixels is set to the mean colour
            if a.cutout > 0:
                r = torch.arange(32)[None, :] - torch.randint(0, 33 - a.cutout, (k, 1))
                c = torch.arange(32)[None, :] - torch.randint(0, 33 - a.cutout, (k, 1))
                r, c = (r >= 0) & (r < a.cutout), (c >= 0) & (c < a.cutout)
                x = x.masked_fill((r[:, :, None] & c[:, None, :])[:, None], 0.0)
            if side != 32:
                x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
            yield x.contiguous(memory_format=torch.channels_last), self.y[i]


@torch.no_grad()
def predict(model, x, mirror=False):
    model.eval()
    out = []
    for part in normalise(x).split(500):
        part = part.contiguous(memory_format=torch.channels_last)
        out.append(model(part) + model(part.flip(3)) if mirror else model(part))
    return torch.cat(out)


def accuracy(logits, y):
    return (logits.argmax(1) == y).float().mean().item()


# ---------------------------------------------------------------- training

def learning_rate(progress, args):
    """Linear warm-up to --lr during the first --warmup of the run, then linearly down to zero."""
    if progress < args.warmup:
        return args.lr * (0.1 + 0.9 * progress / args.warmup)
    return args.lr * max(0.0, (1 - progress) / (1 - args.warmup))


def train(args):
    os.makedirs(args.out, exist_ok=True)
    last = os.path.join(args.out, "last.pt")
    x, y = load_train(args.data, args.out)
    tr, va = split(y)
    batches, xv, yv = Batches(x[tr], y[tr], args), x[va], y[va]
    per_epoch = len(tr) // args.batch
    total = args.epochs * per_epoch

    torch.manual_seed(args.seed)
    model = Net(args.widths).to(memory_format=torch.channels_last)
    ema = copy.deepcopy(model)
    decay = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    opt = torch.optim.SGD([{"params": decay, "weight_decay": args.weight_decay},
                           {"params": plain, "weight_decay": 0.0}],
                          lr=args.lr, momentum=0.9, nesterov=True)
    # `progress` runs from 0 to 1 and is kept in the checkpoint, so that a run resumed with another
    # --epochs spreads what is left of the schedule over the epochs that are left.  With --minutes the
    # schedule follows the clock instead (for a machine whose speed varies): the run ends when that
    # many minutes have been spent since this start, however many epochs they allow.
    step, best, seconds, progress = 0, 0.0, 0.0, 0.0
    if args.resume and os.path.exists(last):
        state = torch.load(last)
        model.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        opt.load_state_dict(state["opt"])
        step, best, seconds, progress = (state[k] for k in ("step", "best", "seconds", "progress"))
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {model.macs() / 1e6:.1f} M multiply-adds, "
          f"{per_epoch} steps per epoch, starting at step {step} of {total}", flush=True)

    loss_fn = nn.CrossEntropyLoss(label_smoothing=args.smoothing)
    delta = (1 - progress) / max(1, total - step)
    clock = since_save = last_step = time.time()
    deadline = clock + 60 * args.minutes if args.minutes else None

    def save():
        torch.save({"model": model.state_dict(), "ema": ema.state_dict(), "opt": opt.state_dict(), "step": step,
                    "best": best, "seconds": seconds + time.time() - clock, "progress": progress,
                    "widths": model.widths}, last + ".tmp")
        os.replace(last + ".tmp", last)

    while (progress < 1) if deadline else (step < total):
        epoch, skip = divmod(step, per_epoch)
        # the first part of the run works on shrunken pictures, which costs about half
        side = 24 if progress < args.small_until else 32
        torch.manual_seed(args.seed + 1000 * epoch + skip)
        model.train()
        seen, loss_sum, t0 = 0, 0.0, time.time()
        for xb, yb in batches.epoch(args.seed + epoch, skip, side):
            for group in opt.param_groups:
                group["lr"] = learning_rate(progress, args)
            loss = loss_fn(model(xb), yb)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
            if deadline:
                now = time.time()
                delta = (1 - progress) * min(1.0, (now - last_step) / max(1e-9, deadline - last_step))
                last_step = now
            step, progress = step + 1, progress + delta
            seen, loss_sum = seen + len(yb), loss_sum + loss.item() * len(yb)
            # moving average of weights and batch-norm statistics
            with torch.no_grad():
                d = min(args.ema, (1 + step) / (10 + step))
                e, m = ema.state_dict(), model.state_dict()
                keys = [k for k in e if e[k].dtype.is_floating_point]
                torch._foreach_lerp_([e[k] for k in keys], [m[k] for k in keys], 1 - d)
            if time.time() - since_save > 60:
                save()
                since_save = time.time()
            if deadline and progress >= 1:
                break
        acc_ema, acc_raw = accuracy(predict(ema, xv), yv), accuracy(predict(model, xv), yv)
        if acc_ema >= best:
            best = acc_ema
            torch.save({"ema": ema.state_dict(), "widths": model.widths, "val": best, "epoch": epoch + 1},
                       os.path.join(args.out, "best.pt"))
        save()
        since_save = time.time()
        row = dict(epoch=epoch + 1, side=side, loss=round(loss_sum / seen, 4), val=round(acc_ema, 4),
                   val_raw=round(acc_raw, 4), best=round(best, 4), lr=round(learning_rate(progress, args), 4),
                   img_per_s=round(seen / (time.time() - t0)), minutes=round((seconds + time.time() - clock) / 60, 1))
        print(json.dumps(row), flush=True)
        with open(os.path.join(args.out, "log.jsonl"), "a") as f:
            f.write(json.dumps(row) + "\n")


# ---------------------------------------------------------------- export

def build_onnx(model):
    """The network as an ONNX graph: batch norm folded, weights stored as float16 and cast to float32."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    nodes, inits = [], []

    def weight(name, t):
        inits.append(numpy_helper.from_array(t.detach().numpy().astype(np.float16), name + ".f16"))
        nodes.append(helper.make_node("Cast", [name + ".f16"], [name], to=TensorProto.FLOAT, name=name + ".cast"))

    def conv(layer, name, src):
        w, b = layer.folded()
        weight(name + ".weight", w)
        weight(name + ".bias", b)
        s = layer.conv.stride[0]
        nodes.append(helper.make_node("Conv", [src, name + ".weight", name + ".bias"], [name + ".out"], name=name,
                                      kernel_shape=[3, 3], strides=[s, s], pads=[1, 1, 1, 1]))
        return name + ".out"

    def simple(op, inputs, out, **kw):
        nodes.append(helper.make_node(op, inputs, [out], name=out, **kw))
        return out

    x = simple("Relu", [conv(model.stem, "stem", "input")], "stem.relu")
    for i, (down, c1, c2) in enumerate(model.stages):
        x = simple("Relu", [conv(down, f"stage{i}.down", x)], f"stage{i}.down.relu")
        h = simple("Relu", [conv(c1, f"stage{i}.conv1", x)], f"stage{i}.conv1.relu")
        h = simple("Add", [x, conv(c2, f"stage{i}.conv2", h)], f"stage{i}.add")
        x = simple("Relu", [h], f"stage{i}.relu")
    x = simple("Flatten", [simple("GlobalAveragePool", [x], "pool")], "flat", axis=1)
    weight("head.weight", model.head.weight)
    weight("head.bias", model.head.bias)
    simple("Gemm", [x, "head.weight", "head.bias"], "logits", transB=1)
    graph = helper.make_graph(
        nodes, "cifar10_resnet",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])], inits)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="train.py")
    proto.ir_version = 8
    onnx.checker.check_model(proto, full_check=True)
    return proto


def export(args):
    best = torch.load(os.path.join(args.out, "best.pt"))
    model = Net(best["widths"])
    model.load_state_dict(best["ema"])
    model.eval()
    proto = build_onnx(model)
    data = proto.SerializeToString()
    with open(args.export + ".tmp", "wb") as f:
        f.write(data)
    os.replace(args.export + ".tmp", args.export)
    print(f"{args.export}: {len(data)} bytes, {sum(p.numel() for p in model.parameters())} parameters in training, "
          f"{model.macs() / 1e6:.1f} M multiply-adds, epoch {best['epoch']}, validation {best['val']:.4f}")

    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(args.export, options, providers=["CPUExecutionProvider"])
    run = lambda x: torch.from_numpy(session.run(["logits"], {"input": normalise(x).numpy()})[0])
    sets = {}
    if args.data or os.path.exists(os.path.join(args.out, "train_x.npy")):
        x, y = load_train(args.data, args.out)
        va = split(y)[1]
        sets["validation"] = x[va], y[va]
    if args.test:
        sets["test"] = load_test(args.test)
    for name, (x, y) in sets.items():
        a, b = run(x), predict(model, x)
        p = a.softmax(1)
        print(f"{name}: {len(y)} pictures, accuracy of the ONNX file {accuracy(a, y):.4f} (torch {accuracy(b, y):.4f}), "
              f"largest logit difference {(a - b).abs().max():.5f}, mean top probability {p.max(1).values.mean():.3f}, "
              f"cross-entropy {F.cross_entropy(a, y):.3f}")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--data", help="zip, folder per class, or folder with the .npy cache")
    ap.add_argument("--test", help="test pictures in the CIFAR binary layout (for --export)")
    ap.add_argument("--out", default="run", help="folder for checkpoints and log")
    ap.add_argument("--export", metavar="FILE", help="write the best checkpoint as ONNX instead of training")
    ap.add_argument("--resume", action="store_true")
    ap.add_argument("--epochs", type=int, default=30)
    ap.add_argument("--minutes", type=float, help="let the schedule follow the clock and end after this time")
    ap.add_argument("--batch", type=int, default=256)
    ap.add_argument("--widths", type=int, nargs=4, default=(32, 48, 96, 160))
    ap.add_argument("--lr", type=float, default=0.25)
    ap.add_argument("--warmup", type=float, default=0.15, help="share of the run")
    ap.add_argument("--weight-decay", type=float, default=5e-4)
    ap.add_argument("--smoothing", type=float, default=0.05, help="label smoothing")
    ap.add_argument("--ema", type=float, default=0.998, help="decay of the weight average per step")
    ap.add_argument("--translate", type=int, default=3)
    ap.add_argument("--cutout", type=int, default=8)
    ap.add_argument("--jitter", type=float, default=0.15)
    ap.add_argument("--small-until", type=float, default=0.35, help="share of the run done at 24 x 24")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--seed", type=int, default=1)
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    export(args) if args.export else train(args)


if __name__ == "__main__":
    main()

"""whybox against the fastest settings of shap, lime, captum and shapiq, in turn, in one run.

    pip install -r benches/peers/requirements.txt
    python benches/peers/run.py                       # every row, three rounds, writes docs/benchmarks.md
    python benches/peers/run.py --rows resnet18 cold --rounds 5
    python benches/peers/run.py --quick               # two rounds of a quarter of the samples, written to standard output

Each row first tries the peers' settings on few samples. Then rounds time the fastest one and whybox in turn: same network, same
picture or table, same segments, same number of samples, the same kind of output. Networks are exported to target/peers/ unless
they are there (`--models DIR`: another folder with NAME.onnx). Raw times: target/peers/results.json.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import models
import peers
from whybox import PROGRAM, Whybox, build, version

ROOT = models.ROOT
FOLDER = ROOT / "target/peers"
PHOTO_ROWS = {"resnet18": 2.0, "squeezenet1_1": 2.0, "vgg11_bn": 3.0, "mobilenet_v2": 1.5}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS), metavar="ROW",
                        help=f"some of {', '.join(ROWS)}; the document keeps the others as they were last measured here")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=1000, help="of the photographs")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the peers")
    parser.add_argument("--models", type=pathlib.Path, default=FOLDER)
    parser.add_argument("--export", action="store_true", help="only write the networks")
    parser.add_argument("--note", default="", help="a sentence on the circumstances for the document")
    args = parser.parse_args()
    if args.export:
        for name in [*PHOTO_ROWS, models.PERCEPTRON]:
            print(models.export(name, args.models))
        return
    if args.quick:
        args.rounds, args.samples = 2, 250
    FOLDER.mkdir(parents=True, exist_ok=True)
    build()
    known, start = earlier(args), os.getloadavg()[0]
    results = list(known.values())
    for name in args.rows:
        print(name, flush=True)
        result = ROWS[name](args, name)
        result["row"], result["load"] = name, os.getloadavg()[0]
        known[name] = result
        results = [known[row] for row in ROWS if row in known]
        print(f"  {summary(result)}", flush=True)
        raw = {"when": datetime.datetime.now().isoformat(timespec="seconds"), "machine": machine(), "threads": args.threads,
               "versions": versions(), "results": results}
        (FOLDER / "results.json").write_text(json.dumps(raw, indent=1))
    text = document(args, results, start)
    if args.quick:
        print(text)
    else:
        (ROOT / "docs/benchmarks.md").write_text(text)
    missed = [result["row"] for result in results if result["ratio"] < result["least"] or not result.get("accurate", True)]
    print(f"below target: {', '.join(missed) or 'none'}")


def earlier(args):
    """Rows that were measured before with the same packages on the same machine, and are not asked for now."""
    path = FOLDER / "results.json"
    if args.quick or not path.exists():
        return {}
    raw = json.loads(path.read_text())
    same = (raw["machine"], raw["threads"], raw["versions"]) == (machine(), args.threads, versions())
    return {result["row"]: result for result in raw["results"] if same and result["row"] not in args.rows}


def alternate(rounds, theirs, ours):
    """Seconds of each side; both have run before."""
    found = ([], [])
    for seed in range(1, rounds + 1):
        for side, run in zip(found, (theirs, ours)):
            side.append(run(seed))
    return found


def timed(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def outcome(what, setting, times, least, **more):
    peer, own = (statistics.median(side) for side in times)
    return {"what": what, "peer": setting, "peer_seconds": peer, "whybox_seconds": own, "ratio": peer / own,
            "ratios": [a / b for a, b in zip(*times)], "times": times, "least": least, **more}


def summary(result):
    near = f", coefficients apart {result['apart']:.1e}" if "apart" in result else ""
    return (f"{result['what']}: {result['peer']} {result['peer_seconds']:.4g} s, whybox {result['whybox_seconds']:.4g} s, "
            f"ratio {result['ratio']:.2f} (least {result['least']}){near}")


class Photo:
    """The built-in photo, its segments and a network that looks at them."""

    def __init__(self, args, name):
        from PIL import Image

        self.name, self.path = name, models.export(name, args.models)
        self.pixels = models.photo()
        self.labels = models.segments(self.pixels)
        picture, labels = FOLDER / "photo.png", FOLDER / "labels.png"
        Image.fromarray(self.pixels).save(picture)
        Image.fromarray(self.labels.astype(np.uint8)).save(labels)
        self.run = models.session(self.path, args.threads)
        self.target = int(self.logits(self.pixels[None])[0].argmax())
        self.whybox = Whybox("peer_image", self.path, picture, labels, self.target)

    def logits(self, pictures):
        return self.run.run(None, {self.run.get_inputs()[0].name: models.normalized(pictures)})[0]

    def apart(self, samples=200):
        """Relative L2 difference of LIME's coefficients on the same masks: ONNX Runtime and scikit-learn against whybox."""
        from sklearn.linear_model import Ridge

        found = self.whybox.ask("check", samples, 7)
        masks = np.array([[bit == "1" for bit in row] for row in found["masks"]])
        answers = []
        for first in range(0, samples, 25):
            shown = masks[first:first + 25][:, self.labels][..., None]
            answers.append(self.logits(np.where(shown, self.pixels, np.uint8(128)))[:, self.target])
        share = masks.mean(1)
        weights = np.sqrt(np.exp(-((1 - np.sqrt(share)) ** 2) / 0.25**2))
        answers = np.concatenate(answers).astype(float)
        return judged(lambda y: Ridge(alpha=1.0).fit(masks.astype(float), y, sample_weight=weights).coef_, answers, found["values"])


def judged(fit, answers, found):
    """Relative L2 difference of `found` from the fit to `answers`; answers that belong to the neighbouring rows have to show."""
    def relative(expected):
        return float(np.linalg.norm(np.subtract(found, expected)) / np.linalg.norm(expected))

    if relative(fit(np.roll(answers, 1))) < 1e-3:
        raise RuntimeError("the comparison does not notice wrong answers")
    return relative(fit(answers))


def photo_row(args, name):
    photo = Photo(args, name)
    settings = peers.image_settings(photo.path, models.network(name), photo.pixels, photo.labels, photo.target, args.threads)
    (setting, explain), = peers.fastest(settings, 64)
    parts = photo.whybox.ask("lime", args.samples, 0)
    times = alternate(args.rounds, lambda seed: timed(explain, args.samples, seed),
                      lambda seed: photo.whybox.ask("lime", args.samples, seed)["seconds"])
    apart = photo.apart()
    photo.whybox.close()
    what = f"LIME, photo, {name}, {photo.labels.max() + 1} segments, {args.samples} samples, logit"
    return outcome(what, setting, times, PHOTO_ROWS[name], apart=apart, accurate=apart < 1e-3,
                   shared_steps=parts["shared_steps"], macs_kept=parts["macs_kept"])


def growth_row(args, name):
    """How seconds grow from N to 10 N samples: the "peer" is ten times the time for N, scaled so that 10 is no gain."""
    photo = Photo(args, "resnet18")
    samples = args.samples
    cap = 4096 if name.endswith("4gib") else 1024
    photo.whybox.ask("memory", cap)
    photo.whybox.ask("lime", samples, 0)
    few, many = alternate(1 if args.quick else args.rounds, lambda seed: photo.whybox.ask("lime", samples, seed)["seconds"],
                          lambda seed: photo.whybox.ask("lime", 10 * samples, seed)["seconds"])
    result = {}
    if cap == 1024 and not args.quick:
        photo.whybox.ask("lime", 100 * samples, 0)
        result = {"peak_mib": photo.whybox.peak_mib(), "peak_of": f"explains ResNet-18 with {100 * samples} samples", "peak_most": 1536}
    photo.whybox.close()
    times = ([10 * seconds for seconds in few], many)
    what = f"LIME, photo, resnet18, {10 * samples} samples, --memory {cap >> 10}GiB"
    result |= outcome(what, f"10 × whybox's {samples} samples", times, 10 / 9.5)
    return result | {"grows": statistics.median(many) / statistics.median(few)}


def forward_row(args, _name):
    path = models.export("resnet18", args.models)
    (setting, passes), = peers.fastest(peers.forward_settings(path, args.threads), 64)
    photo = Photo(args, "resnet18")
    seconds = 1 if args.quick else 3
    count = 64
    times = alternate(args.rounds, lambda seed: timed(passes, 2 * count, seed) / (2 * count),
                      lambda _seed: 1 / photo.whybox.ask("forward", seconds)["rate"])
    photo.whybox.close()
    return outcome("one forward pass of resnet18, no masks", setting, times, 1.15)


def table_whybox(args):
    path = models.export(models.PERCEPTRON, args.models)
    return path, models.table()[0], Whybox("peer_table", path)


def few_more(args):
    """Rounds of the short rows: they cost little, and scatter more."""
    return args.rounds if args.quick else max(args.rounds, 7)


CALLS = 5

# Threads of OpenBLAS and ONNX Runtime spin for a while after their work.
PAUSE_SECONDS = 0.3


def settled(call):
    """The median of some calls one after the other, for either side of a short row: the first finds the caches, and sleeping
    threads, as the other side left them. Before them a pause, so that neither side's idle threads cost the other a core."""
    def calls(seed):
        time.sleep(PAUSE_SECONDS)
        return statistics.median(call(seed + 1000 * repeat) for repeat in range(CALLS))
    return calls


def shap_row(args, name):
    instances = 50 if name.endswith("50") else 1
    path, rows, whybox = table_whybox(args)
    (setting, explain), = peers.fastest(peers.shap_settings(path, rows, args.threads, instances), 2048 if instances == 1 else 256)
    whybox.ask("shap", instances, 0)
    whybox.ask("triples", instances, 0)
    triples = []

    def ours(seed):
        triples.append(whybox.ask("triples", instances, seed)["seconds"])
        return whybox.ask("shap", instances, seed)["seconds"]

    def theirs(seed):
        return timed(explain, 2048, seed)

    if instances == 1:
        times = alternate(few_more(args), settled(theirs), settled(ours))
    else:
        times = alternate(args.rounds, theirs, ours)
    apart = game_apart(path, rows, whybox, args.threads)
    whybox.close()
    what = f"Kernel SHAP, table, 30 features, {models.BACKGROUND} background rows, 2,048 coalitions, instances: {instances}"
    least = 8.0 if instances == 1 else 10.0
    result = outcome(what, setting, times, least, apart=apart, accurate=apart < 1e-3)
    return result | {"default_seconds": statistics.median(triples)}


def game_apart(path, rows, whybox, threads, coalitions=400):
    """Relative L2 difference of Shapley regressions on the same coalitions, values by ONNX Runtime and by whybox."""
    found = whybox.ask("check", coalitions, 3)
    masks = np.array([[bit == "1" for bit in row] for row in found["masks"]])
    predict = peers.table_function(path, threads)
    background, instance = rows[:models.BACKGROUND], rows[models.BACKGROUND]
    values = [predict(np.where(mask, instance, background))[:, 1].mean(dtype=float) for mask in masks]
    sizes = masks.sum(1)
    inside = (sizes > 0) & (sizes < 30)
    roots = np.sqrt(1 / (sizes[inside] * (30 - sizes[inside])))
    design = np.column_stack([masks[inside], np.ones(inside.sum())]) * roots[:, None]

    def fit(answers):
        return np.linalg.lstsq(design, np.array(answers)[inside] * roots, rcond=None)[0][:30]

    return judged(fit, values, fit(found["values"]))


def lime_row(args, _name):
    from sklearn.linear_model import Ridge

    path, rows, whybox = table_whybox(args)
    (setting, explain), = peers.fastest(peers.lime_settings(path, rows, args.threads), 5000)
    whybox.ask("lime", 5000, 0)
    times = alternate(few_more(args), settled(lambda seed: timed(explain, 5000, seed)),
                      settled(lambda seed: whybox.ask("lime", 5000, seed)["seconds"]))
    found = whybox.ask("neighbours", 500, 3)
    whybox.close()
    data, codes = np.array(found["data"]), np.array(found["codes"])
    distances = np.linalg.norm(data - data[0], axis=1)
    weights = np.sqrt(np.exp(-(distances**2) / (0.75**2 * 30)))
    answers = peers.table_function(path, args.threads)(codes)[:, 1].astype(float)
    apart = judged(lambda y: Ridge(alpha=1.0).fit(data, y, sample_weight=weights).coef_, answers, found["values"])
    return outcome("LIME, table, 30 features, 5,000 samples", setting, times, 15.0, apart=apart, accurate=apart < 1e-3)


def cold_row(args, _name):
    path = models.export(models.PERCEPTRON, args.models)
    with tempfile.TemporaryDirectory() as folder:
        peer = [sys.executable, "-c", peers.COLD, str(pathlib.Path(peers.__file__).parent), str(path), str(args.threads),
                f"{folder}/peer.txt"]
        # The program as its users call it, on its built-in table: another draw of 100 background rows, the same work.
        own = [str(PROGRAM), "table", "--model", str(path), "--device", "cpu", "--rows", str(models.BACKGROUND), "--background",
               str(models.BACKGROUND), "--explain", "probabilities", "--class", "1", "--samples", "2048", "--json"]

        def run(command):
            with open(f"{folder}/answer.json", "w") as answer:
                return timed(lambda: subprocess.run(command, check=True, stdout=answer, stderr=subprocess.DEVNULL))

        run(peer), run(own)
        times = alternate(few_more(args), lambda _seed: run(peer), lambda _seed: run(own))
    fresh = Whybox("peer_table", path)
    fresh.ask("many", 1_000_000, 0)
    peak = {"peak_mib": fresh.peak_mib(), "peak_of": "does 1,000,000 evaluations of the table's game", "peak_most": 300}
    fresh.close()
    what = "whole process, Kernel SHAP of that table, cold start to written file"
    return outcome(what, "a Python script with shap.KernelExplainer, ONNX Runtime", times, 15.0) | peak


ROWS = {name: photo_row for name in PHOTO_ROWS}
ROWS |= {"forward": forward_row, "lime-table": lime_row, "shap-table": shap_row, "shap-table-50": shap_row, "cold": cold_row,
         "growth": growth_row, "growth-4gib": growth_row}


def machine():
    names = [line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")] if os.path.exists("/proc/cpuinfo") else []
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor()}, {platform.platform()}"


def versions():
    packages = ["shap", "lime", "captum", "shapiq", "onnxruntime", "torch", "scikit-learn", "numpy"]
    return {"whybox": version(), "Python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in packages}


def document(args, results, load):
    loads = [load] + [result["load"] for result in results]
    lines = [
        "# Benchmarks",
        "",
        "Written by `python benches/peers/run.py`; do not edit. whybox on its CPU engine against the fastest setting of shap, lime, captum",
        "and shapiq that was found, taking turns in one run: same network (seeded random weights), same photo or table, same",
        "segments, same number of samples, the same kind of output. Seconds are medians; the range is that of the rounds' ratios.",
        "Networks are loaded before the clock starts, but for the cold start.",
        "",
        f"- {datetime.date.today()}; {machine()}; peers with {args.threads} threads",
        "- " + ", ".join(f"{name} {number}" for name, number in versions().items()),
        f"- rounds: {args.rounds} (short rows: {few_more(args)}, each the median of {CALLS} calls); load average of the machine {min(loads):.1f} to {max(loads):.1f}"
        + (f"; {args.note}" if args.note else ""),
        "",
        "| workload | fastest peer setting | peer, s | whybox, s | ratio | range | at least | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        met = "met" if r["ratio"] >= r["least"] else "**missed**"
        low, high = min(r["ratios"]), max(r["ratios"])
        lines.append(f"| {r['what']} | {r['peer']} | {r['peer_seconds']:.4g} | {r['whybox_seconds']:.4g} | {r['ratio']:.2f} | "
                     f"{low:.2f} to {high:.2f} | {r['least']:.3g} | {met} |")
    lines += ["", "Same masks, or rows, on both sides: relative L2 difference of the coefficients, with ONNX Runtime's answers against whybox's:",
              "", "| workload | difference | at most |", "|---|---|---|"]
    lines += [f"| {r['what']} | {r['apart']:.1e} | 1e-3 |" for r in results if "apart" in r]
    notes = []
    for r in results:
        if r.get("shared_steps"):
            notes.append(f"- {r['row']}: {r['shared_steps']} steps ran over shared columns, with {r['macs_kept']:.2f} of the multiply-adds.")
        if "default_seconds" in r:
            times = r["peer_seconds"] / r["default_seconds"]
            notes.append(f"- {r['row']}: whybox's default estimator, which fits pairs and triples of players, too, and so errs less (see accuracy.md), "
                         f"took {r['default_seconds']:.4g} s: {times:.1f} times as fast as the peer's plain regression.")
        if r.get("peak_of"):
            notes.append(f"- {r['row']}: a process that {r['peak_of']} peaks at {r['peak_mib']:.0f} MiB (at most {r['peak_most']}).")
        if "grows" in r:
            notes.append(f"- {r['row']}: ten times the samples took {r['grows']:.2f} times as long.")
    return "\n".join(lines + ([""] + notes if notes else [])) + "\n"


if __name__ == "__main__":
    main()

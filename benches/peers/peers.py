"""The other packages: a setting is a name and a function of (samples, seed) that explains once and returns attributions."""

import os
import time

import numpy as np

os.environ.setdefault("TQDM_DISABLE", "1")  # lime_image's progress bar

from models import BACKGROUND, normalized, session, softmax


def fastest(settings, samples, keep=1):
    """The fastest settings, each tried on few samples: best of two runs after one that warms up."""
    found = []
    for name, explain in settings:
        explain(samples, 0)
        times = []
        for seed in range(2):
            start = time.perf_counter()
            explain(samples, seed)
            times.append(time.perf_counter() - start)
        found.append((min(times), name, explain))
        print(f"    {name}: {min(times):.3f} s for {samples}", flush=True)
    found.sort(key=lambda setting: setting[0])
    return [(name, explain) for _, name, explain in found[:keep]]


def image_settings(path, model, pixels, labels, target, threads, batches=(8, 16, 32, 64)):
    """captum.Lime, captum.KernelShap and lime_image, with ONNX Runtime and with PyTorch; logits of one class."""
    import torch
    from captum._utils.models.linear_model import SkLearnRidge
    from captum.attr import KernelShap, Lime

    torch.set_num_threads(threads)
    run = session(path, threads)
    feed = run.get_inputs()[0].name
    last = model.to(memory_format=torch.channels_last)

    def by_onnx(x):
        return torch.from_numpy(run.run(None, {feed: x.contiguous().numpy()})[0])

    def by_torch(x):
        return last(x.contiguous(memory_format=torch.channels_last))

    x = torch.from_numpy(normalized(pixels)[None])
    grey = torch.from_numpy(normalized(np.full_like(pixels, 128))[None])
    mask = torch.from_numpy(labels)[None, None].long()

    def captum(make, batch):
        def explain(samples, seed):
            torch.manual_seed(seed)
            with torch.inference_mode():
                return make.attribute(x, target=target, feature_mask=mask, baselines=grey, n_samples=samples,
                                      perturbations_per_eval=batch, return_input_shape=False)[0].numpy()
        return explain

    def lime_image(forward, batch):
        from lime.lime_image import LimeImageExplainer

        def logits(pictures):
            with torch.inference_mode():
                return forward(torch.from_numpy(normalized(pictures))).numpy()

        def explain(samples, seed):
            found = LimeImageExplainer(random_state=seed).explain_instance(
                pixels, logits, top_labels=None, labels=(target,), hide_color=128, num_samples=samples,
                batch_size=batch, segmentation_fn=lambda _: labels)
            values = np.zeros(labels.max() + 1)
            for segment, value in found.local_exp[target]:
                values[segment] = value
            return values
        return explain

    settings = []
    for runtime, forward in [("ONNX Runtime", by_onnx), ("PyTorch", by_torch)]:
        for batch in batches:
            lime = Lime(forward, interpretable_model=SkLearnRidge(alpha=1.0))
            settings.append((f"captum.Lime, {runtime}, batch {batch}", captum(lime, batch)))
            settings.append((f"captum.KernelShap, {runtime}, batch {batch}", captum(KernelShap(forward), batch)))
        for batch in (10, 32):
            settings.append((f"lime_image, {runtime}, batch {batch}", lime_image(forward, batch)))
    return settings


def forward_settings(path, threads, batches=(1, 8, 32)):
    """Raw passes of ONNX Runtime; "samples" are passes."""
    run = session(path, threads)
    feed = run.get_inputs()[0].name
    draws = np.random.default_rng(0).standard_normal((max(batches), 3, 224, 224)).astype(np.float32)

    def passes(batch):
        def explain(samples, _seed):
            for _ in range(0, samples, batch):
                run.run(None, {feed: draws[:batch]})
        return explain

    return [(f"ONNX Runtime, batch {batch}", passes(batch)) for batch in batches]


def table_function(path, threads):
    """Probabilities of both classes by ONNX Runtime."""
    run = session(path, threads)
    feed = run.get_inputs()[0].name
    return lambda rows: softmax(run.run(None, {feed: np.ascontiguousarray(rows, np.float32)})[0])


def shap_settings(path, rows, threads, instances):
    """shap.KernelExplainer without selection of features, and shapiq.KernelSHAP; one output; "samples" are coalitions."""
    import shap
    import shapiq

    def over_coalitions(count, batch):
        predict = table_function(path, count)

        def values(row, coalitions):
            filled = np.where(coalitions[:, None, :], row, rows[:BACKGROUND])
            return predict(filled.reshape(-1, filled.shape[-1]))[:, 1].reshape(-1, BACKGROUND).mean(1)

        def explain(samples, seed):
            found = []
            for row in rows[BACKGROUND:BACKGROUND + instances]:
                empty = values(row, np.zeros((1, len(row)), bool))[0]

                def game(coalitions):
                    parts = (coalitions[at:at + batch] for at in range(0, len(coalitions), batch))
                    return np.concatenate([values(row, part.astype(bool)) for part in parts]) - empty

                solver = shapiq.KernelSHAP(n=len(row), pairing_trick=True, random_state=seed)
                found.append(solver.approximate(budget=samples, game=game).get_n_order_values(1))
            return np.array(found)
        return explain

    def setting(count):
        predict = table_function(path, count)
        explainer = shap.KernelExplainer(lambda x: predict(x)[:, 1], rows[:BACKGROUND])

        def explain(samples, seed):
            np.random.seed(seed)
            return explainer.shap_values(rows[BACKGROUND:BACKGROUND + instances], nsamples=samples, l1_reg=False,
                                         silent=True)
        return explain

    settings = []
    for count in sorted({1, threads}):
        settings.append((f"shap.KernelExplainer, ONNX Runtime, {count} threads", setting(count)))
        for batch in (64, 512):
            name = f"shapiq.KernelSHAP, ONNX Runtime, {count} threads, batch {batch}"
            settings.append((name, over_coalitions(count, batch)))
    return settings


def lime_settings(path, rows, threads):
    """lime_tabular with its defaults: quartiles, 10 features."""
    from lime.lime_tabular import LimeTabularExplainer

    def setting(count):
        predict = table_function(path, count)
        explainer = LimeTabularExplainer(rows, random_state=0)

        def explain(samples, _seed):
            return explainer.explain_instance(rows[BACKGROUND], predict, num_samples=samples).as_map()[1]
        return explain

    return [(f"lime_tabular, ONNX Runtime, {count} threads", setting(count)) for count in sorted({1, threads})]


# A process of its own, as a user would write it: no PyTorch.
COLD = """
import sys
import numpy as np, onnxruntime, shap
sys.path.insert(0, sys.argv[1])
from models import BACKGROUND, table
from peers import table_function
rows = table()[0]
predict = table_function(sys.argv[2], int(sys.argv[3]))
explainer = shap.KernelExplainer(lambda x: predict(x)[:, 1], rows[:BACKGROUND])
values = explainer.shap_values(rows[BACKGROUND:BACKGROUND + 1], nsamples=2048, l1_reg=False, silent=True)
np.savetxt(sys.argv[4], values)
"""

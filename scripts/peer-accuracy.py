"""What `cargo bench --bench accuracy -- MODEL.onnx` is compared with: the same table for shap, captum and shapiq.

    pip install shap captum shapiq onnxruntime
    python scripts/peer-accuracy.py MODEL.onnx [seeds=20] [orders=3000]

Beside MODEL.onnx (or MODEL.ts.onnx) stands MODEL.npz with `background` and `inputs`; the last output is explained for the first
three rows. A number is the relative RMSE against a long run (antithetic orders of joining, its own error stated), mean over
rows and seeds ± its standard error, as in docs/accuracy.md. Every method asks the same game: the mean answer over the background.
"""

import sys

import numpy as np
import onnxruntime as ort
import shap
import shapiq
import torch
from captum.attr import KernelShap, ShapleyValueSampling

BUDGETS = [128, 256, 512, 1024, 2048, 4096]


def games(path):
    session = ort.InferenceSession(path)
    name = session.get_inputs()[0].name
    data = np.load(path.replace(".ts.onnx", ".npz").replace(".onnx", ".npz"))
    background = data["background"].astype(np.float32)

    def game(row):
        def values(coalitions):
            coalitions = np.atleast_2d(coalitions) > 0.5
            out = []
            for first in range(0, len(coalitions), 512):
                part = coalitions[first : first + 512]
                rows = np.where(part[:, None], row, background[None]).reshape(-1, len(row))
                answers = session.run(None, {name: rows.astype(np.float32)})[0][:, -1]
                out.append(answers.reshape(len(part), -1).mean(1, dtype=np.float64))
            return np.concatenate(out)

        return values

    return [game(row) for row in data["inputs"][:3].astype(np.float32)], len(background[0])


def long_run(game, n, orders):
    """Mean over orders walked both ways, and its relative standard error."""
    rng, walks = np.random.default_rng(1 << 20), []
    for _ in range(orders):
        order = rng.permutation(n)
        rank = np.argsort(order)
        forth = rank[None] < np.arange(n + 1)[:, None]
        values = game(np.concatenate([forth, ~forth]))
        steps, back = np.diff(values[: n + 1]), -np.diff(values[n + 1 :])
        walk = np.empty(n)
        walk[order] = (steps + back) / 2
        walks.append(walk)
    mean, error = np.mean(walks, 0), np.std(walks, 0, ddof=1) / np.sqrt(orders)
    return mean, np.linalg.norm(error) / np.linalg.norm(mean)


def kernel_shap(l1):
    def run(game, n, budget, seed):
        np.random.seed(seed)
        explainer = shap.KernelExplainer(game, np.zeros((1, n)))
        return explainer.shap_values(np.ones((1, n)), nsamples=budget, l1_reg=l1, silent=True)[0]

    return run


def permutation(game, n, budget, seed):
    explainer = shap.PermutationExplainer(game, shap.maskers.Independent(np.zeros((1, n))), seed=seed)
    return explainer(np.ones((1, n)), max_evals=max(budget, 2 * n + 1), silent=True).values[0]


def of_shapiq(method, **options):
    def run(game, n, budget, seed):
        empty = game(np.zeros((1, n)))[0]
        found = method(n=n, random_state=seed, **options).approximate(budget=budget, game=lambda z: game(z) - empty)
        return found.get_n_order_values(1)

    return run


def of_captum(method, each):
    def run(game, n, budget, seed):
        torch.manual_seed(seed)
        explainer = method(lambda z: torch.from_numpy(game(z.numpy())))
        options = {"n_samples": max(1, budget // n) if each else budget}
        options["perturbations_per_eval"] = n if each else budget
        return explainer.attribute(torch.ones(1, n), baselines=torch.zeros(1, n), **options)[0].numpy()

    return run


METHODS = {
    "shap KernelExplainer, `l1_reg=False`": kernel_shap(False),
    "shap PermutationExplainer": permutation,
    "captum KernelShap": of_captum(KernelShap, False),
    "captum ShapleyValueSampling": of_captum(ShapleyValueSampling, True),
    "shapiq KernelSHAP, pairs": of_shapiq(shapiq.KernelSHAP, pairing_trick=True),
    "shapiq kADDSHAP(2)": of_shapiq(shapiq.kADDSHAP, max_order=2),
}


def main():
    options = dict(argument.split("=") for argument in sys.argv[2:])
    seeds, orders = int(options.get("seeds", 20)), int(options.get("orders", 3000))
    players, n = games(sys.argv[1])
    known = [long_run(game, n, orders) for game in players]
    print(f"reference: {orders} orders both ways, relative error {max(error for _, error in known):.1e}\n")
    print("| method |", " | ".join(map(str, BUDGETS)), "|\n|---|" + "---|" * len(BUDGETS), flush=True)
    for name, method in METHODS.items():
        cells = []
        for budget in BUDGETS:
            apart = []
            for game, (exact, _) in zip(players, known):
                for seed in range(seeds):
                    ours = method(game, n, budget, seed)
                    apart.append(np.linalg.norm(ours - exact) / np.linalg.norm(exact))
            cells.append(f"{np.mean(apart):.4f} ± {np.std(apart) / np.sqrt(len(apart)):.4f}")
        print(f"| {name} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Plans between images
#
# Images of one kind to images of another, unpaired. A good plan makes an image of the target's kind
# that is near its input; the larger ε, the more the outputs for one input differ.

# %% tags=["parameters"]
scale = "laptop"
metrics = "results/laptop/tables/metrics.csv"
out = "results/laptop/figures/cmnist_2to3"
samples = []

# %%
from IPython.display import Image

from entropic_ot import figure_data, plotting

plotting.use_style()
results = figure_data.load_results(samples, metrics, scale)
rows = [
    (case, method, kind)
    for kind in ("samples", "trajectories", "generator")
    for case in results.cases
    for method in results.of_case(case).methods
    if kind == "samples" or results.shows(kind, case, method)
]
blocks = [results.plans(case, method) for case, method, _ in rows]
num_columns = max([1, *map(len, blocks)])
tall = {"samples": 1.0, "trajectories": 0.75, "generator": 0.75}
heights = [tall[kind] for _, _, kind in rows] or [1.0]
figure = plotting.new_figure(3.2 * num_columns + 0.5, 3.1 * sum(heights), wspace=0.05)
axes = figure.subplots(len(heights), num_columns, squeeze=False, height_ratios=heights)

# %% [markdown]
# **How to read it.** Each block is one method at one ε; the case stands on the left.
#
# - The first column of a block holds inputs, the others samples of π(y | x) for the input at
#   their left; for blurred faces the last column is the sharp photograph itself.
# - Above the blocks metrics of all n outputs, in parentheses those of real images of the target:
#   the share that an independent classifier calls "3", the mean difference between the hues of
#   input and output (90° for random pairs), Fréchet and kernel distances (FD, KID) to the target's
#   test images in the features that they are named by, those of the inputs, the shares of outputs
#   near real images (precision) and of real images near outputs (recall), the energy distance of
#   latents to their target (latent ED), and the mean LPIPS between outputs for one input.
# - Trajectories: ENOT's diffusion from the input, t = 0, to the output, t = 1; between encoded
#   images from what the generator makes of the encoded input.
# - Of a generator in whose latent space the plan is: real images of the target, and G(z).

# %%
notes = [""]
for line, (case, method, kind), block in zip(axes, rows, blocks, strict=False):
    style = plotting.method_style(method)
    height, width = results.data(case)["conditional_x"].shape[-2:]
    what = {"generator": "generator"}.get(kind, f"{style.label} {kind}")
    count = results.num_samples(case) if kind == "samples" else None
    of_outputs = f", n = {count}" if count else ""
    label = f"{what}\n{case}\n{height} × {width}{of_outputs}"
    plotting.row_label(line[0], label, style.colour, pad=20 if kind == "generator" else 8)
    for ax in line[len(block) :]:
        plotting.message(ax, "")
    for column, (ax, (epsilon, arrays)) in enumerate(zip(line, block.items(), strict=False)):
        title = plotting.epsilon_label(epsilon)
        if kind == "generator" and column:
            plotting.message(ax, "")
        elif kind == "generator":
            real, generated = arrays.first("target", 10), arrays.first("generated", 10)
            plotting.real_and_generated(ax, real, generated)
        elif kind == "trajectories":
            start = "encoded $x$" if results.is_encoded(case) else None
            plotting.image_trajectories(ax, arrays, num_inputs=3, num_times=6, start=start)
            ax.set_title(title)
        else:
            truth = results.problem(case).kind == "faces"
            shown = {name: arrays[name] for name in ("conditional_x", "conditional_y")}
            shown["target"] = arrays.first("target", len(shown["conditional_x"]))
            plotting.image_samples(ax, shown, num_inputs=5, num_samples=5, with_truth=truth)
            notes.append(results.note(case, method, epsilon, figure_data.NOTES))
            ax.set_title(f"{title}\n{notes[-1]}")

# %%
footnote = "In parentheses: the same of real images of the target." if "(" in "".join(notes) else ""
Image(plotting.finish(figure, out, results.methods, legend=False, footnote=footnote), width=1000)

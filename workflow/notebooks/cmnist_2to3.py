# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Coloured MNIST: from 2 to 3
#
# Digits of random hue, unpaired. A good plan makes a 3 of each 2 and keeps its colour; the larger
# ε, the more the outputs for one input differ. The blocks correspond to the coloured MNIST
# figures of the ENOT paper (ε = 0, 1, 10) and of the EgNOT paper (ε = 0.01, 0.1, 1).

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
# A row of blocks for each case and method, then one of trajectories for each case with ENOT.
rows = [
    (case, method, kind)
    for kind in ("samples", "trajectories")
    for case in results.cases
    for method in results.of_case(case).methods
    if kind == "samples" or method == "enot"
]
blocks = [results.plans(case, method) for case, method, _ in rows]
num_columns = max([1, *map(len, blocks)])
heights = [1.0 if kind == "samples" else 0.75 for _, _, kind in rows] or [1.0]
figure = plotting.new_figure(3.2 * num_columns + 0.5, 2.95 * sum(heights), wspace=0.05)
axes = figure.subplots(len(heights), num_columns, squeeze=False, height_ratios=heights)

# %% [markdown]
# **How to read it.** Each block is one method at one ε; the size of the images stands on the
# left.
#
# - The first column of a block holds inputs, the others samples of π(y | x) for the input at
#   their left.
# - Above the blocks: the share of all outputs that an independent classifier calls "3", in
#   parentheses that of real 3s; and the mean difference between the hues of input and output,
#   which is 90° for random pairs.
# - Last row: trajectories of ENOT's diffusion from the input, t = 0, to the output, t = 1.

# %%
for line, (case, method, kind), block in zip(axes, rows, blocks, strict=False):
    style = plotting.method_style(method)
    height, width = results.data(case)["x"].shape[-2:]
    label = f"{style.label} {kind}\n{height} × {width} pixels"
    plotting.row_label(line[0], label, style.colour)
    for ax in line[len(block) :]:
        plotting.message(ax, "")
    for ax, (epsilon, arrays) in zip(line, block.items(), strict=False):
        title = plotting.epsilon_label(epsilon)
        if kind == "trajectories":
            plotting.image_trajectories(ax, arrays, num_inputs=3, num_times=6)
            ax.set_title(title)
        else:
            plotting.image_samples(ax, arrays, num_inputs=5, num_samples=5)
            ax.set_title(f"{title}\n{results.digits_note(case, method, epsilon)}")

# %%
Image(plotting.finish(figure, out, results.methods, legend=False), width=1000)

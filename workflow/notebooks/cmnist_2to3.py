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
runs = figure_data.load_samples_of(samples, scale)
table = figure_data.read_metrics(metrics)
num_inputs, num_samples, num_path_inputs, num_times = 5, 5, 3, 6
# A row of blocks for each case and method, then one of trajectories for each case with ENOT.
rows = [
    (case, method, kind)
    for kind in ("samples", "trajectories")
    for case in figure_data.cases_of(runs)
    for method in figure_data.methods_of([run for run in runs if run.case == case])
    if kind == "samples" or method == "enot"
]
blocks = [figure_data.runs_of(runs, case=case, method=method) for case, method, _ in rows]
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
    height, width = next(iter(block.values())).arrays["x"].shape[-2:]
    label = f"{style.label} {kind}\n{height} × {width} pixels"
    plotting.row_label(line[0], label, style.colour)
    for ax in line[len(block) :]:
        plotting.message(ax, "")
    for ax, (epsilon, run) in zip(line, block.items(), strict=False):
        title = plotting.epsilon_label(epsilon)
        if kind == "trajectories":
            path = run.arrays["path"]
            times = plotting.evenly_spaced(len(path), num_times)
            states = path[times][:, :num_path_inputs].swapaxes(0, 1)
            ticks = [f"{time:.2g}" for time in run.arrays["path_t"][times]]
            plotting.image_grid(ax, states, column_labels=ticks)
            ax.set(title=title, xlabel="$t$")
            continue
        inputs = run.arrays["conditional_x"][:num_inputs, None]
        outputs = run.arrays["conditional_y"][:num_inputs, :num_samples]
        plotting.image_grid(ax, plotting.beside(inputs, outputs), split_first_column=True)
        share, hue = [
            figure_data.estimate(table, metric, case=case, method=method, epsilon=epsilon)
            for metric in ("share_three", "hue_error")
        ]
        notes = []
        if share:
            real = "" if share.floor is None else f" (real 3s: {share.floor:.0f} %)"
            notes.append(f"called “3”: {share.value:.0f} %{real}")
        if hue:
            notes.append(f"hue error {hue.value:.0f}°")
        ax.set_title("\n".join([title, ",  ".join(notes)]))

# %%
if not runs:
    plotting.message(axes[0, 0], "no samples were given")
Image(plotting.save(figure, out), width=1000)

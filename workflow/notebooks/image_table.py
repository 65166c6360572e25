# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # One data set, all methods: what each pays and gets
#
# Methods on pixels, in the latent space of a generator, and between encoded images, side by side.

# %% tags=["parameters"]
scale = "laptop"
metrics = "results/laptop/tables/metrics.csv"
out = "results/laptop/figures/cmnist_table"
samples = []

# %%
from IPython.display import Image, Markdown, display

from entropic_ot import figure_data, plotting

plotting.use_style()
results = figure_data.load_results(samples, metrics, scale)
measures = {
    "share_three": "called\n“3” [%]",
    "hue_error": "hue\nerror [°]",
    "fd_lenet": "FD\nLeNet",
    "fd_effnet": "FD Effi-\ncientNet",
    "fd_lenet_input": "input\nFD LeNet",
    "fd_lenet_generator": "generator\nFD LeNet",
    "fd_effnet_generator": "generator\nFD EffNet",
    "fd_effnet_input": "input\nFD EffNet",
    "kid_effnet": "KID\nEffNet",
    "lpips_diversity": "LPIPS\ndiversity",
    "lpips_cost": "LPIPS\nx, y",
    "cost_half_l2": "½L2",
}
shown = [metric for metric in measures if results.has(metric)]
header = ["case", "n", "ε", "method"]
header += [text for metric in shown for text in (measures[metric], "real")] + ["train\n[s]"]
tables = [results.comparison_table(shown, case) for case in results.cases]

# %% [markdown]
# **How to read it.** A row for each case, ε and method; a column "real" is the value of the metric
# at its left for real images of the target. Fréchet and kernel distances carry the
# name of the network whose features they are of, and are comparable with nothing else, and only at
# equal numbers n of outputs. Distances of the generator itself and of the inputs stand beside those
# of the outputs. Training seconds are those of the method alone: a generator and the encoding of
# images are made once for all methods that use them. ε is in units of pixels; between encoded
# images in units of whitened w, while ½L2 is of pixels everywhere.

# %%
cells, starts = [], []
for case, (lines, rules) in zip(results.cases, tables, strict=True):
    starts += [len(cells) + rule for rule in rules]
    starting = [[plotting.Cell(case), plotting.Cell(f"{results.num_samples(case)}")]]
    starting += [[plotting.Cell(""), plotting.Cell("")]] * len(lines)
    cells += [[*start, *line] for start, line in zip(starting, lines, strict=False)]
keep = [
    column
    for column, name in enumerate(header)
    if name != "real" or any(line[column].text != "–" for line in cells)
]
header = [header[column] for column in keep]
cells = [[line[column] for column in keep] for line in cells]
display(Markdown(figure_data.as_markdown(header, cells)))
figure = plotting.new_figure(0.62 * len(header) + 1.5, 0.22 * len(cells) + 0.8)
axes = figure.subplots(1, 1, squeeze=False)
plotting.table(axes[0, 0], header, cells, rules_before=starts)

# %%
Image(plotting.finish(figure, out, results.methods, legend=False), width=1000)

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Gaussian to Gaussian: the closed form as truth
#
# For two Gaussians the optimal plan is known, so errors are absolute. The covariances are the
# random ones of the EgNOT paper. The table corresponds to those of section 5.2 of the ENOT paper,
# where the plan's error at ε = 1 is 0.012 / 0.05 / 0.13 / 0.29 % for D = 2 / 16 / 64 / 128 (m).
#
# (m): remembered, not read from the paper.

# %% tags=["parameters"]
scale = "laptop"
metrics = "results/laptop/tables/metrics.csv"
out = "results/laptop/figures/gaussian"
samples = []

# %%
from IPython.display import Image, Markdown, display

from entropic_ot import figure_data, plotting

plotting.use_style()
runs = figure_data.load_samples_of(samples, scale)
table = figure_data.read_metrics(metrics)
cases = figure_data.cases_of(runs)
measures = {
    "bw_uvp_plan": "BW$_2^2$-UVP of the plan [%]",
    "bw_uvp_target": "BW$_2^2$-UVP of the target [%]",
}
header = ["ε", "method", "plan\n[%]", "floor", "target\n[%]", "floor", "training\n[s]"]
contents = [figure_data.comparison_table(table, list(measures), runs, case=c) for c in cases]
lengths = [max(9, len(cells)) + 3 for cells, _ in contents] or [12]
figure = plotting.new_figure(11.2, 0.22 * sum(lengths) + 0.5)
axes = figure.subplots(
    len(lengths), 3, squeeze=False, width_ratios=[1, 1, 1.8], height_ratios=lengths
)

# %% [markdown]
# **How to read it.** BW₂²-UVP is the squared Bures–Wasserstein distance between the Gaussian that
# fits the samples and the true one, in percent of half the true variance: for the pairs (x, y),
# which live in 2D dimensions (*plan*), and for y alone (*target*). 0 is perfect, but no finite
# sample gets there: the dashes, *floor* in the table, show what as many exact samples get. A
# method that touches them cannot be told from the truth. Bold: the best method for this ε. With
# several seeds: the mean and its 95 % interval.

# %%
for (plan, target, right), case, (cells, starts) in zip(axes, cases, contents, strict=False):
    dim = next(run.problem.dim for run in runs if run.case == case)
    for ax, (metric, label) in zip((plan, target), measures.items(), strict=True):
        points = figure_data.series(table, metric, runs, case=case)
        plotting.metric_by_epsilon(ax, points, label, log=True)
    plotting.row_label(plan, f"D = {dim}", pad=34)
    if cells:
        plotting.table(right, header, cells, rules_before=starts)
        display(Markdown(f"### {case}\n\n{figure_data.as_markdown(header, cells)}"))
    else:
        plotting.message(right, f"metrics.csv has no values for {case}")

# %%
if runs:
    methods = figure_data.methods_of(runs)
    plotting.legend_below(figure, methods, data=False, floor="exact samples")
else:
    for ax in axes.flat:
        plotting.message(ax, "no samples were given")
Image(plotting.save(figure, out), width=1000)

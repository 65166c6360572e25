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
results = figure_data.load_results(samples, metrics, scale)
measures = {
    "bw_uvp_plan": "BW$_2^2$-UVP of the plan [%]",
    "bw_uvp_target": "BW$_2^2$-UVP of the target [%]",
}
header = ["ε", "method", "plan\n[%]", "floor", "target\n[%]", "floor", "training\n[s]"]
contents = [results.comparison_table(measures, case) for case in results.cases]
epsilons, on_the_way = results.epsilons, ["enot", "egnot"]
figure, axes, axes_over_time = plotting.new_panels_with_table(
    [len(cells) + 3 for cells, _ in contents], len(measures), len(epsilons)
)

# %% [markdown]
# **How to read it.** BW₂²-UVP is the squared Bures–Wasserstein distance between the Gaussian that
# fits the samples and the true one, in percent of half the true variance: for the pairs (x, y),
# which live in 2D dimensions (*plan*), and for y alone (*target*). 0 is perfect, but no finite
# sample gets there: the dashes, *floor* in the table, show what as many exact samples get. A
# method that touches them cannot be told from the truth. With several seeds: the mean and its
# 95 % interval. Bold: the best method for this ε, where its interval does not overlap that of the
# next; a single seed has no interval.
#
# Below, the same for X_t, the points on the way from x (t = 0) to y (t = 1), against the exact
# process: for ENOT those of the diffusion that it has learned, for EgNOT, which learns a plan and
# no process, those of Brownian bridges of variance ε between its pairs (x, y). An exact plan with
# its bridges is the exact process, so EgNOT's curve shows what is wrong with its pairs alone,
# while ENOT's also has what few Euler steps get wrong between both ends. `bw_uvp_path` in the
# tables is the mean over these times. Each panel has its own vertical axis.

# %%
for line, below, case, (cells, starts) in zip(
    axes, axes_over_time, results.cases, contents, strict=False
):
    plotting.row_label(line[0], f"D = {results.problem(case).dim}", pad=34)
    for ax, (label, points) in zip(line, results.curves(measures, case).items(), strict=False):
        plotting.metric_by_epsilon(ax, points, label, log=True)
    if cells:
        plotting.table(line[-1], header, cells, rules_before=starts)
        display(Markdown(f"### {case}\n\n{figure_data.as_markdown(header, cells)}"))
    else:
        plotting.message(line[-1], f"metrics.csv has no values for {case}")
    for ax, epsilon in zip(below, epsilons, strict=True):
        curves = results.over_time("bw_uvp_path", case, epsilon, on_the_way)
        plotting.metric_by_time(ax, curves, plotting.epsilon_label(epsilon))
    below[0].set_ylabel("BW$_2^2$-UVP of $X_t$ [%]")

# %%
Image(plotting.finish(figure, out, results.methods, data=False, floor="exact samples"), width=1000)

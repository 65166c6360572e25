# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # The mixture benchmark: the exact plan as truth
#
# The benchmark of Gushchin et al., "Building the Bridge of Schrödinger" (NeurIPS 2023, arXiv
# 2306.10161): the potential is the logarithm of a mixture of five Gaussians, so the plan, and with
# it the target, are known for every ε. The parameters are our own draw unless params.yaml names
# the paper's archive.

# %% tags=["parameters"]
scale = "laptop"
metrics = "results/laptop/tables/metrics.csv"
out = "results/laptop/figures/mixture"
samples = []

# %%
from IPython.display import Image, Markdown, display

from entropic_ot import figure_data, plotting
from entropic_ot.plotting import mixture

plotting.use_style()
runs = figure_data.load_samples_of(samples, scale)
table = figure_data.read_metrics(metrics)
cases, epsilons = figure_data.cases_of(runs), figure_data.epsilons_of(runs)
methods = figure_data.methods_of(runs)
rows = [(case, method) for case in cases for method in methods]
figure, side, axes = plotting.new_panels_with_side(max(1, len(rows)), max(1, len(epsilons)))

# %% [markdown]
# **How to read it.** One column per ε, one row per method.
#
# - Dots: inputs (dark grey), the target of this ε (light grey) and what the method makes of the
#   inputs (colour). In more than two dimensions the panels show the first two principal axes of
#   the target.
# - On top three inputs (large dots), each with many samples of π(y | x) in the same colour. The
#   crosses are the modes of the exact π(y | x), the larger the more likely. A good method puts its
#   samples there, in these shares: one mode for small ε, all five for large ε.
# - Left: cBW₂²-UVP, the distance of π(y | x) to the exact one, averaged over x, and BW₂²-UVP of the
#   generated points to the target, both in percent of half the target's variance; the dashes show
#   what an exact sampler with as many points gets.

# %%
measures = {
    "cbw_uvp": "cBW$_2^2$-UVP of $\\pi(y|x)$ [%]",
    "bw_uvp_target": "BW$_2^2$-UVP of the target [%]",
    "conditional_variance": "Variance of $y$ given $x$",
}
for ax in side:
    ax.set_axis_off()
for block, case in enumerate(cases):
    for offset, (metric, label) in enumerate(measures.items()):
        if offset < len(methods):
            points = figure_data.series(table, metric, runs, case=case)
            ax = side[block * len(methods) + offset]
            ax.set_axis_on()
            plotting.metric_by_epsilon(ax, points, label, log=True)
    header = ["ε", "method", "π(y given x) [%]", "floor", "target [%]", "floor", "training [s]"]
    chosen = ["cbw_uvp", "bw_uvp_target"]
    cells, _ = figure_data.comparison_table(table, chosen, runs, case=case)
    display(Markdown(f"### {case}\n\n{figure_data.as_markdown(header, cells)}"))

# %%
for ax, epsilon in zip(axes[0], epsilons, strict=False):
    ax.set_title(plotting.epsilon_label(epsilon))
for line, (case, method) in zip(axes, rows, strict=False):
    style = plotting.method_style(method)
    own = figure_data.runs_of(runs, case=case, method=method)
    dim = next(run.problem.dim for run in runs if run.case == case)
    plotting.row_label(line[0], f"{style.label}\nD = {dim}", style.colour)
    for ax, epsilon in zip(line, epsilons, strict=True):
        if epsilon not in own:
            plotting.missing_run(ax, method, epsilon)
            continue
        arrays = own[epsilon].arrays
        plane = mixture.principal_plane(arrays["target"])
        x, target = plane(arrays["x"]), plane(arrays["target"])
        limits = plotting.limits_around(x, target)
        y = plane(arrays["y"])
        plotting.fitted_samples(ax, y, target, limits, colour=style.colour, x=x, faint=True)
        mixture.conditional_modes(
            ax,
            plane(arrays["conditional_x"]),
            plane(arrays["conditional_y"]),
            plane(arrays["conditional_mode_means"]),
            arrays["conditional_mode_weights"],
        )

# %%
if runs:
    plotting.legend_below(figure, methods, floor="exact samples")
else:
    for ax in [*side, *axes.flat]:
        plotting.message(ax, "no samples were given")
Image(plotting.save(figure, out), width=900)

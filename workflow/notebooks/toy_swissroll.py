# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Swiss roll: plans for several strengths of regularisation
#
# The source is N(0, I) in the plane, the target a noisy Swiss roll. The row of EgNOT corresponds
# to the figure of section 5.1 of the EgNOT paper (Mokrov et al., 2024, arXiv 2304.06094); ENOT,
# the discrete Sinkhorn plan and LightSB stand beneath.

# %% tags=["parameters"]
scale = "laptop"
metrics = "results/laptop/tables/metrics.csv"
out = "results/laptop/figures/toy_swissroll"
samples = []

# %%
from IPython.display import Image

from entropic_ot import figure_data, plotting

plotting.use_style()
runs = figure_data.load_samples_of(samples, scale)
table = figure_data.read_metrics(metrics)
cases, epsilons = figure_data.cases_of(runs), figure_data.epsilons_of(runs)
methods = ["egnot", "enot", "sinkhorn", "lightsb"]
rows = [(case, method) for case in cases for method in methods]
figure, side, axes = plotting.new_panels_with_side(max(1, len(rows)), max(1, len(epsilons)))

# %% [markdown]
# **How to read it.** One row per method, one column per ε.
#
# - Light grey: the target. Small dots: the method's samples, which should cover the roll and
#   nothing else.
# - Large dots: four inputs x, each with many samples of π(y | x) in the same colour: nearly one
#   point for a small ε, long pieces of the roll for a large one.
# - Left: the data (inputs that lie far outside are cut off), then for all methods the variance of
#   y given x, the energy distance between samples and target (the dashes show what as many exact
#   samples get) and the mean transport cost.

# %%
for block, case in enumerate(cases):
    own = figure_data.runs_of(runs, case=case)
    arrays = next(iter(own.values())).arrays
    first = block * len(methods)
    limits = plotting.limits_around(arrays["target"], margin=0.1)
    plotting.source_and_target(side[first], arrays["x"], arrays["target"], limits)
    side[first].set_title("Data" if len(cases) == 1 else case)
    for offset, metric, label in (
        (1, "conditional_variance", "Variance of $y$ given $x$"),
        (2, "energy_distance", "Energy distance to target"),
        (3, "cost_half_l2", r"Cost $\frac{1}{2}\|x-y\|^2$"),
    ):
        points = figure_data.series(table, metric, runs, case=case)
        plotting.metric_by_epsilon(side[first + offset], points, label)

# %%
for ax, epsilon in zip(axes[0], epsilons, strict=False):
    ax.set_title(plotting.epsilon_label(epsilon))
for line, (case, method) in zip(axes, rows, strict=False):
    style = plotting.method_style(method)
    own = figure_data.runs_of(runs, case=case, method=method)
    plotting.row_label(line[0], style.label, style.colour)
    for ax, epsilon in zip(line, epsilons, strict=True):
        if epsilon not in own:
            plotting.missing_run(ax, method, epsilon)
            continue
        arrays = own[epsilon].arrays
        data = {"target": arrays["target"], "colour": style.colour}
        data["limits"] = plotting.limits_around(arrays["target"], margin=0.1)
        plotting.fitted_samples(ax, arrays["y"], faint=True, **data)
        plotting.conditional_clouds(ax, arrays["conditional_x"], arrays["conditional_y"])

# %%
if runs:
    plotting.legend_below(figure, figure_data.methods_of(runs), floor="exact samples")
else:
    for ax in [*side, *axes.flat]:
        plotting.message(ax, "no samples were given")
Image(plotting.save(figure, out), width=1000)

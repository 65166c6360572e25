# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Eight Gaussians: fitted samples, trajectories and conditional plans
#
# The source is N(0, I) in the plane, the target an equal mixture of eight Gaussians on a circle.
# The first two rows correspond to the figure of section 5.1 of the ENOT paper (Gushchin et al.,
# 2023, arXiv 2211.01156); EgNOT, the discrete Sinkhorn plan and LightSB stand
# beneath.

# %% tags=["parameters"]
scale = "laptop"
metrics = "results/laptop/tables/metrics.csv"
out = "results/laptop/figures/toy_8gaussians"
samples = []

# %%
from IPython.display import Image

from entropic_ot import figure_data, plotting

plotting.use_style()
runs = figure_data.load_samples_of(samples, scale)
table = figure_data.read_metrics(metrics)
cases, epsilons = figure_data.cases_of(runs), figure_data.epsilons_of(runs)
contents = {
    "fitted samples": "enot",
    "trajectories": "enot",
    "conditional plans, EgNOT": "egnot",
    "conditional plans, Sinkhorn": "sinkhorn",
    "conditional plans, LightSB": "lightsb",
}
rows = [(case, content) for case in cases for content in contents]
figure, side, axes = plotting.new_panels_with_side(max(1, len(rows)), max(1, len(epsilons)))

# %% [markdown]
# **How to read it.** One column per ε.
#
# - First row: inputs (dark grey), the target (light grey) and what ENOT makes of the inputs
#   (blue).
# - Second row: trajectories of ENOT's diffusion from some inputs: straight for ε = 0, and the
#   more random the larger ε.
# - Third to fifth row: the samples of EgNOT, Sinkhorn and LightSB, and on top four inputs (large
#   dots), each with many samples of π(y | x) in the same colour: the larger ε, the wider these
#   clouds. EgNOT and LightSB need ε > 0.
# - Left: the data, then for all methods the mean transport cost, the variance of y given x (it
#   must grow with ε), the energy distance between fitted samples and target and the share of the
#   samples in the emptiest mode; the dashes show what as many exact samples get.

# %%
for block, case in enumerate(cases):
    own = figure_data.runs_of(runs, case=case)
    arrays = next(iter(own.values())).arrays
    first = block * len(contents)
    limits = plotting.limits_around(arrays["x"], arrays["target"])
    plotting.source_and_target(side[first], arrays["x"], arrays["target"], limits)
    side[first].set_title("Data" if len(cases) == 1 else case)
    for offset, metric, label in (
        (1, "cost_half_l2", r"Cost $\frac{1}{2}\|x-y\|^2$"),
        (2, "conditional_variance", "Variance of $y$ given $x$"),
        (3, "energy_distance", "Energy distance to target"),
        (4, "share_of_modes_min", "Emptiest mode [%]"),
    ):
        points = figure_data.series(table, metric, runs, case=case)
        plotting.metric_by_epsilon(side[first + offset], points, label)

# %%
for ax, epsilon in zip(axes[0], epsilons, strict=False):
    ax.set_title(plotting.epsilon_label(epsilon))
for line, (case, content) in zip(axes, rows, strict=False):
    method, kind = contents[content], content.partition(",")[0]
    style = plotting.method_style(method)
    own = figure_data.runs_of(runs, case=case, method=method)
    plotting.row_label(line[0], f"{style.label}\n{kind}", style.colour)
    for ax, epsilon in zip(line, epsilons, strict=True):
        if epsilon not in own:
            plotting.missing_run(ax, method, epsilon)
            continue
        arrays = own[epsilon].arrays
        data = {"target": arrays["target"], "colour": style.colour}
        data["limits"] = plotting.limits_around(arrays["x"], arrays["target"])
        if kind == "fitted samples":
            plotting.fitted_samples(ax, arrays["y"], x=arrays["x"], **data)
        elif kind == "trajectories":
            plotting.trajectories(ax, arrays["path"], **data)
        else:
            plotting.fitted_samples(ax, arrays["y"], faint=True, **data)
            plotting.conditional_clouds(ax, arrays["conditional_x"], arrays["conditional_y"])

# %%
if runs:
    plotting.legend_below(figure, figure_data.methods_of(runs), floor="exact samples")
else:
    for ax in [*side, *axes.flat]:
        plotting.message(ax, "no samples were given")
Image(plotting.save(figure, out), width=900)

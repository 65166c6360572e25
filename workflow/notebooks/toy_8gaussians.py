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
results = figure_data.load_results(samples, metrics, scale)
rows = [
    ("enot", "fitted samples"),
    ("enot", "trajectories"),
    ("egnot", "conditional plans"),
    ("sinkhorn", "conditional plans"),
    ("lightsb", "conditional plans"),
]
to_the_plan = "Distance to the plan, given $x$"
measures = {
    "conditional_energy_distance": to_the_plan,
    "cost_half_l2": r"Cost $\frac{1}{2}\|x-y\|^2$",
    "conditional_variance": "Variance of $y$ given $x$",
    "energy_distance": "Energy distance to target",
    "share_of_modes_min": "Emptiest mode [%]",
}
cases, epsilons = results.cases, results.epsilons
figure, side, axes = plotting.new_plan_panels(
    len(cases), len(rows), len(epsilons), size=2.1, num_side=1 + len(measures)
)
plotting.epsilon_titles(axes[0, 0], epsilons)

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
# - Left: the data, then for all methods the distance to the plan, given x, the mean transport
#   cost, the variance of y given x (it must grow with ε), the energy distance between fitted
#   samples and target and the share of the samples in the emptiest mode; the dashes show what as
#   many exact samples get.
#
# The distance to the plan, given x, is the mean over x of the energy distance between a method's
# samples of y and those that a large Sinkhorn plan gives for the same x
# (`conditional_energy_distance`, for ε > 0). Its dashes are the distance of a second such plan,
# made from other points, to the first: the errors of both are in it, so an exact method is below
# them, at half their height in the mean; what lies far above them is the method's own error.

# %%
for column, block, case in zip(side, axes, cases, strict=False):
    data = results.data(case)
    limits = plotting.limits_around(data["x"], data["target"])
    curves = results.curves(measures, case)
    heading = results.heading(case)
    plotting.data_column(column, data, curves, limits, heading, log=[to_the_plan])
    for line, (method, content) in zip(block, rows, strict=True):
        plans = results.plans(case, method)
        plotting.plan_row(line, method, content, plans, epsilons, limits, label=content)

# %%
Image(plotting.finish(figure, out, results.methods, floor="exact samples"), width=900)

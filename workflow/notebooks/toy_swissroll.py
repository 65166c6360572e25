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
results = figure_data.load_results(samples, metrics, scale)
methods = ["egnot", "enot", "sinkhorn", "lightsb"]
to_the_plan = "Distance to the plan, given $x$"
measures = {
    "conditional_energy_distance": to_the_plan,
    "conditional_variance": "Variance of $y$ given $x$",
    "energy_distance": "Energy distance to target",
    "cost_half_l2": r"Cost $\frac{1}{2}\|x-y\|^2$",
}
cases, epsilons = results.cases, results.epsilons
figure, side, axes = plotting.new_plan_panels(
    len(cases), len(methods), len(epsilons), size=2.1, num_side=1 + len(measures)
)
plotting.epsilon_titles(axes[0, 0], epsilons)

# %% [markdown]
# **How to read it.** One row per method, one column per ε.
#
# - Light grey: the target. Small dots: the method's samples, which should cover the roll and
#   nothing else.
# - Large dots: four inputs x, each with many samples of π(y | x) in the same colour: nearly one
#   point for a small ε, long pieces of the roll for a large one.
# - Left: the data (inputs that lie far outside are cut off), then for all methods the distance to
#   the plan, given x, the variance of y given x, the energy distance between samples and target
#   (the dashes show what as many exact samples get) and the mean transport cost.
#
# The distance to the plan, given x, is the mean over x of the energy distance between a method's
# samples of y and those that a large Sinkhorn plan gives for the same x
# (`conditional_energy_distance`, for ε > 0). Its dashes are the distance of a second such plan,
# made from other points, to the first: the errors of both are in it, so an exact method is below
# them, at half their height in the mean; what lies far above them is the method's own error.

# %%
for column, block, case in zip(side, axes, cases, strict=False):
    data = results.data(case)
    limits = plotting.limits_around(data["target"], margin=0.1)
    curves = results.curves(measures, case)
    heading = results.heading(case)
    plotting.data_column(column, data, curves, limits, heading, log=[to_the_plan])
    for line, method in zip(block, methods, strict=True):
        plans = results.plans(case, method)
        plotting.plan_row(line, method, "conditional plans", plans, epsilons, limits)

# %%
Image(plotting.finish(figure, out, results.methods, floor="exact samples"), width=1000)

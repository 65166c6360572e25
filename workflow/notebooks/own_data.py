# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Your own data: the learned plans
#
# For each experiment of params.yaml whose problem is `arrays`.

# %% tags=["parameters"]
scale = "laptop"
metrics = "results/laptop/tables/metrics.csv"
out = "results/laptop/figures/my_data"
samples = []

# %%
from IPython.display import Image

from entropic_ot import figure_data, plotting

plotting.use_style()
results = figure_data.load_results(samples, metrics, scale)
cases, methods, epsilons = results.cases, results.methods, results.epsilons
views = [plotting.view_of(results.data(case)) for case in cases]
measures = {
    "energy_distance": "Energy distance to target",
    "conditional_variance": "Variance of $y$ given $x$",
    "cost_half_l2": r"Cost $\frac{1}{2}\|x-y\|^2$",
}
beside_plans = dict(list(measures.items())[: max(0, len(methods) - 1)])
figure, side, axes = plotting.new_plan_panels(len(cases), len(methods), len(epsilons), size=2.2)
plotting.epsilon_titles(axes[0, 0], epsilons)

# %% [markdown]
# **How to read it.** One row per method, one column per ε; the data stands at the left.
#
# - Points: the target (light grey), the method's samples (small dots in its colour), which should
#   cover the target and nothing else, and four inputs x (large dots), each joined to some samples
#   of π(y | x). Data of more than two coordinates is seen in the first two principal components
#   of the target; the axes tell their share of its variance.
# - Images: at the left of each block inputs x, then samples of π(y | x). The values between the
#   target's smallest and largest are drawn from black to white.
# - With two methods or more, metrics stand below the data; the dashes show what as many exact
#   samples get. All metrics are in the table.

# %%
for column, block, case, view in zip(side, axes, cases, views, strict=False):
    data, curves = view.of(results.data(case)), results.curves(beside_plans, case)
    heading = results.heading(case)
    plotting.data_column(column, data, curves, view.limits, heading, axis_labels=view.labels)
    for line, method in zip(block, methods, strict=True):
        plans = {e: view.of(arrays) for e, arrays in results.plans(case, method).items()}
        plotting.plan_row(line, method, view.content, plans, epsilons, view.limits)

# %%
with_points = any(view.limits for view in views)
floor = "exact samples" if beside_plans else None
Image(plotting.finish(figure, out, methods, data=with_points, floor=floor), width=900)

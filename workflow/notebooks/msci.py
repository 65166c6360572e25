# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Single-cell populations: the held-out day
#
# The cells of one day are the source, those of a later day the target; the plan's Brownian bridge
# predicts the day between, which no method has seen (MSCI, the protocol of the LightSB paper's
# table). In that literature, for D = 50 and the mean of both settings, ENOT is reported with 2.44
# ± 0.13 (m), EgNOT with 2.39 ± 0.06 (m) and LightSB with 2.31 ± 0.27 (m).
#
# (m): remembered, not read from the papers.

# %% tags=["parameters"]
scale = "laptop"
metrics = "results/laptop/tables/metrics.csv"
out = "results/laptop/figures/msci"
samples = []

# %%
from IPython.display import Image

from entropic_ot import figure_data, plotting

plotting.use_style()
results = figure_data.load_results(samples, metrics, scale)
cases, methods = results.cases, results.methods
num_rows, num_columns = max(1, len(cases)), 3 + max(1, len(methods))
figure, axes = plotting.new_panels(num_rows, num_columns, size=1.95, last_column=1.25, num_last=2)

# %% [markdown]
# **How to read it.** One row per setting.
#
# - Left: source and target cells in their first two principal components, in scaled units.
# - Middle: where each method sends the source cells (colour), over the target (grey); both should
#   cover the same region.
# - Right: energy distance between predicted and measured cells on the held-out day, the lower the
#   better. The dashed line is the bridge of a coupling that pairs cells at random: every method
#   has to beat it. Beside it the variance of y given x, summed over the coordinates, in scaled
#   units: how spread out the cells are to which one cell goes. Plans with very different spreads
#   may be equally near to the held-out day, which judges the mixture of all cells alone.

# %%
for line, case in zip(axes, cases, strict=False):
    problem, data = results.problem(case), results.data(case)
    x, target = data["x"][:, :2], data["target"][:, :2]
    limits = plotting.limits_around(x, target, beyond=0.003)
    plotting.source_and_target(line[0], x, target, limits)
    line[0].set(title="Data", xlabel="PC 1", ylabel="PC 2")
    days = problem.setting.replace("to", " → ")
    plotting.row_label(line[0], f"days {days},  D = {problem.dim}", pad=20)
    for ax, method in zip(line[1:], methods, strict=False):
        plans, style = results.plans(case, method), plotting.method_style(method)
        if not plans:
            plotting.missing_run(ax, method)
            continue
        epsilon, arrays = next(iter(plans.items()))
        plotting.fitted_samples(ax, arrays["y"][:, :2], target, limits, colour=style.colour)
        ax.set_title(f"{style.label}, {plotting.epsilon_label(epsilon)}", color=style.colour)
        ax.set_xlabel("PC 1")
    plotting.bars(
        line[-2],
        results.bars("energy_distance", case),
        "Energy distance, held-out day",
        reference=results.last_value("energy_distance_independent", case),
        reference_label="independent coupling",
    )
    plotting.bars(
        line[-1], results.bars("conditional_variance", case), "Variance of $y$ given $x$, scaled"
    )

# %%
Image(plotting.finish(figure, out, methods), width=1000)

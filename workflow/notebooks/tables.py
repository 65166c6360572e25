# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Papers, baselines and ours
#
# One table per experiment and metric: what the papers report, what a user would pick instead
# (Sinkhorn, LightSB), ours as mean ± 95 % interval over seeds, what an exact sampler gets, and what
# a training costs. The papers' numbers stand in `workflow/paper_values.yaml`.

# %% tags=["parameters"]
scale = "laptop"
metrics = "results/laptop/tables/metrics.csv"
out = "results/laptop/figures/comparison"
samples = []
paper_values = "workflow/paper_values.yaml"
tables = "results/laptop/tables"

# %%
from IPython.display import Image, Markdown, display

from entropic_ot import figure_data, plotting
from entropic_ot.experiments import comparison
from entropic_ot.plotting import comparison as pictures

plotting.use_style()
published = comparison.load_paper_values(paper_values)
compared = comparison.compare(figure_data.read_metrics(metrics), published)

# %% [markdown]
# **How to read it.** One panel per experiment and metric that has a better direction. Markers: the
# mean over seeds, with its 95 % interval where there are several seeds. Dashes: what an exact
# sampler, or real data, gets with as many points, with a grey band of one standard deviation over
# such samplers where that is known. Bars in a method's colour: the number published
# for that method, dotted where it is of another draw of the problem's random parameters (‡ in the
# tables) and so cannot be better or worse than ours; those remembered and not read from the paper
# are marked (m) in the tables. Peers that are not run here stand in the tables only. The axis is
# logarithmic unless a value is negative, which an unbiased estimate near zero can be.

# %%
Image(plotting.save(pictures.comparison_figure(compared), out), width=1000)

# %%
written = comparison.write_comparison(compared, tables)
display(Markdown(comparison.as_markdown(compared)))

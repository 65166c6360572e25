# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # One data set, all methods: what each pays and gets
#
# Methods on pixels, in the latent space of a generator, and between encoded images, side by side.

# %% tags=["parameters"]
scale = "laptop"
metrics = "results/laptop/tables/metrics.csv"
out = "results/laptop/figures/cmnist_table"
samples = []

# %%
from IPython.display import Image, Markdown, display

from entropic_ot import figure_data, plotting

plotting.use_style()
results = figure_data.load_results(samples, metrics, scale)
tables = [
    results.image_table(figure_data.DISTANCES, seconds=False),
    results.image_table(figure_data.OTHERS, seconds=True),
]

# %% [markdown]
# **How to read it.** Above, distances of sets of images; below, what is measured of single outputs,
# of latents, and what a method takes. A row for each case, ε and method; a column "real" is the
# value of the metric at its left for real images of the target.
#
# - Fréchet and kernel distances carry the name of the network whose features they are of, and are
#   comparable with nothing else, and only at equal numbers n of outputs; FID and KID without a name
#   are those of the published Inception.
# - Distances of the generator itself and of the inputs stand beside those of the outputs, and are
#   the same for all methods; "two halves" is the distance between two halves of the real test
#   images (n / 2 on each side, so larger than it would be with n), where training images cannot
#   stand for others: test photographs of faces are those that the inputs were made of.
# - Precision is the share of outputs that are near real images, recall the share of real images
#   that are near outputs. The energy distance of latents compares those behind the outputs with
#   draws of the target, N(0, I) or the generator's own w; with all of the transport right it is 0.
# - "train" is what the training of the method alone takes; "shared" is what it shares with the
#   others of its case: the generator, and for methods that need encoded images the encoding.
# - Methods between encoded images have as source those that were encoded, `encoding.max_images` of
#   params.yaml (300 at scale laptop), and as target the generator's own w; all others are trained
#   on the whole training set.
# - ε is in units of pixels; between encoded images in units of whitened w, while ½L2 is of pixels
#   everywhere.

# %%
for header, cells, _ in tables:
    display(Markdown(figure_data.as_markdown(header, cells)))
width = 0.62 * max(len(header) for header, _, _ in tables) + 1.5
rows = len(tables[0][1])
figure = plotting.new_figure(width, 0.44 * rows + 1.8)
axes = figure.subplots(len(tables), 1, squeeze=False)
for ax, (header, cells, starts) in zip(axes[:, 0], tables, strict=True):
    plotting.table(ax, header, cells, rules_before=starts)

# %%
Image(plotting.finish(figure, out, results.methods, legend=False), width=1000)

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # A generator, and images as points of its latent space
#
# A StyleGAN2 generator G makes an image of each point w of its latent space. Here: what it makes of
# random points beside real images, and real images beside G(w) for the w that was found for them,
# first by an encoder that has seen generated images alone, then by descent on each w.

# %% tags=["parameters"]
scale = "laptop"
metrics = ""
out = "results/laptop/figures/encodings/coloured_threes/coloured_mnist-2to3-32px-seed0"
samples = []
latents = "results/laptop/latents/coloured_threes/coloured_mnist-2to3-32px-seed0.npz"
provenance = "results/laptop/latents/coloured_threes/coloured_mnist-2to3-32px-seed0.json"

# %%
from IPython.display import Image

from entropic_ot import figure_data, plotting
from entropic_ot.plotting import encoding

plotting.use_style()
arrays = figure_data.LazyArrays(latents)
parts = encoding.parts_of(arrays)
figure = plotting.new_figure(11, 3.4 * len(parts))
axes = figure.subplots(len(parts), 4, squeeze=False, width_ratios=[1, 1, 1, 1.1])

# %% [markdown]
# **How to read it.** A row for each part of the data set.
#
# - Left: real images, and samples of the generator.
# - Then pairs of rows: images, and below each G(w) for the w that was found.
# - Right: the mean squared error of a pixel, for values from −1 to 1. An error as large as that of
#   the mean w (dashed) says that nothing was found.

# %%
for row, part in zip(axes, parts, strict=True):
    originals = arrays[f"{part}_original"]
    plotting.image_grid(row[0], encoding.square(originals, 4))
    row[0].set_title(f"{part.replace('_', ' ')}: real")
    plotting.image_grid(row[1], encoding.square(arrays["generated"], 4))
    row[1].set_title("generated, z ~ N(0, I)")
    encoding.reconstructions(row[2], originals, arrays[f"{part}_reconstruction"], num_columns=4)
    row[2].set_title("real above G(w)")
    encoding.error_histogram(
        row[3],
        arrays[f"{part}_error"],
        encoder_errors=arrays[f"{part}_encoder_error"],
        mean_error=encoding.error_of_mean(originals, arrays["mean_image"]),
    )
    row[3].set_title(f"mean {arrays[f'{part}_error'].mean():.3g}")

# %%
print(encoding.made_from(figure_data.read_record(provenance)))

# %%
Image(plotting.save(figure, out), width=1000)

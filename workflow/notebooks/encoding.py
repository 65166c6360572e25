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
# A StyleGAN2 generator G makes an image of each point z or w of its latent spaces. Here: what it
# makes of random points beside real images, and real images beside those of the points that were
# found for them, first by an encoder that has seen generated images alone, then by descent on each.

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
parts, latent = encoding.parts_of(arrays), encoding.latent_of(arrays)
figure = plotting.new_figure(9, 1.4 + 2.3 * len(parts))
gridspec = figure.add_gridspec(
    1 + len(parts), 2, width_ratios=[1.45, 1], height_ratios=[0.55] + [1] * len(parts)
)
top = figure.add_subplot(gridspec[0, :])
rows = [[figure.add_subplot(gridspec[1 + n, c]) for c in (0, 1)] for n in range(len(parts))]

# %% [markdown]
# **How to read it.** Above, samples of the generator. Then a row for each part of the data set.
#
# - Pairs of rows: images, and below each what G makes of the point that was found.
# - Right: for each image of that part that was encoded, the mean over its pixels of the squared
#   difference to that, for values from −1 to 1; above the panel the mean over these images after
#   the descent. An error as large as that of the mean w (dashed) says that nothing was found.

# %%
plotting.image_grid(top, encoding.grid(arrays["generated"], 2, 20))
top.set_title("generated, z ~ N(0, I)")
for (left, right), part in zip(rows, parts, strict=True):
    originals, errors = arrays[f"{part}_original"], arrays[f"{part}_error"]
    encoding.reconstructions(left, originals, arrays[f"{part}_reconstruction"], num_columns=8)
    left.set_title(f"{part.replace('_', ' ')}: images above G({latent})")
    encoding.error_histogram(
        right,
        errors,
        encoder_errors=arrays[f"{part}_encoder_error"],
        mean_error=encoding.error_of_mean(originals, arrays["mean_image"]),
        latent=latent,
    )
    right.set_title(f"error {errors.mean():.3g}, mean of {len(errors)} images")

# %%
print(encoding.made_from(figure_data.read_record(provenance)))

# %%
Image(plotting.save(figure, out), width=1000)

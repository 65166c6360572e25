"""Small StyleGAN2 generators: their training, and images as points of their latent space."""

"""Files: images, tensors of images, colours, and files that appear whole or not at all."""

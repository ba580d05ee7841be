"""From a folder of photos to batches: scan, buckets, captions, epochs, pixels. Torch-free.

`scan` reads the folder, `verify` decodes every photo, `epochs` says which photo is seen when, `captions` and
`pixels` what the trainer sees of it. All randomness is a function of (seed, photo, repeat, epoch). Epochs are
counted from 1, repeats from 0.
"""

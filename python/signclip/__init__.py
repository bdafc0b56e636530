"""SignClip: sign-language video in, spoken-language text out.

The programs (`extract`, `train`, `evaluate`, `translate`, `ablate`, all of them also as `signclip PROGRAM`) are no
Python; `signclip.launcher` starts them. `signclip.store` reads the features that `extract` writes.
"""

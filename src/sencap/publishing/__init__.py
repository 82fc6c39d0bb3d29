"""A checkpoint folder becomes a repository of Hugging Face's hub: `sencap push`.

about    what only a person can say of weights: licence, data, intended use, limits
card     README.md, written from the run, its evaluation and that
item     item.json, by which catalogues of STAC find the weights
upload   all of it together, uploaded and looked at afterwards
"""

from sencap.publishing.upload import Pushed, push

__all__ = ["Pushed", "push"]

"""Says how much there is to see in PNG pictures.

usage: pictures.py FILE…

Prints a JSON list with, of each, its width, its height, and its number of different colors.
"""

import json
import sys

import numpy
from matplotlib.image import imread

answers = []
for path in sys.argv[1:]:
    pixels = imread(path)
    height, width, _ = pixels.shape
    answers.append([width, height, len(numpy.unique((pixels.reshape(height * width, -1) * 255).astype(int), axis=0))])
print(json.dumps(answers))

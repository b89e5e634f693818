#!/usr/bin/env python3
"""One figure of `gannetctl --json stats` on stdin, wherever it lies in there. usage: figure.py NAME"""
import json
import sys


def find(tree, name):
    if isinstance(tree, dict):
        if isinstance(tree.get(name), int):
            return tree[name]
        for branch in tree.values():
            found = find(branch, name)
            if found is not None:
                return found
    return None


print(find(json.load(sys.stdin), sys.argv[1]))

"""Epoch atlas: tables of every saved epoch, and pictures of its outputs on fixed images."""

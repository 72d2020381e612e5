"""Draws the dashboards with Grafana's own components; see draw.py."""

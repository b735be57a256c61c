"""An interface for agents, by the Model Context Protocol: tools that read, and a few that act.

`reading` and `acting` are the tools, `serving` offers them on stdin and stdout.
"""

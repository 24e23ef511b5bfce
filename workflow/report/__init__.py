"""What the parent was told, as console lines, JSON lines, JSON, JUnit, HTML, Markdown and a trace."""

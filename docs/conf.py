"""Settings of Sphinx: `make docs`."""

import re

import brainstorm

project = 'brainstorm'
release = version = brainstorm.__version__
copyright = 'the authors of brainstorm'

extensions = ['sphinx.ext.autodoc', 'sphinx.ext.napoleon']
html_theme = 'furo'
html_title = f'brainstorm {release}'
exclude_patterns = ['_build']

autodoc_member_order = 'bysource'
autodoc_default_options = {'members': True, 'show-inheritance': True}
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True


def as_plain_text(app, what, name, obj, options, lines):
    """Docstrings are plain text: a backtick marks code, every other sign stands for itself."""
    for i, line in enumerate(lines):
        parts = re.split(r'`+', line)
        parts[::2] = [re.sub(r'[\\|]|_\b|\*(?=\S)|(?<=\S)\*', r'\\\g<0>', part)
                      for part in parts[::2]]
        lines[i] = '``'.join(parts)


def setup(app):
    # Before napoleon, which turns sections like `Args:` into markup.
    app.connect('autodoc-process-docstring', as_plain_text, priority=0)

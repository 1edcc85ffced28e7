/** What JupyterLab's builder doesn't know by itself: a Python file is bundled as its text. */
module.exports = {
  module: { rules: [{ test: /\.(py|R)$/, type: 'asset/source' }] }
};

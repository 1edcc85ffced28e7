import js from '@eslint/js';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  {
    ignores: [
      '**/node_modules',
      '**/.venv*',
      'build',
      'lib',
      'coverage',
      'santajupyter',
      'ui-tests/test-results',
      'ui-tests/playwright-report'
    ]
  },
  js.configs.recommended,
  ...tseslint.configs.strict,
  {
    rules: {
      curly: 'error',
      '@typescript-eslint/no-extraneous-class': 'off',
      eqeqeq: 'error',
      'no-console': ['error', { allow: ['warn', 'error'] }]
    }
  },
  {
    files: ['**/*.js'],
    languageOptions: {
      globals: { module: 'writable', process: 'readonly', require: 'readonly' }
    },
    rules: { '@typescript-eslint/no-require-imports': 'off' }
  },
  {
    // Scripts for Node that also hold functions for the page.
    files: ['benchmarks/*.mjs'],
    rules: { 'no-undef': 'off', 'no-console': 'off' }
  }
);

/** JupyterLab's packages are ES modules, which Jest runs only as CommonJS. */
const esModules = [
  '@codemirror',
  '@jupyter',
  '@jupyterlab',
  '@lumino',
  '@microsoft',
  '@rjsf',
  'exenv-es6',
  'lib0',
  'nanoid',
  'vscode-ws-jsonrpc',
  'y-protocols',
  'y-websocket',
  'yjs'
].join('|');

module.exports = {
  testEnvironment: 'jsdom',
  testMatch: ['<rootDir>/src/**/*.spec.ts'],
  moduleNameMapper: { '\\.(css|svg)$': '<rootDir>/src/__tests__/asset.ts' },
  transform: {
    '\\.[jt]sx?$': [
      'ts-jest',
      {
        tsconfig: {
          ...require('./tsconfig.test.json').compilerOptions,
          esModuleInterop: true,
          jsx: 'react',
          module: 'commonjs',
          target: 'ES2022'
        },
        diagnostics: false
      }
    ]
  },
  transformIgnorePatterns: [`/node_modules/(?!(${esModules})/)`]
};

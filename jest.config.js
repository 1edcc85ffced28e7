/** JupyterLab's packages are ES modules, which Jest runs only as CommonJS. */
const esModules = [
  '@jupyter',
  '@jupyterlab',
  'lib0',
  'y-protocols',
  'yjs'
].join('|');

module.exports = {
  testEnvironment: 'jsdom',
  modulePathIgnorePatterns: ['<rootDir>/santajupyter', '<rootDir>/ui-tests'],
  testMatch: ['<rootDir>/src/**/*.spec.ts'],
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

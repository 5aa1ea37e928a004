import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['{app,inngest,lib,local,scripts,supabase}/**/*.test.ts', 'tests/fake-provider/**/*.test.ts'] },
      },
      {
        extends: true,
        test: {
          name: 'system',
          include: ['tests/*/*.test.ts'],
          exclude: ['tests/fake-provider/**', 'tests/conformance/**'],
          globalSetup: ['tests/global-setup.ts'],
        },
      },
    ],
  },
})

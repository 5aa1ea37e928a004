import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { LongestFirst } from './tests/order.ts'

// The hundreds of processes of a run need not compile the same packages again: a third less of their start.
process.env['NODE_COMPILE_CACHE'] ??= join(import.meta.dirname, 'node_modules', '.cache', 'compile')

/** Its process stands for servers: environment, fetch and output are theirs. */
const changesItsProcess = 'tests/crash/explorer.test.ts'

export default defineConfig({
  test: {
    // Most files wait for processes and clocks more than they compute: five share two cores. Four left them idle for a twelfth of the time.
    maxWorkers: Math.ceil(availableParallelism() * 2.5),
    sequence: { sequencer: LongestFirst },
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A bound against hanging: the usual second is too short for a machine that is busy.
    expect: { poll: { interval: 100, timeout: 60_000 } },
    // Files share their processes, which saves each of hundreds a start and the loading of what they import; tests/leaves-nothing.ts sees that none changes one for the next.
    isolate: false,
    unstubGlobals: true,
    restoreMocks: true,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{app,inngest,lib,local,scripts,supabase}/**/*.test.ts', 'tests/fake-provider/**/*.test.ts'],
          setupFiles: ['tests/leaves-nothing.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'system',
          include: ['tests/*/*.test.ts'],
          exclude: ['tests/fake-provider/**', 'tests/conformance/**', changesItsProcess],
          setupFiles: ['tests/leaves-nothing.ts'],
          globalSetup: ['tests/global-setup.ts'],
        },
      },
      {
        extends: true,
        test: { name: 'alone', include: [changesItsProcess], isolate: true, globalSetup: ['tests/global-setup.ts'] },
      },
    ],
  },
})

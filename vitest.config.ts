import { defineConfig } from 'vitest/config'

const timeouts = { testTimeout: 30_000, hookTimeout: 120_000 }

// The projects that start the shipped bundles make them first; the others need nothing.
const ofBundles = ['conformance', 'runtime', 'faults']

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...timeouts,
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ofBundles.map((folder) => `test/${folder}/**`),
        },
      },
      ...ofBundles.map((name) => ({
        test: {
          ...timeouts,
          name,
          include: [`test/${name}/**/*.test.ts`],
          globalSetup: ['test/runtime/global-setup.ts'],
        },
      })),
    ],
  },
})

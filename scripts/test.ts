// `npm test`: every runner one after the other, and one last line that sums them up. A runner that could
// not run its tests counts as a failure; where CI is set a skipped test does too.
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'

type Counts = { passed: number; failed: number; skipped: number }

type Runner = {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  /** Reads the counts of the run that has just ended. */
  counts(exitCode: number): Counts
}

const REPORTS = '.cache/test'

/** What vitest's JSON reporter writes, as far as it is read here. */
type VitestReport = {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly {
    readonly status: string
    readonly assertionResults: readonly unknown[]
  }[]
}

function vitest(project: string): Runner {
  const report = `${REPORTS}/${project}.json`
  return {
    name: project,
    command: 'vitest',
    args: [
      'run',
      `--project=${project}`,
      '--passWithNoTests',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
    ],
    counts: (exitCode) => vitestCounts(report, exitCode),
  }
}

const runners: readonly Runner[] = ['unit', 'conformance', 'runtime', 'faults'].map(vitest)

function vitestCounts(file: string, exitCode: number): Counts {
  const report = JSON.parse(readFileSync(file, 'utf8')) as VitestReport
  // A file that does not load has no test to fail.
  const unloaded = report.testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
  ).length
  const failed = report.numFailedTests + unloaded
  return {
    passed: report.numPassedTests,
    // An error outside of any test ends the run with a code and no count.
    failed: exitCode !== 0 && failed === 0 ? 1 : failed,
    skipped: report.numPendingTests + report.numTodoTests,
  }
}

async function main(wanted: readonly string[]): Promise<void> {
  rmSync(REPORTS, { recursive: true, force: true })
  mkdirSync(REPORTS, { recursive: true })
  const total: Counts = { passed: 0, failed: 0, skipped: 0 }
  for (const runner of runners) {
    if (wanted.length > 0 && !wanted.includes(runner.name)) continue
    const counts = await runOne(runner)
    total.passed += counts.passed
    total.failed += counts.failed
    total.skipped += counts.skipped
  }
  const isCi = (process.env.CI ?? '') !== ''
  if (isCi && total.skipped > 0) console.log('Skipped tests count as failures where CI is set.')
  const isRed = total.failed > 0 || total.passed === 0 || (isCi && total.skipped > 0)
  process.exitCode = isRed ? 1 : 0
  console.log(`tests: ${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
}

async function runOne(runner: Runner): Promise<Counts> {
  console.log(`\n== ${runner.name}`)
  const exitCode = await new Promise<number>((resolve) => {
    const child = spawn(runner.command, runner.args, { stdio: 'inherit' })
    child.on('error', () => resolve(127))
    child.on('exit', (code) => resolve(code ?? 1))
  })
  try {
    return runner.counts(exitCode)
  } catch (error) {
    console.error(`${runner.name} left no report`, error instanceof Error ? error.message : '')
    return { passed: 0, failed: 1, skipped: 0 }
  }
}

await main(process.argv.slice(2))

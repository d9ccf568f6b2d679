// Files that hold a key: made once, for their owner alone, and not used where others could read them.
import { randomUUID } from 'node:crypto'
import { link, mkdir, open, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type CliError, usage } from './io.ts'

const OTHERS = 0o077

/** Null when there is none. */
export async function readPrivate(path: string): Promise<string | null> {
  let file: Awaited<ReturnType<typeof open>>
  try {
    file = await open(path, 'r')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw unusable(path, error)
  }
  try {
    // Of the file that is open, which no rename can change any more. Windows has no such modes.
    const { mode } = await file.stat()
    if (process.platform !== 'win32' && (mode & OTHERS) !== 0) {
      throw usage(`${path} can be read by others: chmod 600 ${path}`)
    }
    return await file.readFile('utf8')
  } finally {
    await file.close()
  }
}

/** False when there is one already. Whoever finds one finds all of it: it gets its name last. */
export async function createPrivate(path: string, text: string): Promise<boolean> {
  const unnamed = `${path}.${randomUUID()}`
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeFile(unnamed, text, { flag: 'wx', mode: 0o600 })
    await link(unnamed, path)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw unusable(path, error)
  } finally {
    await rm(unnamed, { force: true })
  }
}

function unusable(path: string, error: unknown): CliError {
  return usage(`${path} cannot be used (${codeOf(error)})`)
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
}

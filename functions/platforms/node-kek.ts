// The key-encryption key of a single Node process with an embedded database: a file beside the database
// that only its owner can read. A new key is never made for a store that already holds sealed values.
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, linkSync, mkdirSync, openSync } from 'node:fs'
import { readFileSync, statSync, unlinkSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { parseKekText } from '../config.ts'

const OWNER_ONLY_FILE = 0o600
const OWNER_ONLY_DIRECTORY = 0o700
const OTHERS = 0o077

/** Reads the key of this database, or makes it when neither key nor database exist. */
export function loadOrCreateKek(databasePath: string): Uint8Array {
  const keyPath = `${databasePath}.kek`
  if (!existsSync(keyPath)) {
    if (existsSync(databasePath) && statSync(databasePath).size > 0) {
      throw new Error(`${databasePath} exists without its key: restore ${keyPath} or set the key`)
    }
    createKeyFile(keyPath)
  }
  return readKeyFile(keyPath)
}

function readKeyFile(keyPath: string): Uint8Array {
  if (process.platform !== 'win32' && (statSync(keyPath).mode & OTHERS) !== 0) {
    throw new Error(`${keyPath} can be read by others: chmod 600 it, and rotate the key`)
  }
  const key = parseKekText(readFileSync(keyPath, 'utf8').trim())
  if (key === null) throw new Error(`${keyPath} does not hold 32 bytes in base64url`)
  return key
}

/**
 * Written under another name, synced, then linked: a key file is whole or absent, and of two processes
 * that start at once one wins and both use its key.
 */
function createKeyFile(keyPath: string): void {
  mkdirSync(dirname(keyPath), { recursive: true, mode: OWNER_ONLY_DIRECTORY })
  const draftPath = `${keyPath}.${process.pid}.${randomBytes(6).toString('hex')}`
  const draft = openSync(draftPath, 'wx', OWNER_ONLY_FILE)
  try {
    writeSync(draft, `${randomBytes(32).toString('base64url')}\n`)
    fsyncSync(draft)
    linkSync(draftPath, keyPath)
  } catch (error) {
    if (!isExistsError(error)) throw error
  } finally {
    closeSync(draft)
    unlinkSync(draftPath)
  }
}

function isExistsError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EEXIST'
}

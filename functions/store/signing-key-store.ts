// Keys that sign handles, and those of the federation issuer: the private halves sealed under the KEK.
import type { JsonObject } from '../core/identity.ts'
import type { KeyPurpose, SigningKeyRow, SigningKeyStore } from './contract.ts'
import type { Driver, Row } from './driver.ts'
import { integer, json, text } from './row.ts'

const LIST = `SELECT kid, public_jwk, sealed_private_jwk, created_at, active_from, retire_at
  FROM signing_key WHERE purpose = ?1 ORDER BY active_from`
const INSERT = `INSERT INTO signing_key
  (kid, purpose, public_jwk, sealed_private_jwk, created_at, active_from, retire_at)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING RETURNING kid`
const DELETE_RETIRED = 'DELETE FROM signing_key WHERE retire_at < ?1 RETURNING kid'
const RESEAL = `UPDATE signing_key SET sealed_private_jwk = ?3
  WHERE kid = ?1 AND sealed_private_jwk = ?2 RETURNING kid`

export const SIGNING_KEY_STATEMENTS = { LIST, INSERT, DELETE_RETIRED, RESEAL }

export function createSigningKeyStore(driver: Driver): SigningKeyStore {
  return {
    async list(purpose) {
      const [rows = []] = await driver.read([{ sql: LIST, args: [purpose] }])
      return rows.map((row) => toKey(row, purpose))
    },
    async insert(key) {
      const { kid, purpose, publicJwk, sealedPrivateJwk, createdAt, activeFrom, retireAt } = key
      const jwk = JSON.stringify(publicJwk)
      const args = [kid, purpose, jwk, sealedPrivateJwk, createdAt, activeFrom, retireAt]
      const [rows = []] = await driver.write([{ sql: INSERT, args }])
      return rows.length === 1
    },
    async deleteRetired(before) {
      const [rows = []] = await driver.write([{ sql: DELETE_RETIRED, args: [before] }])
      return rows.length
    },
    async reseal(kid, from, to) {
      const [rows = []] = await driver.write([{ sql: RESEAL, args: [kid, from, to] }])
      return rows.length === 1
    },
  }
}

function toKey(row: Row, purpose: KeyPurpose): SigningKeyRow {
  return {
    kid: text(row, 'kid'),
    purpose,
    publicJwk: json<JsonObject>(row, 'public_jwk'),
    sealedPrivateJwk: text(row, 'sealed_private_jwk'),
    createdAt: integer(row, 'created_at'),
    activeFrom: integer(row, 'active_from'),
    retireAt: integer(row, 'retire_at'),
  }
}

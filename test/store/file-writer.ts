// A second process on the file of file-driver.test.ts: records refusals and prints the id of each one that
// was acknowledged, at once, so that what it printed is what it promised.
import { writeSync } from 'node:fs'
import { createFileDriver } from '../../functions/store/file-driver.ts'
import { createStores } from '../../functions/store/index.ts'
import { clock, eventOf, hashing } from './values.ts'

const [, , path = '', count = '0', busyTimeoutMs = '0'] = process.argv
const driver = createFileDriver({ path, busyTimeoutMs: Number(busyTimeoutMs) })
const { records } = createStores({ driver, hashing, clock })
const STDOUT = 1
const CALLERS = 8

writeSync(STDOUT, 'ready\n')
let left = Number(count)
await Promise.all(
  Array.from({ length: CALLERS }, async () => {
    while (left > 0) {
      left -= 1
      const event = eventOf('refusal')
      await records.recordRefusal(event).then(
        () => writeSync(STDOUT, `${event.id}\n`),
        () => writeSync(STDOUT, 'refused\n'),
      )
    }
  }),
)
writeSync(STDOUT, `reconnects ${driver.counters.reconnects}\n`)
await driver.close()

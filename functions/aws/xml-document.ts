// The XML that query services of AWS answer with, and no other: elements and text, one namespace. No
// document type, no entity of its own, no comment, no section: two readers must not see two documents.

export type XmlElement = {
  readonly name: string
  /** Of an element without children; else empty. */
  readonly text: string
  readonly children: readonly XmlElement[]
}

const DECLARATION =
  /^<\?xml version="1\.0"(?: encoding="(?:UTF|utf)-8")?(?: standalone="yes")? ?\?>/
const TAG = /<(\/?)([A-Za-z][A-Za-z0-9]{0,63})(?: xmlns="[^"<>&]{0,256}")?(\/?)>/y
const TEXT = /[^<>]+/y
const NAMED: Readonly<Record<string, string>> = {
  lt: '<',
  gt: '>',
  amp: '&',
  quot: '"',
  apos: "'",
}
/** XML 1.0 §2.2, within the basic plane and above it. */
const CHARACTERS = /^[\t\n\r\x20-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]*$/u
const MAX_DEPTH = 12
const MAX_ELEMENTS = 2_000

type Open = { readonly name: string; text: string; readonly children: XmlElement[] }

/** The document's one element, or null for what is not exactly that. */
export function parseXml(text: string): XmlElement | null {
  if (!CHARACTERS.test(text)) return null
  let at = DECLARATION.exec(text)?.[0].length ?? 0
  const top: Open = { name: '', text: '', children: [] }
  const open: Open[] = [top]
  for (let elements = 0; at < text.length && elements <= MAX_ELEMENTS;) {
    const into = open.at(-1)
    if (into === undefined) return null
    TAG.lastIndex = TEXT.lastIndex = at
    const tag = TAG.exec(text)
    if (tag === null) {
      const run = TEXT.exec(text)?.[0]
      const plain = run === undefined ? null : unescaped(run)
      if (run === undefined || plain === null) return null
      into.text += plain
      at += run.length
      continue
    }
    at += tag[0].length
    const [, closing, name = '', empty] = tag
    if (closing === '') {
      if (open.length > MAX_DEPTH) return null
      elements += 1
      open.push({ name, text: '', children: [] })
    }
    if (closing === '' && empty === '') continue
    // A tag that is both `</` and `/>` is neither.
    const closed = closing !== '' && empty !== '' ? undefined : open.pop()
    const element = closed?.name === name ? finished(closed) : null
    if (element === null) return null
    open.at(-1)?.children.push(element)
  }
  const [only, ...others] = top.children
  const isWhole = at === text.length && open.length === 1 && isBlank(top.text)
  return isWhole && only !== undefined && others.length === 0 ? only : null
}

/** Text beside elements is layout, or it is refused. */
function finished({ name, text, children }: Open): XmlElement | null {
  if (children.length === 0) return { name, text, children }
  return isBlank(text) ? { name, text: '', children } : null
}

/** White space of XML, which is less than that of the language. */
function isBlank(text: string): boolean {
  return /^[ \t\r\n]*$/.test(text)
}

function unescaped(run: string): string | null {
  let isSound = true
  const text = run.replace(/&([^;&]{0,10};)?/g, (_whole, body: string | undefined) => {
    const character = body === undefined ? undefined : characterOf(body.slice(0, -1))
    if (character === undefined) isSound = false
    return character ?? ''
  })
  return isSound && CHARACTERS.test(text) ? text : null
}

function characterOf(reference: string): string | undefined {
  if (Object.hasOwn(NAMED, reference)) return NAMED[reference]
  const [, hex, decimal] = /^#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}))$/.exec(reference) ?? []
  const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16)
  return code <= 0x10_ffff ? String.fromCodePoint(code) : undefined
}

/** The one child of that name; undefined where there is none, or more than one. */
export function child(element: XmlElement | undefined, name: string): XmlElement | undefined {
  const found = element?.children.filter((one) => one.name === name) ?? []
  return found.length === 1 ? found[0] : undefined
}

/** The text of the one child of that name, which has no children itself. */
export function childText(element: XmlElement | undefined, name: string): string | undefined {
  const found = child(element, name)
  return found === undefined || found.children.length > 0 ? undefined : found.text
}

/** Whether no name stands twice beside itself, at any depth, but for the `member`s of a list. */
export function hasDistinctMembers({ children }: XmlElement): boolean {
  const names = children.map(({ name }) => name).filter((name) => name !== 'member')
  return new Set(names).size === names.length && children.every(hasDistinctMembers)
}

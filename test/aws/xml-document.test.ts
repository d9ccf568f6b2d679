// XML of AWS's query services, strictly: one document for every reader, or none.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { child, childText, hasDistinctMembers, parseXml } from '../../functions/aws/xml-document.ts'

test('reads elements, text and references', () => {
  const document = parseXml(
    '<?xml version="1.0" encoding="UTF-8"?>\n<A xmlns="https://sts.amazonaws.com/doc/">' +
      '\n <B>a &lt;b&gt; &amp;amp; &quot;c&quot; &apos;d&apos; &#233;&#x1F600;</B><C/><D></D>\n</A>\n',
  )
  expect(document?.name).toBe('A')
  expect(childText(document ?? undefined, 'B')).toBe('a <b> &amp; "c" \'d\' é😀')
  expect(childText(document ?? undefined, 'C')).toBe('')
  expect(childText(document ?? undefined, 'D')).toBe('')
  expect(childText(document ?? undefined, 'E')).toBe(undefined)
  expect(
    childText({ name: 'X', text: '', children: document === null ? [] : [document] }, 'A'),
  ).toBe(undefined)
})

describe('is null for', () => {
  test.each([
    ['nothing', ''],
    ['white space', '  \n'],
    ['text', 'hello'],
    ['JSON', '{"a":"<a></a>"}'],
    ['an element that does not end', '<a>'],
    ['an end without a start', '</a>'],
    ['ends in the wrong order', '<a><b></a></b>'],
    ['two elements', '<a></a><b></b>'],
    ['text behind', '<a></a>x'],
    ['text before', 'x<a></a>'],
    ['text beside elements', '<a>x<b></b></a>'],
    ['a comment', '<a><!-- x --></a>'],
    ['a document type', '<!DOCTYPE a><a></a>'],
    ['an entity of its own', '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'],
    ['an unknown entity', '<a>&x;</a>'],
    ['a bare ampersand', '<a>a & b</a>'],
    ['an inherited name as entity', '<a>&constructor;</a>'],
    ['a CDATA section', '<a><![CDATA[x]]></a>'],
    ['an instruction', '<a><?php x ?></a>'],
    ['an attribute', '<a b="c"></a>'],
    ['a prefix', '<s:a></s:a>'],
    ['another encoding', '<?xml version="1.0" encoding="UTF-16"?><a></a>'],
    ['a byte order mark', '\uFEFF<a></a>'],
    ['a zero byte', '<a>\u0000</a>'],
    ['a zero by reference', '<a>&#0;</a>'],
    ['a surrogate by reference', '<a>&#xD800;</a>'],
    ['beyond Unicode', '<a>&#x110000;</a>'],
    ['both ends at once', '<a></a/>'],
    ['too deep', '<a>'.repeat(20) + '</a>'.repeat(20)],
    ['too many', `<a>${'<b/>'.repeat(3_000)}</a>`],
  ])('%s', (_what, text) => {
    expect(parseXml(text)).toBe(null)
  })
})

test('never throws, and reads back what is escaped', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void parseXml(text)))
  const printable = fc.string({ unit: fc.constantFrom(...'<>&"\'aé😀 \n;#x') })
  fc.assert(
    fc.property(printable, (text) => {
      const escaped = text.replace(/[<>&"']/g, (c) => `&#${c.charCodeAt(0)};`)
      expect(parseXml(`<a>${escaped}</a>`)?.text).toBe(text)
    }),
  )
})

test('takes time in proportion to the text', () => {
  // What would not, would not end.
  expect(parseXml(`<a>${'&'.repeat(200_000)}</a>`)).toBe(null)
  expect(parseXml('<'.repeat(400_000))).toBe(null)
  expect(parseXml(`<a>${' '.repeat(400_000)}`)).toBe(null)
})

test('finds one child, and members that stand there twice', () => {
  const twice = parseXml('<a><b>1</b><b>2</b></a>')
  const nested = parseXml('<a><c><b>1</b><b>2</b></c></a>')
  const list = parseXml('<a><c><member>1</member><member>2</member></c></a>')
  expect(child(twice ?? undefined, 'b')).toBe(undefined)
  expect([twice, nested, list].map((one) => one !== null && hasDistinctMembers(one))).toEqual([
    false,
    false,
    true,
  ])
})

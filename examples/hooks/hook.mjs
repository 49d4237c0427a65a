// A hook in Node with nothing but its standard library: HOOK_SECRET=whsec_… node hook.mjs
// It counts the rows of a result. `gateway verify http://127.0.0.1:9200/hook` finds nothing wrong with it.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'

const KEY = Buffer.from((process.env.HOOK_SECRET ?? '').replace(/^whsec_/, ''), 'base64')
const PORT = Number(process.env.PORT ?? 9200)
const MOST_BYTES = 16 * 1024 * 1024
const TOLERANCE = 300 // seconds
const seen = new Map() // webhook-id → [time, digest of the call, reply]: a call may come a second time

if (KEY.length < 16) {
  console.error('HOOK_SECRET must hold the signing secret, whsec_…')
  process.exit(2)
}

const sign = (id, at, body) => createHmac('sha256', KEY).update(`${id}.${at}.`).update(body).digest()

function isAuthentic (headers, body) {
  const id = headers['webhook-id']
  const at = headers['webhook-timestamp'] ?? ''
  if (!id || !/^(0|[1-9][0-9]{0,11})$/.test(at) || Math.abs(Date.now() / 1000 - at) > TOLERANCE) return false
  const expected = sign(id, at, body)
  return (headers['webhook-signature'] ?? '').split(' ').slice(0, 32).some(part => {
    const given = part.startsWith('v1,') ? Buffer.from(part.slice(3), 'base64') : Buffer.alloc(0)
    return given.length === expected.length && timingSafeEqual(given, expected)
  })
}

function answer (event) {
  const { query, result } = event.data // throws where this is no event; the caller answers 400
  if (query.type === undefined || result === undefined) throw new TypeError('no query or no result')
  if (query.type !== 'search' || !Array.isArray(result?.rows)) return [204, {}, '']
  return [200, { 'content-type': 'application/merge-patch+json' }, JSON.stringify({ count: result.rows.length })]
}

function reply (request, body) {
  const { headers } = request
  if (request.method === 'OPTIONS') return [200, { 'webhook-allowed-origin': headers['webhook-request-origin'] ?? '' }, '']
  if (request.method !== 'POST') return [405, { allow: 'POST, OPTIONS' }, '']
  if (!isAuthentic(headers, body)) return [401, {}, '']
  if (request.url.endsWith('/health')) return [200, { 'content-type': 'application/json' }, JSON.stringify({ id: JSON.parse(body).id })]
  if (headers['content-type'] !== 'application/cloudevents+json') return [415, {}, '']
  const digest = createHash('sha256').update(body).digest('hex')
  const before = seen.get(headers['webhook-id'])
  if (before) return before[1] === digest ? before[2] : [409, {}, '']
  let made
  try {
    made = answer(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)))
    if (made[0] === 200 && !headers.accept?.includes('merge-patch')) made = whole(body, made)
  } catch {
    made = [400, {}, '']
  }
  seen.set(headers['webhook-id'], [Date.now(), digest, made])
  for (const [id, [at]] of seen) { // the oldest come first
    if (seen.size <= 10_000 && Date.now() - at < TOLERANCE * 1000) break
    seen.delete(id)
  }
  return made
}

function whole (body, made) { // for a caller that takes no patches
  const result = { ...JSON.parse(body).data.result, ...JSON.parse(made[2]) }
  return [200, { 'content-type': 'application/json' }, JSON.stringify(result)]
}

createServer((request, response) => {
  const pieces = []
  let size = 0
  request.on('data', piece => { if ((size += piece.length) <= MOST_BYTES) pieces.push(piece) })
  request.on('end', () => {
    const [status, headers, body] = size > MOST_BYTES ? [413, {}, ''] : reply(request, Buffer.concat(pieces))
    const id = request.headers['webhook-id']
    if (id && status < 300) { // replies are signed like calls, under the call's id
      const at = Math.floor(Date.now() / 1000)
      headers['webhook-id'] = id
      headers['webhook-timestamp'] = String(at)
      headers['webhook-signature'] = 'v1,' + sign(id, at, body).toString('base64')
    }
    response.writeHead(status, { ...headers, ...(status === 204 ? {} : { 'content-length': Buffer.byteLength(body) }) }).end(body)
  })
}).listen(PORT, '127.0.0.1', function () { console.log(`listening on http://127.0.0.1:${this.address().port}`) })

'use strict'
// Everything that was sent is shown as text, never as markup.
const by = id => document.getElementById(id)
const made = (kind, text, className) => {
  const element = document.createElement(kind)
  element.textContent = text
  if (className) element.className = className
  return element
}
const MARKS = { passed: '✓', failed: '✗', skipped: '–' }
const MOST = 200
let current = null
let shown = null
let raw = false

function line (capture) {
  const item = document.createElement('li')
  const button = document.createElement('button')
  button.type = 'button'
  button.dataset.number = capture.number
  const top = made('span', '', 'top')
  top.append(made('span', MARKS[capture.signature], capture.signature), made('span', capture.method), made('span', capture.target, 'target'))
  const low = made('span', '', 'low')
  low.append(made('span', capture.type || `${capture.bytes} bytes`), made('time', new Date(capture.at).toLocaleTimeString()))
  button.append(top, low)
  button.addEventListener('click', () => show(capture.number))
  item.append(button)
  return item
}

function add (capture) {
  by('list').prepend(line(capture))
  while (by('list').children.length > MOST) by('list').lastChild.remove()
  counted()
}

function counted () {
  const count = by('list').children.length
  by('none').hidden = count > 0
  by('count').textContent = count === 1 ? '1 request' : `${count} requests`
}

async function show (number) {
  const answer = await fetch(`/_inspect/captures/${number}`)
  if (!answer.ok) return
  current = number
  shown = await answer.json()
  for (const button of by('list').querySelectorAll('button')) {
    if (Number(button.dataset.number) === number) button.setAttribute('aria-current', 'true')
    else button.removeAttribute('aria-current')
  }
  by('one').hidden = false
  by('line').textContent = `${shown.method} ${shown.target}`
  by('facts').textContent = [new Date(shown.at).toLocaleString(), `from ${shown.remote}`, shown.version, `${shown.bytes} bytes`,
    `body in ${shown.body_ms} ms`, shown.type].filter(Boolean).join(' · ')
  by('steps').replaceChildren(...shown.steps.map(step => {
    const item = document.createElement('li')
    item.append(made('span', MARKS[step.state], step.state), made('span', step.title), made('span', step.detail))
    return item
  }))
  if (!shown.steps.length) by('steps').append(made('li', 'Only POST requests are signed.'))
  by('headers').replaceChildren(...shown.headers.map(([name, value]) => {
    const row = document.createElement('tr')
    row.append(made('td', name), made('td', value))
    return row
  }))
  body()
}

function body () {
  if (!shown) return
  const pretty = shown.pretty !== null && !raw
  by('pretty-tab').setAttribute('aria-pressed', String(pretty))
  by('raw-tab').setAttribute('aria-pressed', String(!pretty))
  by('pretty-tab').disabled = shown.pretty === null
  by('body').textContent = (pretty ? shown.pretty : shown.body) + (shown.cut ? '\n… (cut)' : '')
}

by('raw-tab').addEventListener('click', () => { raw = true; body() })
by('pretty-tab').addEventListener('click', () => { raw = false; body() })

function state (on) {
  by('live').className = on ? 'on' : 'off'
  by('live').textContent = on ? 'live' : 'not connected'
}

async function begin () {
  const events = new EventSource('/_inspect/live')
  events.onopen = async () => { // also after a break: take what was missed
    state(true)
    const all = await (await fetch('/_inspect/captures')).json()
    by('list').replaceChildren(...all.map(line))
    counted()
    if (current === null && all.length) show(all[0].number)
  }
  events.onerror = () => state(false)
  events.onmessage = event => {
    const capture = JSON.parse(event.data)
    add(capture)
    if (current === null) show(capture.number)
  }
}

begin()
